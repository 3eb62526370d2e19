"""What gc may free beside runs whose ledgers are damaged, missing or elsewhere; fresh runs begun at once; runs without a store."""

import json
import os
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from ltb.run.setup import Setup
from ltb.store import catalogue, references
from ltb.store import command as command_line
from tests.support.command import TINY, folders, ledger, status


def gc(store, capsys, *arguments):
    capsys.readouterr()
    code = command_line.main(["--dir", str(store), "gc", "--unreferenced", "--yes", *arguments])
    return code, capsys.readouterr()


def keys(store):
    return {folder.name for folder in catalogue.folders(store)}


LEDGERS = {
    "empty": lambda path: path.write_text(""),
    "truncated": lambda path: path.write_text(path.read_text()[:-40]),
    "truncated at a line": lambda path: path.write_text("".join(path.read_text().splitlines(True)[:2])),
    "not yet written": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


def test_stages_of_a_run_whose_ledger_is_not_whole_are_in_use_or_stop_gc(command, capsys):
    run = command.done(*TINY, "method=imp_rewind")
    store, aside = command.runs / "store", command.folder / "aside"
    before = keys(store)
    shutil.copytree(command.runs, aside)

    def damaged(how):
        shutil.rmtree(command.runs)
        shutil.copytree(aside, command.runs)
        LEDGERS[how](run / "levels.csv")

    for how in LEDGERS:
        damaged(how)
        assert (gc(store, capsys)[0], keys(store)) == (0, before), how
    for how in LEDGERS.keys() - {"truncated at a line"}:  # nobody can see that it was
        damaged(how)
        shutil.rmtree(store / references.RUNS)  # as a run that was copied here
        code, told = gc(store, capsys)
        assert (code, keys(store)) == (2, before), how
        assert len(told.err.splitlines()) == 1
        assert "nothing is freed" in told.err


def test_a_store_that_lies_away_from_its_runs_keeps_what_they_need(command, capsys, tmp_path):
    store = tmp_path / "elsewhere" / "store"
    run = command.done(*TINY, "method=imp", f"store.dir={store}")
    before = keys(store)
    assert gc(store, capsys)[0] == 0
    assert keys(store) == before
    # The disk of the runs is not mounted: an empty folder is in its place.
    command.runs.rename(tmp_path / "unmounted")
    for empty in (False, True):
        if empty:
            command.runs.mkdir()
        code, told = gc(store, capsys)
        assert (code, keys(store)) == (0, before)
        assert f"{run} is not where it was, and its stages stay" in told.out
    # Runs that were removed need nothing, where a person says that they were removed.
    (command.runs / "another").mkdir()
    code, told = gc(store, capsys)
    assert (code, keys(store)) == (0, before)
    assert f"{run} was removed or moved, and its stages stay; --removed frees them" in told.out
    assert gc(store, capsys, "--removed")[0] == 0
    assert keys(store) == set()


def test_a_run_whose_folder_was_moved_is_found_below_the_runs_and_keeps_its_stages(command, capsys):
    run = command.done(*TINY, "method=imp")
    store, before = command.runs / "store", keys(command.runs / "store")
    store.rename(command.folder / "store")
    command.runs.rename(command.folder / "old")
    (command.runs / "another").mkdir(parents=True)
    (command.folder / "old" / run.name / "levels.csv").unlink()  # it had only begun
    for more in ((), ("--removed",)):
        assert gc(command.folder / "store", capsys, *more)[0] == 0
        assert keys(command.folder / "store") == before


def test_a_damaged_registration_stops_gc(command, capsys):
    command.done(*TINY, "method=imp")
    store = command.runs / "store"
    before = keys(store)
    (path,) = (store / references.RUNS).iterdir()
    content = path.read_text()
    for text in (
        "",
        content[:-9],
        content.replace("a", "b", 1),
        "[]",
        "[" * 99999,
        json.dumps({"run": 1, "stages": [1]}),
    ):
        path.write_text(text)
        code, told = gc(store, capsys)
        assert (code, keys(store), str(path) in told.err, len(told.err.splitlines())) == (2, before, True, 1)


def test_a_stage_of_a_run_that_nobody_knows_stays(command, capsys):
    one, other = command.done(*TINY, "method=imp"), command.done(*TINY, "method=imp", "seed=1")
    store = command.runs / "store"
    before = keys(store)
    for path in (store / references.RUNS).glob(f"{other.name}*"):
        path.unlink()
    shutil.rmtree(other)
    code, told = gc(store, capsys)
    assert (code, keys(store)) == (0, before)
    assert "8 stages stay: the runs that made them are not known here" in told.out
    shutil.rmtree(one)
    assert gc(store, capsys, "--removed")[0] == 0
    assert len(keys(store)) == 8


@pytest.mark.slow
def test_measures_of_the_initialisation_are_freed_with_the_last_run_of_their_training(command, capsys):
    runs = [command.done(*TINY, method) for method in ("method=imp", "method=imp_reinit")]
    store = command.runs / "store"

    def initial():
        return [e for e in catalogue.entries(store) if e.values is not None and not e.parents]

    assert len(initial()) == 2  # FLOPs of a step, and the loss
    for run, left in zip(runs, (2, 0), strict=True):
        shutil.rmtree(run)
        assert gc(store, capsys, "--removed")[0] == 0
        assert len(initial()) == left
    assert keys(store) == set()


def test_young_stages_of_a_run_that_goes_on_keep_their_weights(command, capsys):
    run = command.done(*TINY, "method=imp")
    store = command.runs / "store"
    told = status(run)
    (run / "status.json").write_text(json.dumps(told | {"state": "running"}))
    assert command_line.main(["--dir", str(store), "gc", "--weights", "--yes"]) == 0
    assert len(list(store.glob("*/trained.safetensors"))) == 3
    for path in store.glob("*/stage.json"):
        os.utime(path, (time.time() - 2 * 86400,) * 2)
    assert command_line.main(["--dir", str(store), "gc", "--weights", "--yes"]) == 0
    assert not list(store.glob("*/trained.safetensors"))


def test_what_a_run_that_begins_while_gc_asks_needs_stays(command, capsys, monkeypatch):
    given = (*TINY, "method=imp")
    run = command.done(*given)
    store = command.runs / "store"
    before = keys(store)
    shutil.rmtree(run)

    def answer(prompt):
        command.done(*given)
        return "y"

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", answer)
    assert command_line.main(["--dir", str(store), "gc", "--unreferenced", "--removed"]) == 0
    assert keys(store) == before


def test_a_run_is_registered_before_it_trains(command, monkeypatch):
    seen = []

    def train(self):
        seen.extend(references.registered(self.setup.store.folder))
        raise KeyboardInterrupt

    monkeypatch.setattr("ltb.run.run.Run.__call__", train)
    assert command(*TINY, "method=imp_rewind").code == 130
    ((folder, stages),) = [(one.folder, one.stages) for one in seen]
    assert folder.parent == command.runs
    assert len(stages) == 4  # two levels, the dense network, the start that they are rewound to


def test_fresh_runs_that_begin_at_once_have_a_folder_each(command, monkeypatch):
    begun, made = Setup.begun, []

    def at_once(self):
        with ThreadPoolExecutor(4) as pool:
            made.extend(pool.map(begun, [self] * 4))
        assert [one.run_id == one.folder.name and one.folder.is_dir() for one in made] == [True] * 4
        return made[0]

    monkeypatch.setattr(Setup, "begun", at_once)
    command.done(*TINY, "method=imp", "fresh=true")
    assert len({one.folder for one in made}) == len({one.store.folder for one in made}) == 4


@pytest.mark.slow
def test_a_fresh_run_that_is_planned_or_refused_makes_no_folder(command):
    assert command(*TINY, "method=imp", "fresh=true", "plan=true").code == 0
    assert command(*TINY, "method=imp", "fresh=true", "metric.name=nope").code == 2
    assert not command.runs.exists()
    first, second = (command.done(*TINY, "method=imp", "fresh=true") for _ in range(2))
    assert second.name == f"{first.name}.2"
    assert command(*TINY, "method=imp", "fresh=true", "plan=true").code == 0
    assert folders(command.runs) == [first, second]


@pytest.mark.slow
def test_levels_of_a_finished_run_that_are_not_in_the_store_are_said_before_they_are_trained_again(command):
    run = command.done(*TINY, "method=imp")
    before = ledger(run)
    store = command.runs / "store"
    shutil.rmtree(store / before[2]["stage"])
    found = command(*TINY, "method=imp")
    assert found.code == 0
    assert found.line == "ltb: 1 of 3 finished levels are not in the store runs/store; they are trained again"
    shutil.rmtree(store)
    found = command(*TINY, "method=imp")
    assert found.line == "ltb: 3 of 3 finished levels are not in the store runs/store; they are trained again"
    assert [row["test/loss"] for row in ledger(run)] == [row["test/loss"] for row in before]
    assert command(*TINY, "method=imp").err == ""


def test_a_registration_is_of_the_folder_wherever_one_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    references.register(tmp_path / "store", tmp_path.relative_to(tmp_path) / "runs" / "a", ["k"])
    (one,) = references.registered(tmp_path / "store")
    assert one == references.Registered(tmp_path / "runs" / "a", frozenset({"k"}))
    assert replace(one, folder=tmp_path / "store" / "gone").removed
    assert not replace(one, folder=tmp_path / "nowhere" / "gone").removed
