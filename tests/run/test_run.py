"""A run: whatever ends it is in its status, and what was finished before stays."""

import json

import pytest
from hydra import compose, initialize_config_dir

from ltb.core.contracts import Listener
from ltb.run import run as module
from ltb.run import settings
from ltb.run.books import Books
from ltb.run.conf import conf
from ltb.run.run import Run, Several, reused
from ltb.run.setup import setup
from tests.support.command import TINY, ledger

NAMES = {"task": "mnist1d_mlp", "model": "mlp", "data": "noise"}


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(*overrides):
        with initialize_config_dir(conf(), version_base="1.3"):
            config = compose("train", [*TINY, *overrides])
        return setup(settings.resolve(config), NAMES).begun()

    return make


@pytest.fixture(autouse=True)
def _no_figure(monkeypatch):
    monkeypatch.setattr(Run, "_figure", lambda *given, **more: None)  # it takes a second


def status(folder):
    return json.loads((folder / "status.json").read_text())


def cut_off(monkeypatch, after, error):
    """Raise `error` in place of the level after so many."""
    levels = module.levels

    def some(*given, **more):
        for index, level in enumerate(levels(*given, **more)):
            if index == after:
                raise error
            yield level

    monkeypatch.setattr(module, "levels", some)


@pytest.mark.parametrize(
    ("after", "error", "state", "said"),
    [
        (0, RuntimeError("boom"), "failed", "RuntimeError: boom"),
        (1, KeyboardInterrupt(), "interrupted", "interrupted; the same command goes on from the last finished level"),
        (2, SystemExit(3), "failed", "SystemExit: 3"),
    ],
)
def test_what_ended_a_run_is_in_its_status_and_levels_that_are_done_stay(made, monkeypatch, after, error, state, said):
    one = made()
    with monkeypatch.context() as patch:
        cut_off(patch, after, error)
        with pytest.raises(type(error)):
            Run(one)()
    found = status(one.folder)
    assert (found["state"], found["error"], found["levels_done"], found["levels"]) == (state, said, after, 3)
    assert len(ledger(one.folder) if after else []) == after
    # The same command goes on, and one that fails earlier than that takes nothing away.
    rows = Run(one)()
    assert [row["level"] for row in rows] == [0, 1, 2]
    assert status(one.folder)["state"] == "complete"
    whole = {path.name: path.read_bytes() for path in one.folder.glob("*.csv")}
    with monkeypatch.context() as patch:
        cut_off(patch, after, error)
        with pytest.raises(type(error)):
            Run(one)()
    assert {path.name: path.read_bytes() for path in one.folder.glob("*.csv")} == whole
    assert (status(one.folder)["state"], status(one.folder)["levels_done"]) == (state, 3)


def test_a_ledger_that_is_not_of_this_run_or_whose_levels_are_gone_counts_for_nothing(made):
    one = made()
    Run(one)()
    path = one.folder / "levels.csv"
    text = path.read_text()

    def finished():
        books = Books(one, one.folder)
        books.open()
        return books.before

    assert finished() == 3
    path.write_text("".join(text.splitlines(keepends=True)[:3]))
    assert finished() == 2
    path.write_text(text.replace(ledger(one.folder)[1]["stage"], "0" * 20))
    assert finished() == 1
    path.write_text(text[:-5])
    assert finished() == 0
    path.unlink()
    assert finished() == 0
    path.write_text(text)
    (one.store.path(one.stages[0]) / "stage.json").unlink()
    assert finished() == 0


def test_secrets_in_an_error_are_not_written(made, monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "hunter2hunter2")
    one = made("salt=hunter2hunter2")
    cut_off(monkeypatch, 0, RuntimeError("wrong: hunter2hunter2"))
    with pytest.raises(RuntimeError):
        Run(one)()
    assert status(one.folder)["error"] == "RuntimeError: wrong: ***"


def test_several_listeners_hear_the_same():
    heard = []

    class Ear(Listener):
        def __init__(self, name):
            for event in ("on_stage", "on_fit", "on_step", "on_row"):
                setattr(self, event, lambda *given, what=event: heard.append((name, what, given)))

    both = Several(Ear("a"), Ear("b"))
    both.on_stage("stage")
    both.on_fit(0, 5)
    both.on_step(2)
    both.on_row({"step": 2})
    events = [("on_stage", ("stage",)), ("on_fit", (0, 5)), ("on_step", (2,)), ("on_row", ({"step": 2},))]
    assert heard == [(name, *event) for event in events for name in "ab"]


def test_levels_of_others_are_counted_by_run():
    assert reused(["a"], 1) == "1 of 1 levels were not trained by this command: 1 from a"
