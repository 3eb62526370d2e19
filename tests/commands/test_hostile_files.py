"""Anything may lie in a store and in a run's folder: a command that reads it names the file in one line; no hang, no traceback."""

import json
import os
import shutil
import signal

import pytest

from ltb.core.loop import levels
from ltb.core.recipe import Recipe
from ltb.core.schedules import Geometric
from ltb.core.stages import Dense
from ltb.records import jobs
from ltb.records.schema import JOBS
from ltb.report import command as report
from ltb.run import view
from ltb.store import command as store_command
from ltb.store.keys import Keys
from ltb.store.store import Store
from tests.core.toy import Toy
from tests.support.ledgers import write_measures, write_run

DEEP = "[" * 200_000
BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))
TEXTS = {
    "nothing": "",
    "deep": DEEP,
    "deep within": '{"state": ' + '{"a": ' * 500 + "1" + "}" * 501,
    "a list": "[]",
    "a number": "1" * 5000,
    "a bomb of aliases": BOMB,
    "a circle of aliases": "&a\nstate: *a\nmade: [*a]\n",
    "wrong types": json.dumps(
        {
            "state": ["running"],
            "jobs": "many",
            "settings": 1,
            "key": {},
            "kept": 1,
            "sha256": [],
            "version": 2,
            "made": [1],
        }
    ),
    "wrong types within": json.dumps(
        {
            "state": "complete",
            "metric": {},
            "levels": 2,
            "made": [{"commit": 1, "versions": [], "levels": 3}],
            "command": [{}],
        }
    ),
    "odd keys": "1: a\nnull: b\n2001-01-01: [{1: a, b: c}]\n? [1, 2]\n: d\n",
    "binary": "\x00\x01\x02\n",
}


def plant(path, kind):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    match kind:
        case "a pipe":
            os.mkfifo(path)
        case "a folder":
            path.mkdir()
        case "a link to nothing":
            path.symlink_to("nowhere")
        case "a link to itself":
            path.symlink_to(path.name)
        case "a device":
            path.symlink_to("/dev/zero")
        case "a terabyte":
            path.touch()
            os.truncate(path, 10**12)
        case "not UTF-8":
            path.write_bytes(b"\xff\xfe{}")
        case _:
            path.write_text(TEXTS[kind])


KINDS = (
    "a pipe", "a folder", "a link to nothing", "a link to itself", "a device", "a terabyte", "not UTF-8", *TEXTS,
)  # fmt: skip


# What holds other settings than ltb writes, and is read for one of them at the most.
HARMLESS = {"status.json": {"wrong types within"}, "config.yaml": {"wrong types", "wrong types within", "odd keys"}}


@pytest.fixture
def soon():
    """Whatever waits for ever ends with an error."""

    def late(number, frame):
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def answers(capsys, path, kind, command, *, named):
    """Run a command; it may do without the file (code 0), else it names it in one line."""
    capsys.readouterr()
    code = command()
    out, err = capsys.readouterr()
    assert code in ((1, 2) if named else (0, 1, 2)), (kind, out)
    assert "Traceback" not in out + err
    if code == 2:
        assert len(err.splitlines()) == 1, err
        assert path.name in err, err
    if code == 1:
        assert str(path) in out, out
    return code


@pytest.mark.parametrize("name", ["stage.json", "trained.safetensors", "registration"])
def test_in_a_store(tmp_path, capsys, soon, name):
    folder = tmp_path / "runs" / "store"
    store = Store(folder, Keys({"seed": 0}), run_id="r")
    list(levels(Recipe(schedule=Geometric(0.3, 2), rewind_step="4it"), Toy(), store))
    store.register(write_run(tmp_path / "runs" / "r"), [Dense()])
    path = next((folder / ".runs").iterdir()) if name == "registration" else store.path(Dense()) / name
    affected = {
        "stage.json": ("ls", "tree", "show", "verify", "gc"),
        "trained.safetensors": ("verify",),
        "registration": ("gc",),
    }[name]
    for kind in KINDS:
        plant(path, kind)
        for command in ("ls", "tree", "show", "verify", "gc"):
            if (kind, command) == ("a terabyte", "verify") and name == "trained.safetensors":
                continue  # it is hashed, in its time
            more = {"show": [store.keys(Dense())], "gc": ["--unreferenced", "--weights", "--yes"]}.get(command, [])
            if (name, command) == ("trained.safetensors", "gc"):
                continue  # it removes weights, whatever they are
            given = ["--dir", str(folder), command, *more]
            answers(capsys, path, kind, lambda given=given: store_command.main(given), named=command in affected)


@pytest.mark.parametrize(
    "name", ["levels.csv", "status.json", "config.yaml", "identity.json", "measures.csv", "layers.csv"]
)
def test_in_a_runs_folder(tmp_path, capsys, soon, name):
    runs = tmp_path / "runs"
    given = {"levels": 2, "layers": lambda level: {"a": (round(1000 * 0.8**level), 1000)}}
    folder = write_run(runs / "a", **given)
    (folder / "identity.json").write_text(json.dumps({"settings": {"seed": 0}, "key": "k"}))
    write_measures(folder, [(0, "calibration", "ece", 0.1)])
    path = folder / name
    for kind in KINDS:
        plant(path, kind)
        command = lambda: report.main([str(runs), "--format", "text"])  # noqa: E731
        answers(capsys, path, kind, command, named=kind not in HARMLESS.get(name, ()))


@pytest.mark.parametrize("name", ["jobs", "list", "status"])
def test_in_a_sweeps_folder(tmp_path, capsys, soon, name, monkeypatch):
    sweep = tmp_path / "runs" / "sweeps" / "one"
    sweep.mkdir(parents=True)
    run = write_run(tmp_path / "runs" / "a", levels=2)
    (sweep / JOBS).write_text(json.dumps({"jobs": 1}))
    jobs.add(sweep, run)
    listed = next((sweep / "sweep_runs").iterdir())
    path = {"jobs": sweep / JOBS, "list": listed, "status": run / "status.json"}[name]
    for kind in KINDS:
        plant(path, kind)
        # A run whose status is not whole is one of an unknown state.
        answers(capsys, path, kind, lambda: view.main([str(sweep)]), named=name != "status")
