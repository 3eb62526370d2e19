"""The whole command, as a person runs it."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from ltb import report

write_run = runpy.run_path(str(Path(__file__).parent / "results" / "ledgers.py"))["write_run"]
ROOT = Path(report.__file__).parents[1]


def run(*arguments, cwd):
    command = [sys.executable, "-W", "error", "-m", "ltb.report", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env={"PYTHONPATH": str(ROOT), "PATH": ""})


@pytest.fixture
def study(tmp_path):
    for method, drop in (("imp", 0.01), ("one_shot", 0.04)):
        for seed in range(3):
            write_run(
                tmp_path / "runs" / f"{method}-{seed}",
                method=method,
                seed=seed,
                accuracy=lambda level, drop=drop, seed=seed: 0.70 + 0.01 * seed - drop * level,
            )
    return tmp_path / "runs"


def test_a_folder_of_runs_becomes_figures_a_table_and_a_tidy_file_in_it(tmp_path, study):
    done = run("runs", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "imp none 100.00% 3 71.00 ± 1.00 70.50 ± 1.00 800 ± 0" in lines
    assert "64.00% 3 69.00 ± 1.00 68.50 ± 1.00 800 ± 0" in lines
    assert "one_shot none 100.00% 3 71.00 ± 1.00 70.50 ± 1.00 800 ± 0" in lines
    assert "6 runs, 6 complete; ± is the sample standard deviation of n seeds" in lines
    assert lines[-1] == "written: runs/curves.png runs/curves.svg runs/summary.csv"
    with Image.open(study / "curves.png") as image:
        assert image.format == "PNG"
    assert (study / "curves.svg").read_text().startswith("<svg")
    table = pd.read_csv(study / "summary.csv", keep_default_na=False)
    assert list(table.columns) == [
        *("task", "method", "control", "variant", "level", "target_sparsity", "sparsity", "density", "quantity"),
        *("n", "mean", "std", "low", "high", "min", "max"),
    ]
    assert len(table) == 2 * 3 * 3
    assert set(table["n"]) == {3}
    # Reporting again reads the runs, not the report.
    assert run("runs", cwd=tmp_path).stdout == done.stdout


def test_where_it_is_written(tmp_path, study):
    for arguments, folder in (
        (["runs/imp-0", "runs/imp-1"], "report"),
        (["runs", "--out", "a/b"], "a/b"),
        (["runs/imp-2"], "runs/imp-2"),
        (["runs/imp-2/levels.csv"], "report"),
    ):
        assert run(*arguments, cwd=tmp_path).returncode == 0
        for name in ("curves.png", "curves.svg", "summary.csv"):
            (tmp_path / folder / name).unlink()


def test_running_failed_and_incomplete_runs_are_named(tmp_path, study):
    write_run(study / "running", 2, state="running", planned=5, method="imp", seed=3)
    write_run(study / "failed", 0, state="failed", error="RuntimeError: boom\n...", planned=5, method="imp", seed=4)
    write_run(study / "stopped", 1, state="interrupted", planned=5, method="imp", seed=5)
    done = run("runs", cwd=tmp_path)
    assert done.returncode == 0
    assert "9 runs, 6 complete" in done.stdout
    assert "not complete: imp-toy-s3-a1b2c3: running, 2 of 5 levels done\n" in done.stdout
    assert "not complete: imp-toy-s4-a1b2c3: failed, 0 of 5 levels done (RuntimeError: boom)\n" in done.stdout
    assert "not complete: imp-toy-s5-a1b2c3: interrupted, 1 of 5 levels done\n" in done.stdout
    table = pd.read_csv(study / "summary.csv").query("method == 'imp' and quantity == 'test_accuracy'")
    assert table["n"].to_list() == [5, 4, 3]


def test_what_a_reader_must_know_is_noted(tmp_path, study):
    write_run(study / "other", method="imp", seed=0, run_id="imp-toy-s0-ffffff", accuracy=lambda level: 0.5)
    write_run(study / "last", method="imp", seed=7, early_stop_is_last=True)
    done = run("runs", cwd=tmp_path)
    assert done.returncode == 0
    assert "note: toy: several runs of imp have the same seed but not the same results" in done.stdout
    assert "note: toy: the dense networks of one seed differ" in done.stdout
    assert "note: in 3 of 24 levels validation loss was lowest at the last evaluation" in done.stdout


def test_what_a_person_typed_is_not_markup(tmp_path):
    write_run(tmp_path / "runs" / "a", task="[red]task[/red]", method="[bold]imp", run_id="[link=x]id")
    done = run("runs", cwd=tmp_path)
    assert done.returncode == 0
    assert "[red]task[/red]" in done.stdout
    assert "[bold]imp" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "the following arguments are required: PATH (--help says more)"),
        (["absent"], "absent: no such folder"),
        (["empty"], "empty: no run found here or below"),
        (["damaged"], "damaged/run/levels.csv: ends in the middle of line 3"),
        (["started"], "no level is finished yet; not complete: imp-toy-s0-a1b2c3: running, 0 of 5 levels done"),
        (["runs", "--out", "file"], "file"),
        (["runs", "--wrong"], "unrecognized arguments: --wrong (--help says more)"),
    ],
)
def test_errors_are_one_line_and_exit_code_2(tmp_path, study, arguments, text):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    write_run(tmp_path / "started" / "run", 0, state="running", planned=5)
    ledger = write_run(tmp_path / "damaged" / "run") / "levels.csv"
    ledger.write_text(ledger.read_text()[:-200])
    before = set(tmp_path.rglob("*"))
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("python -m ltb.report: ")
    assert text in done.stderr
    assert done.stderr.count("\n") == 1
    assert set(tmp_path.rglob("*")) == before


def test_it_trains_nothing_and_imports_nothing_that_trains(tmp_path, study):
    code = (
        "import sys; from ltb.report import main; assert main(['runs']) == 0; "
        "trains = {'torch', 'lightning', 'pytorch_lightning', 'hydra', 'wandb', 'sklearn'} & set(sys.modules); "
        "assert not trains, trains"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr
