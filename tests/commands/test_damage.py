"""Two hundred damages to the files of a store and of a run: each is named, or harmless and the end is the same bytes."""

import collections
import os
import random
import shutil

import pytest

from ltb.report import command as report
from ltb.store import command as store_command
from ltb.store.checkpoint import CheckpointFile
from tests.support.command import TINY, ledger, stage_hashes, without

GIVEN = (*TINY, "method=imp_rewind", "measure=calibration", "store.checkpoint_every=0", "training.evaluate_every=1it")
DAMAGES = int(os.environ.get("LTB_DAMAGES", "100"))  # 200 take six minutes of a core


def kind(runs, path):
    """What sort of file it is."""
    parts = path.relative_to(runs).parts
    if parts[0] == "store":
        return {".locks": "lock", ".runs": "registration", ".progress": "progress"}.get(parts[1], parts[-1])
    return "run/" + ("/".join([*parts[1:-1], "level"]) if len(parts) > 2 else parts[-1])


def everything(runs):
    """By kind, all files."""
    found = collections.defaultdict(list)
    for path in sorted(path for path in runs.rglob("*") if path.is_file()):
        found[kind(runs, path)].append(path)
    return found


def fresh(path, content):
    path.unlink()  # the other names of a file with several are left alone
    path.write_bytes(content)


def flip(path, draw, others):
    content = bytearray(path.read_bytes())
    if content:
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    fresh(path, bytes(content))


def truncate(path, draw, others):
    content = path.read_bytes()
    fresh(path, content[: draw.randrange(max(1, len(content)))])


def swap(path, draw, others):
    other = draw.choice(others)
    aside = path.with_name(f".{path.name}-aside")
    os.rename(path, aside)
    os.rename(other, path)
    os.rename(aside, other)
    return other


def replace(path, draw, others):
    """By what another one rightly holds, which stays."""
    fresh(path, draw.choice(others).read_bytes())


def folder(path, draw, others):
    path.unlink()
    path.mkdir()


HOW = {
    "flip a bit": flip,
    "truncate": truncate,
    "empty": lambda path, draw, others: fresh(path, b""),  # as all but a swap, it returns None
    "swap two": swap,
    "replace": replace,
    "a folder": folder,
    "delete": lambda path, draw, others: path.unlink(),
}


@pytest.fixture
def states(command, monkeypatch):
    """A run that was interrupted within its second level, and the same when it is complete; what it comes to."""
    runs, count, offer = command.runs, [0], CheckpointFile.offer

    def interrupted(self, progress):
        offer(self, progress)
        count[0] += 1
        if count[0] == 17:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CheckpointFile, "offer", interrupted)
        assert command(*GIVEN).code == 130
    assert list(runs.glob("store/.progress/*.safetensors"))
    shutil.copytree(runs, command.folder / "interrupted")
    run = command.done(*GIVEN)
    shutil.copytree(runs, command.folder / "complete")
    return {name: command.folder / name for name in ("interrupted", "complete")}, run, end(runs, run)


def end(runs, run):
    """What a run comes to: hashes, ledger without times, tickets and weights."""
    files = {path.relative_to(run): path.read_bytes() for path in run.glob("*/*.safetensors")}
    tables = {
        name: (run / name).read_bytes() for name in ("layers.csv", "measures.csv", "config.yaml", "identity.json")
    }
    return without(ledger(run), "seconds", "reused"), files, tables


def named(path, text):
    """Whether a message names a file, or the folder of the stage that it is of."""
    return str(path.name) in text and (path.parent.name in text or len(path.parent.name) != 20)


def outcome(command, capsys, run, path, other, expected, hashes):
    """Who names the damaged file: verify, the report, the run; whether the run comes to its end, with the same bytes."""
    told, store = [], command.runs / "store"

    def is_named(text):
        return any(named(one, text) for one in (path, other) if one)

    capsys.readouterr()
    verified = store_command.main(["--dir", str(store), "verify"])
    if is_named(capsys.readouterr().out):
        told.append("verify")
    reported = report.main([str(command.runs), "--format", "text"])
    captured = capsys.readouterr()
    assert reported in (0, 2)
    if reported == 2:
        assert len(captured.err.splitlines()) == 1, captured.err
        told += ["report"] if is_named(captured.err) else []
    again = command(*GIVEN)
    assert "Traceback" not in again.err, again.err
    if is_named(again.err):
        told.append("run")
    if again.code:
        assert len(again.err.splitlines()) <= 1 + (other is not None), again.err  # a line for each damaged file
        assert told, (path, again.err)
        return f"{'+'.join(told)}: named"
    assert end(command.runs, run) == expected, path
    if not told:
        assert verified == 0
        assert stage_hashes(store) == hashes, path
    return f"{'+'.join(told)}: named, same bytes" if told else "harmless, same bytes"


@pytest.mark.slow
def test_every_damage_is_named_or_harmless(states, command, capsys):
    kept, run, expected = states
    hashes = stage_hashes(command.runs / "store")
    draw, table, wrong = random.Random(0), collections.defaultdict(collections.Counter), []
    kinds = sorted(everything(kept["interrupted"]).keys() | everything(kept["complete"]).keys())
    cases = [(one, how) for one in kinds for how in HOW]
    for number in range(DAMAGES):
        one, how = cases[number % len(cases)]
        name = draw.choice([name for name, folder in kept.items() if one in everything(folder)])
        shutil.rmtree(command.runs)
        shutil.copytree(kept[name], command.runs)
        found = everything(command.runs)
        path = draw.choice(found[one])
        others = [other for other in found[one] if other != path]
        others = others or [other for group in found.values() for other in group if other != path]
        other = HOW[how](path, draw, others)
        try:
            table[one, how][outcome(command, capsys, run, path, other, expected, hashes)] += 1
        except AssertionError as error:
            wrong.append(f"{one}, {how}: {path}: {error}")
    with capsys.disabled():
        print()
        for one in kinds:
            for how in HOW:
                for what, count in table[one, how].items():
                    print(f"{one:<26}{how:<12}{count:>3}  {what}")
    assert not wrong, "\n\n".join(wrong)
    assert sum(counts.total() for counts in table.values()) == DAMAGES
