"""``python -m ltb.store`` and ``plan=true`` on what real runs left."""

import json
import os
import re
import subprocess
import sys
import time

import pytest

from ltb.run import plan
from ltb.store import catalogue
from ltb.store import command as command_line
from tests.support.command import TINY, folders, ledger


@pytest.fixture
def filled(command):
    """A store with IMP, its reinitialisation and IMP with rewinding of one seed."""
    for method in ("imp", "imp_reinit", "imp_rewind"):
        command.done(*TINY, f"method={method}")
    return command


def run(capsys, filled, *arguments):
    capsys.readouterr()
    code = command_line.main(["--dir", str(filled.runs / "store"), *arguments])
    return code, capsys.readouterr().out


def test_ls_show_and_tree_tell_what_is_there(filled, capsys):
    code, out = run(capsys, filled, "ls")
    assert code == 0
    # dense, the start of the rewinding, two levels of each method; an evaluation of each network, and
    # what is measured of an initialisation
    assert len(out.splitlines()) == 1 + 8 + 7 + 2
    assert out.count("dense to step 3") == 1
    assert out.count("evaluate ") == 7
    assert out.count(" reinit ") == 2
    key = ledger(next(f for f in folders(filled.runs) if f.name.startswith("imp-n")))[1]["stage"]
    code, out = run(capsys, filled, "show", key[:7])
    assert json.loads(out)["key"] == key
    code, out = run(capsys, filled, "tree")
    lines = out.splitlines()
    named = [(re.search(r"\b[0-9a-f]{8}\b", line), line) for line in lines]
    depth = {found[0]: len(line) - len(line.lstrip("│├└─ ")) for found, line in named if found}
    assert depth[key[:8]] > depth[next(iter(json.loads(run(capsys, filled, "show", key[:7])[1])["parents"]))[:8]]
    assert "dense to step 3" in out
    assert out.count("(evaluate)") == 7


@pytest.mark.slow
def test_a_key_that_is_not_there_or_not_one_and_a_folder_that_is_no_store(filled, capsys):
    assert run(capsys, filled, "show", "zzz")[0] == 2
    assert run(capsys, filled, "show", "")[0] == 2
    assert command_line.main(["--dir", str(filled.folder / "nowhere"), "ls"]) == 2
    assert capsys.readouterr().err.count("no such folder") == 1


def test_verify_names_each_damaged_file_and_changes_nothing(filled, capsys):
    assert run(capsys, filled, "verify") == (0, "17 stages, 0 files damaged\n")
    first, second, third, *_ = [e.folder for e in catalogue.entries(filled.runs / "store") if e.values is None]
    os.truncate(first / "ticket.safetensors", 100)
    (second / "trained.safetensors").unlink()
    (third / "stage.json").write_text("{")
    code, out = run(capsys, filled, "verify")
    assert code == 1
    assert [
        str(first / "ticket.safetensors") in out,
        str(second / "trained.safetensors") in out,
        str(third) in out,
    ] == [True] * 3
    assert out.endswith("17 stages, 3 files damaged\n")
    assert (first / "ticket.safetensors").stat().st_size == 100


def test_gc_frees_what_no_run_needs_and_asks_first(filled, capsys, monkeypatch):
    store = filled.runs / "store"
    kept = {row["stage"] for f in folders(filled.runs) if f.name.startswith("imp-n") for row in ledger(f)}
    for folder in folders(filled.runs):
        if not folder.name.startswith("imp-n"):
            for path in sorted(folder.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            folder.rmdir()
    (store / ".killed").mkdir()
    os.utime(store / ".killed", (time.time() - 2 * 86400,) * 2)
    assert (
        "nothing was removed: --yes does it" in run(capsys, filled, "gc", "--unreferenced", "--removed")[1]
    )  # stdin is no terminal
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda prompt: "n")
    assert "nothing was removed" in run(capsys, filled, "gc", "--unreferenced", "--removed")[1]
    assert len(catalogue.folders(store)) == 17
    monkeypatch.setattr("builtins.input", lambda prompt: "y")
    before = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    code, out = run(capsys, filled, "gc", "--unreferenced", "--removed")
    assert code == 0
    after = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    assert f"{before - after:,} bytes come free" in out
    assert "9 stages that no run needs" in out
    left = catalogue.entries(store)
    assert {entry.key for entry in left if entry.values is None} == kept
    assert {tuple(entry.parents) for entry in left if entry.values is not None} == {*((key,) for key in kept), ()}
    assert not (store / ".killed").exists()


@pytest.mark.slow
def test_weights_that_were_freed_are_computed_again_to_the_same_ledger(filled, capsys):
    before = {folder.name: ledger(folder) for folder in folders(filled.runs)}
    assert run(capsys, filled, "gc", "--weights", "--yes")[0] == 0
    assert not list((filled.runs / "store").glob("*/trained.safetensors"))
    assert run(capsys, filled, "verify") == (0, "17 stages, 0 files damaged\n")
    longer = filled.done(*TINY, "method=imp", "schedule.levels=3")  # needs the weights of level 2
    whole = next(rows for name, rows in before.items() if name.startswith("imp-n"))
    assert [row["stage"] for row in ledger(longer)[:3]] == [row["stage"] for row in whole]
    assert [row["test/loss"] for row in ledger(longer)[:3]] == [row["test/loss"] for row in whole]


def test_the_store_command_and_the_plan_of_a_sweep_need_no_run(command):
    code = "import sys, ltb.store.command as store; assert 'torch' not in sys.modules, 'torch'; sys.exit(store.main(['ls']))"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=command.folder, capture_output=True, text=True, check=False
    )
    assert found.returncode == 2, found.stderr
    assert "runs/store: no such folder" in found.stderr


@pytest.mark.slow
def test_a_plan_lists_every_stage_and_writes_nothing(command, monkeypatch):
    monkeypatch.setattr(plan, "_planned", {})
    monkeypatch.setattr(plan, "_named", [])
    planned = command("-m", *TINY, "method=imp,imp_rewind,imp_reinit", "seed=0,1", "plan=true")
    assert planned.code == 0
    assert not command.runs.exists()
    last = [line for line in planned.out.splitlines() if line.startswith("so far")][-1]
    # imp trains the dense network without passing step 3, so imp_rewind replays it: 3 iterations for each seed
    assert last.startswith("so far: 22 stages named (154 iterations), 16 to do (106 iterations)")
    command.done(*TINY, "method=imp", "seed=0")
    again = command(*TINY, "method=imp", "seed=0", "plan=true")
    assert again.out.count(" done ") == 3
    assert not [line for line in again.out.splitlines() if " to do " in line and not line.startswith("so far")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("methods", "fresh"), [("imp,imp_rewind,imp_shuffle,random", False), ("imp,imp_shuffle,random", True)]
)
def test_a_sweep_trains_what_its_plan_said(command, monkeypatch, methods, fresh):
    monkeypatch.setattr(plan, "_planned", {})  # as in a process that has planned nothing yet
    given = ("-m", *TINY, f"method={methods}", "seed=0,1", f"fresh={fresh}")
    planned = re.findall(r"(\d+) to do \((\d+) iterations", command(*given, "plan=true").out)[-1]
    assert command(*given).code == 0
    stores = command.runs.glob("*/store") if fresh else [command.runs / "store"]  # one of each run, or one of all
    found = [e.metadata["result"] for store in stores for e in catalogue.entries(store) if e.values is None]
    trained = [result["stop"] - result["start"] for result in found]
    assert (len(trained), sum(trained)) == tuple(map(int, planned))
