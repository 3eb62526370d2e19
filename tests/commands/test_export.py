"""``python -m ltb.store export`` and ``import``: a run moves with all that it needs, checked on arrival, nothing overwritten."""

import io
import json
import random
import shutil
import tarfile

import pytest

from ltb.store import catalogue, references
from ltb.store import command as command_line
from ltb.store.stage_files import digest_of
from tests.support.command import TINY, ledger, stage_hashes

GIVEN = (*TINY, "method=imp_rewind", "control=shuffle")


def store(capsys, folder, *arguments):
    capsys.readouterr()
    code = command_line.main(["--dir", str(folder), *map(str, arguments)])
    return code, capsys.readouterr()


@pytest.fixture
def packed(command, capsys):
    """A run with another one in its store, exported; the run, the archive."""
    command.done(*TINY, "method=imp", "seed=1")
    run = command.done(*GIVEN)
    file = command.folder / "run.tar"
    assert store(capsys, command.runs / "store", "export", run, file)[0] == 0
    return run, file


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stage_contents(folder):
    return {path: content for path, content in contents(folder).items() if not path.parts[0].startswith(".")}


def test_a_run_arrives_whole_is_known_and_trains_nothing(packed, command, capsys, monkeypatch):
    run, file = packed
    before, hashes = contents(run), stage_hashes(command.runs / "store")
    shutil.move(command.runs, command.folder / "away")
    code, told = store(capsys, command.runs / "store", "import", file)
    assert (code, told.err) == (0, "")
    assert contents(run) == before
    arrived = stage_hashes(command.runs / "store")
    assert arrived.items() < hashes.items()  # those of the other run stayed
    assert catalogue.verify(command.runs / "store") == []
    monkeypatch.setattr("ltb.training.fit.Training.fit", None)
    command.done(*GIVEN)
    assert ledger(run) == [row for row in ledger(run) if row["reused"]]
    assert [one.folder for one in references.registered(command.runs / "store")] == [run]
    # A level is one file on the disk, as in the run that was exported.
    (stage,) = (command.runs / "store").glob(f"{ledger(run)[1]['stage']}/trained.safetensors")
    assert stage.samefile(run / "trained" / "level-01.safetensors")


@pytest.mark.slow
def test_import_beside_what_is_there_overwrites_nothing(packed, command, capsys):
    run, file = packed
    code, told = store(capsys, command.runs / "store", "import", file)
    assert (code, told.err) == (2, f"ltb: {run}: it exists, and nothing is overwritten\n")
    before = stage_contents(command.runs / "store")
    shutil.rmtree(run)
    code, told = store(capsys, command.folder / "unused", "import", file, "--store", command.runs / "store")
    assert (code, told.err) == (0, "")
    assert " 0 stages came" in told.out
    assert stage_contents(command.runs / "store") == before
    assert store(capsys, command.runs / "store", "export", run, file)[0] == 2  # the file exists


@pytest.mark.slow
def test_a_run_whose_stages_are_not_all_there_or_not_whole_is_not_exported(packed, command, capsys):
    run, _ = packed
    key = ledger(run)[1]["stage"]
    path = command.runs / "store" / key / "trained.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink()  # the run's own link stays as it is
    path.write_bytes(content)
    code, told = store(capsys, command.runs / "store", "export", run, command.folder / "other.tar")
    assert (code, str(path) in told.err, len(told.err.splitlines())) == (2, True, 1)
    shutil.rmtree(path.parent)
    code, told = store(capsys, command.runs / "store", "export", run, command.folder / "other.tar")
    assert (code, "1 of 3 levels" in told.err) == (2, True)
    assert not (command.folder / "other.tar").exists()


def rewritten(file, change):
    """The archive with its members changed: `change` gets (name, content) and returns what is written for it."""
    with tarfile.open(file) as tar:
        members = [(member.name, tar.extractfile(member).read()) for member in tar]
    with tarfile.open(file, "w") as tar:
        for name, content in members:
            for info, data in change(name, content):
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def plain(name):
    return tarfile.TarInfo(name)


def odd(name, kind, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def beside(info):
    """One member more, after the manifest."""
    return lambda name, content: [(plain(name), content), *([(info, b"")] if name == "manifest.json" else [])]


def flip(content):
    return content[:-1] + bytes([content[-1] ^ 1])


def sealed(told):
    content = {name: value for name, value in told.items() if name != "digest"}
    return content | {"digest": digest_of(content)}


def manifest(**given):
    return lambda name, content: [
        (plain(name), json.dumps(sealed(json.loads(content) | given)).encode() if name == "manifest.json" else content)
    ]


ARCHIVES = {
    "a link": beside(odd("run/link", tarfile.SYMTYPE, "/etc/passwd")),
    "a hard link": beside(odd("run/link", tarfile.LNKTYPE, "manifest.json")),
    "a device": beside(odd("run/null", tarfile.CHRTYPE)),
    "a pipe": beside(odd("run/pipe", tarfile.FIFOTYPE)),
    "an absolute name": beside(plain("/tmp/ltb-absolute")),
    "a name above": beside(plain("../above")),
    "a name within and above": beside(plain("run/../../above")),
    "a file twice": beside(plain("manifest.json")),
    "a stage's file changed": lambda name, content: [
        (plain(name), flip(content) if name.endswith("trained.safetensors") else content)
    ],
    "metadata changed": lambda name, content: [
        (plain(name), content.replace(b'"imp', b'"omp', 1) if name.endswith("stage.json") else content)
    ],
    "the run's file changed": lambda name, content: [
        (plain(name), flip(content) if name.endswith("config.yaml") else content)
    ],
    "a stage left out": lambda name, content: [] if name.endswith("stage.json") else [(plain(name), content)],
    "all stages left out": lambda name, content: [] if name.startswith("stages") else [(plain(name), content)],
    "the ledger left out": lambda name, content: [] if name.endswith("levels.csv") else [(plain(name), content)],
    "no manifest": lambda name, content: [] if name == "manifest.json" else [(plain(name), content)],
    "a run's name above": manifest(run="../x"),
    "a run's hidden name": manifest(run=".locks"),
    "a run without a name": manifest(run=""),
    "files that are a list": manifest(files=[]),
    "files above": manifest(files={"../above": "0"}),
}


@pytest.mark.slow
def test_an_archive_that_is_not_what_export_made_is_refused_and_leaves_nothing(packed, command, capsys):
    _, file = packed
    whole = file.read_bytes()
    for how, change in ARCHIVES.items():
        file.write_bytes(whole)
        rewritten(file, change)
        target = command.folder / how / "runs"
        code, told = store(capsys, target / "store", "import", file)
        assert (code, len(told.err.splitlines())) == (2, 1), (how, told)
        assert told.err.startswith(f"ltb: {file}: "), (how, told)
        assert ".import-" not in told.err
        assert not target.parent.exists(), how
    assert not (command.folder / "above").exists()


@pytest.mark.slow
def test_a_damaged_archive_is_refused_or_brings_the_same_bytes(packed, command, capsys):
    run, file = packed
    before, content, draw = contents(run), file.read_bytes(), random.Random(0)
    for number in range(40):
        damaged = bytearray(content)
        if number % 4:
            damaged[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        else:
            del damaged[draw.randrange(len(content)) :]
        file.write_bytes(damaged)
        target = command.folder / f"at-{number}"
        code, told = store(capsys, target / "store", "import", file)
        if code:
            assert (len(told.err.splitlines()), told.err.startswith(f"ltb: {file}: ")) == (1, True)
            assert not target.exists()
        else:
            assert contents(target / run.name) == before
            assert catalogue.verify(target / "store") == []
        shutil.rmtree(target, ignore_errors=True)


@pytest.mark.slow
def test_places_that_cannot_be_written_are_named_in_one_line(packed, command, capsys):
    run, file = packed
    (command.folder / "file").write_text("not a folder")
    for place in ("/proc/x.tar", command.folder / "nope" / "x.tar"):
        code, told = store(capsys, command.runs / "store", "export", run, place)
        assert (code, told.err) == (2, f"ltb: {place}: it cannot be written (No such file or directory)\n")
    for folder in (command.folder / "file", command.folder / "file" / "store"):
        code, told = store(capsys, folder, "import", file)
        assert (code, len(told.err.splitlines())) == (2, 1)
        assert told.err.startswith(f"ltb: {folder}: not a folder that can be written (")
    assert sorted(path.name for path in command.folder.iterdir()) == ["file", "run.tar", "runs"]
