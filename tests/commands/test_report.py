"""The whole command, as a person runs it."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from ltb.report import command as report
from tests.support.ledgers import write_measures, write_run

ROOT = Path(report.__file__).parents[2]


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(capsys, monkeypatch):
    """The command in this process, which spares each test the start of a JavaScript engine."""

    def command(*arguments, cwd):
        with monkeypatch.context() as patch:
            patch.chdir(cwd)
            try:
                code = report.main([*map(str, arguments)])
            except SystemExit as ended:
                code = ended.code
        return Done(code, *capsys.readouterr())

    return command


def own_process(*arguments, cwd):
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


def test_a_folder_of_runs_becomes_figures_a_table_and_a_tidy_file_in_it(run, tmp_path, study):
    done = run("runs", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "imp 100.00% 3 71.00 ± 1.00 70.50 ± 1.00 800 ± 0" in lines
    assert "64.00% 3 69.00 ± 1.00 68.50 ± 1.00 800 ± 0" in lines
    assert "one_shot 100.00% 3 71.00 ± 1.00 70.50 ± 1.00 800 ± 0" in lines
    assert "6 runs, 6 complete; ± is the sample standard deviation of n seeds" in lines
    figures = [f"{name}.{kind}" for name in ("curves", "relative", "cost") for kind in ("png", "svg", "pdf")]
    tables = ["summary.csv", "matching.csv", "headline.csv", "groups.csv", "differences.csv", "cost.csv"]
    assert lines[-2:] == ["written: runs/report.html", f"and beside it {' '.join([*figures, *tables])}"]
    for name in ("curves", "relative"):
        with Image.open(study / f"{name}.png") as image:
            assert image.format == "PNG"
        assert (study / f"{name}.svg").read_text().startswith("<svg")
        assert (study / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    assert (study / "report.html").read_text().startswith("<!doctype html>")
    table = pd.read_csv(study / "summary.csv", keep_default_na=False)
    assert list(table.columns) == [
        *(
            "task",
            "curve",
            "method",
            "control",
            "variant",
            "level",
            "target_sparsity",
            "sparsity",
            "density",
            "quantity",
        ),
        *("n", "mean", "std", "low", "high", "min", "max", "diverged", "seeds"),
    ]
    assert len(table) == 2 * 3 * 3
    assert set(table["n"]) == {3}
    # Reporting again reads the runs, not the report.
    assert run("runs", cwd=tmp_path).stdout == done.stdout


@pytest.mark.slow
def test_where_it_is_written(run, tmp_path, study):
    for arguments, folder in (
        (["runs/imp-0", "runs/imp-1"], "report"),
        (["runs", "--out", "a/b"], "a/b"),
        (["runs/imp-2"], "runs/imp-2"),
        (["runs/imp-2/levels.csv"], "report"),
    ):
        assert run(*arguments, cwd=tmp_path).returncode == 0
        for name in ("report.html", "curves.png", "curves.svg", "summary.csv"):
            (tmp_path / folder / name).unlink()


@pytest.mark.slow
def test_running_failed_and_incomplete_runs_are_named(run, tmp_path, study):
    write_run(study / "running", 2, state="running", planned=5, method="imp", seed=3)
    write_run(study / "failed", 0, state="failed", error="RuntimeError: boom\n...", planned=5, method="imp", seed=4)
    write_run(study / "stopped", 1, state="interrupted", planned=5, method="imp", seed=5)
    done = run("runs", cwd=tmp_path)
    assert done.returncode == 0
    assert "9 runs, 6 complete" in done.stdout
    assert "not complete: imp-toy-s3-a1b2c3: running, 2 of 5 levels done\n" in done.stdout
    assert "not complete: imp-toy-s4-a1b2c3: failed, 0 of 5 levels done (RuntimeError: boom)\n" in done.stdout
    assert "not complete: imp-toy-s5-a1b2c3: interrupted, 1 of 5 levels done\n" in done.stdout
    table = pd.read_csv(study / "summary.csv").query("method == 'imp' and quantity == 'test/accuracy'")
    assert table["n"].to_list() == [5, 4, 3]


@pytest.mark.slow
def test_what_a_reader_must_know_is_noted(run, tmp_path, study):
    write_run(study / "other", method="imp", seed=0, run_id="imp-toy-s0-ffffff", accuracy=lambda level: 0.5)
    write_run(study / "last", method="imp", seed=7, early_stop_is_last=True)
    write_run(study / "first", method="imp", seed=8, early_stop_is_first=True)
    write_run(
        study / "far",
        method="far",
        seed=1,
        extra=lambda level: {"target_sparsity": 0.9 * level / 2, "density": 1 - 0.9 * level / 2},
    )
    done = run("runs", cwd=tmp_path)
    assert done.returncode == 0
    assert "note: toy: several runs of imp have the same seed but not the same results" in done.stdout
    assert "note: toy: the dense networks of one seed differ" in done.stdout
    assert "note: in 3 of 30 levels validation was best at the last evaluation" in done.stdout
    assert "note: in 3 of 30 levels validation was best at the first evaluation" in done.stdout
    assert "note: toy: far is not compared with imp, the reference: no density within 5% of one of its" in done.stdout


@pytest.mark.slow
def test_a_process_of_its_own_prints_the_same(run, tmp_path, study):
    done = own_process("runs", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == run("runs", cwd=tmp_path).stdout


@pytest.mark.slow
def test_text_prints_the_same_tables_and_writes_nothing(run, tmp_path, study):
    before = set(tmp_path.rglob("*"))
    done = run("runs", "--format", "text", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert set(tmp_path.rglob("*")) == before
    written = run("runs", cwd=tmp_path).stdout.splitlines()
    assert done.stdout.splitlines() == written[:-2]
    assert written[-2].startswith("written: ")


@pytest.mark.slow
def test_the_figures_of_layers_and_cost_are_drawn_where_they_were_recorded(run, tmp_path, study):
    for folder in study.glob("imp-*"):
        lines = ["level,layer,kept,total", "0,a.weight,500,500", "0,b.weight,500,500"]
        lines += ["1,a.weight,400,500", "1,b.weight,400,500", "2,a.weight,300,500", "2,b.weight,340,500"]
        (folder / "layers.csv").write_text("\n".join(lines) + "\n")
        table = pd.read_csv(folder / "levels.csv")
        table.assign(search_steps=2000 * table["level"]).to_csv(folder / "levels.csv", index=False)
    assert run("runs", cwd=tmp_path).returncode == 0
    words = {name: texts(study / f"{name}.svg") for name in ("layers", "cost")}
    assert {"a", "b", "imp"} <= words["layers"]
    assert {"Training steps in all (log scale)", "4,000", "imp"} <= words["cost"]
    assert set(pd.read_csv(study / "densities.csv")["layer"]) == {"a.weight", "b.weight"}


def texts(path):
    return {node.text for node in ET.parse(path).getroot().iter("{http://www.w3.org/2000/svg}text")}


@pytest.mark.slow
def test_tolerance_and_reference_are_what_is_asked_for(run, tmp_path, study):
    for tolerance, density in ((None, None), ("0.01", 0.8), ("0.02", 0.64), ("std", 0.8)):
        given = ["--tolerance", tolerance] if tolerance else []
        assert run("runs", *given, cwd=tmp_path).returncode == 0
        table = pd.read_csv(study / "matching.csv").set_index("method")
        assert table.loc["imp", "density"] == pytest.approx(density or 1.0)
        assert table.loc["imp", "demonstrated_density"] == pytest.approx(density or math.nan, nan_ok=True)
    assert run("runs", "--reference", "one_shot", "--title", "A & B", cwd=tmp_path).returncode == 0
    assert set(pd.read_csv(study / "headline.csv")["b"]) == {"one_shot"}
    page = (study / "report.html").read_text()
    assert "<title>A &amp; B</title>" in page
    assert "imp is better: imp − one_shot = +6.00" in page.replace("\xa0", " ")
    assert run("runs", "--test", "welch", cwd=tmp_path).returncode == 0
    assert set(pd.read_csv(study / "headline.csv")["test"]) == {"welch"}
    assert "Welch’s t, as asked for" in (study / "report.html").read_text().replace("\xa0", " ")


NAME = "<b>IMP</b> & \x1b[31m[red]co"


@pytest.mark.slow
def test_figures_for_a_paper(run, tmp_path, study):
    """Chosen, in this order, under these names, of this size, without a heading."""
    for seed in range(3):
        write_run(study / f"snip-{seed}", method="snip", seed=seed, accuracy=lambda level: 0.6 - 0.1 * level)
    chosen = ["--curve", "one_shot=One shot", "--curve", f"imp={NAME}", "--reference", "imp"]
    done = run("runs", *chosen, "--size", "468x300", "--title", "", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    shown = r"<b>IMP</b> & \x1b[31m[red]co"
    assert f"toy compared with {shown}, seed by seed" in done.stdout
    assert "\x1b" not in done.stdout
    assert (
        "note: 2 of 3 curves of toy were chosen, left out is snip; what is compared and corrected for together"
        in done.stdout
    )
    assert "6 runs, 6 complete" in done.stdout
    for name in ("curves", "relative", "cost"):
        svg = ET.parse(study / f"{name}.svg").getroot()
        assert (svg.get("width"), svg.get("height")) == ("468", "300")
        words = ["".join(node.itertext()) for node in svg.iter("{http://www.w3.org/2000/svg}text")]
        assert [word for word in words if word in ("One shot", shown)][:2] == ["One shot", shown]
        assert not {"toy", "snip", "imp", "one_shot"} & set(words)
        with Image.open(study / f"{name}.png") as image:
            assert image.size == (936, 600)
        assert b"/MediaBox [0 0 468 300]" in (study / f"{name}.pdf").read_bytes()
    headline = pd.read_csv(study / "headline.csv")
    assert headline[["a", "b", "comparisons"]].values.tolist() == [["One shot", NAME, 1]]
    page = (study / "report.html").read_text().replace("\xa0", " ")
    assert "&lt;b&gt;IMP&lt;/b&gt; &amp; \\x1b[31m[red]co" in page
    assert "<b>IMP" not in page
    assert "\x1b" not in page
    assert "<title>study</title>" in page
    assert "2 of 3 curves of toy were chosen, left out is snip; what is compared" in page
    assert "compared and corrected together among the curves that were chosen (1 more left out, see above)" in page


@pytest.mark.slow
def test_a_control_is_chosen_as_it_is_typed_and_a_title_is_that_of_the_figures_too(run, tmp_path, study):
    for seed in range(3):
        write_run(
            study / f"c{seed}", control="reinit", seed=seed, run_id=f"imp-reinit-s{seed}", accuracy=lambda level: 0.6
        )
    done = run("runs", "--curve", "imp-reinit", "--curve", "imp", "--title", "T & co", cwd=tmp_path)
    assert done.returncode == 0
    svg = (study / "curves.svg").read_text()
    assert svg.index("imp · reinit") < svg.index(">imp<")
    assert "T &amp; co" in svg
    assert "<title>T &amp; co</title>" in (study / "report.html").read_text()


@pytest.mark.slow
def test_curves_that_are_equal_are_listed_under_their_figures(run, tmp_path, study):
    for seed in range(3):
        write_run(
            study / f"same-{seed}",
            method="same",
            seed=seed,
            accuracy=lambda level, seed=seed: 0.7 + 0.01 * (seed - level),
        )
    assert run("runs", cwd=tmp_path).returncode == 0
    assert "Equal test accuracy at every density: imp, same." in (study / "curves.svg").read_text()
    assert "Equal at every density: imp, same." in (study / "report.html").read_text()


@pytest.mark.slow
def test_the_page_is_shown_when_asked(run, tmp_path, study, monkeypatch):
    shown = []
    monkeypatch.setattr("webbrowser.open", shown.append)
    assert run("runs", cwd=tmp_path).returncode == 0
    assert run("runs", "--format", "text", "--open", cwd=tmp_path).returncode == 0
    assert shown == []
    assert run("runs", "--open", "--out", "new", cwd=tmp_path).returncode == 0
    assert shown == [(tmp_path / "new" / "report.html").as_uri()]


@pytest.mark.slow
def test_a_runs_own_tolerance_is_the_default(run, tmp_path):
    write_run(tmp_path / "runs" / "a", config={"metric": {"tolerance": 0.02}})
    assert run("runs", cwd=tmp_path).returncode == 0
    assert pd.read_csv(tmp_path / "runs" / "matching.csv")["density"].item() == pytest.approx(0.64)


@pytest.mark.slow
def test_a_run_folders_own_files_are_left_as_they_are(run, tmp_path, study):
    folder = study / "imp-0"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert run("runs/imp-0", cwd=tmp_path).returncode == 0
    assert {name: (folder / name).read_bytes() for name in before} == before


@pytest.mark.slow
def test_a_study_without_status_files_is_not_called_unfinished(run, tmp_path, study):
    tables = [pd.read_csv(path) for path in sorted(study.rglob("levels.csv"))]
    (tmp_path / "old").mkdir()
    pd.concat(tables).to_csv(tmp_path / "old" / "levels.csv", index=False)
    done = run("old", cwd=tmp_path)
    assert done.returncode == 0
    assert "6 runs, 6 without a status file; " in done.stdout
    assert "not complete" not in done.stdout


def test_what_a_person_typed_is_not_markup(run, tmp_path):
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
        (["damaged"], "damaged/run/levels.csv: ends in the middle of line 4"),
        (["started"], "no level is finished yet; not complete: imp-toy-s0-a1b2c3: running, 0 of 5 levels done"),
        (["runs", "--out", "file"], "file"),
        (
            ["runs", "--tolerance", "-1"],
            "argument --tolerance: -1: a number, 0 or more, in the units of the metric (0.01 is 1 point), or std",
        ),
        (["runs", "--test", "z"], "argument --test: invalid choice: 'z'"),
        (["runs", "--reference", "imq"], "reference='imq': no such curve; one of imp, one_shot"),
        (["runs", "--curve", "imq"], "curve='imq': no such curve; one of imp, one_shot"),
        (["runs", "--curve", "shot=x"], "curve='shot=x': no such curve; one of one_shot, imp"),
        (["runs", "--curve", "imp", "--curve", "imp=\x1b[2J"], r"curve='imp=\x1b[2J': imp is asked for twice"),
        (["runs", "--curve", "imp="], "curve='imp=': a name after the ="),
        (["runs", "--curve", "imp", "--reference", "one_shot"], "reference='one_shot': no such curve; one of imp"),
        (
            ["runs", "--size", "9"],
            "argument --size: 9: WIDTHxHEIGHT in points of 1/72 inch, each above 0 and at most 5000",
        ),
        (["runs", "--size", "0x9"], "argument --size: 0x9: WIDTHxHEIGHT in points"),
        (["runs", "--size", "9x9e9"], "argument --size: 9x9e9: WIDTHxHEIGHT in points"),
        (["runs", "--size", "60x60"], "size=60x60: at least "),
        (["runs", "--format", "pdf"], "argument --format: invalid choice: 'pdf'"),
        (["runs", "--wrong"], "unrecognized arguments: --wrong (--help says more)"),
    ],
)
def test_errors_are_one_line_and_exit_code_2(run, tmp_path, study, arguments, text):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    write_run(tmp_path / "started" / "run", 0, state="running", planned=5)
    ledger = write_run(tmp_path / "damaged" / "run") / "levels.csv"
    ledger.write_text(ledger.read_text()[:-20])
    before = set(tmp_path.rglob("*"))
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("python -m ltb.report: ")
    assert text in done.stderr
    assert done.stderr.count("\n") == 1
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_it_trains_nothing_and_imports_nothing_that_trains(tmp_path, study):
    code = (
        "import sys; from ltb.report.command import main; assert main(['runs']) == 0; "
        "trains = {'torch', 'lightning', 'pytorch_lightning', 'hydra', 'wandb', 'sklearn'} & set(sys.modules); "
        "assert not trains, trains"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_mixture_of_commits_is_noted_and_listed(run, tmp_path, study):
    for seed, commit in enumerate(("abc", "def", "def")):
        path = study / f"imp-{seed}" / "status.json"
        status = json.loads(path.read_text())
        made = [{"commit": commit, "versions": {"torch": "2.9"}, "machine": {"cpu": "x"}, "levels": [0, 1]}]
        made += [{**made[0], "commit": "def", "levels": [2]}]
        path.write_text(json.dumps(status | {"made": made}))
    done = run("runs", cwd=tmp_path)
    assert "note: the curves of toy mix levels made with 2 commits (abc, def)\n" in done.stdout
    cells = re.findall(r"<t[dh][^>]*>([^<]*)</t[dh]>", (study / "report.html").read_text())
    at = cells.index("def")
    assert cells[at : at + 8] == [
        "def",
        "torch 2.9",
        "cpu x",
        "3 (7 levels of them)",
        "abc",
        "torch 2.9",
        "cpu x",
        "1 (2 levels of them)",
    ]


@pytest.mark.slow
def test_measures_have_a_table_each_and_a_tidy_file(run, tmp_path, study):
    for seed in range(3):
        folder = study / f"imp-{seed}"
        given = [(level, "overlap", "iou", 1 - 0.1 * level * (1 + seed)) for level in range(3)]
        given += [(0, "overlap", "iou/fc1.weight", 1.0), (None, "overlap", "[b]drift", 0.5)]
        given += [(0, "retrain", "recovered_accuracy", 0.7), (0, "evaluate", "val/accuracy", 0.7)]
        write_measures(folder, [*given, (0, "step_flops", "flops", 6e6)])
    kept = (study / "imp-0" / "measures.csv").read_bytes()
    done = run("runs", cwd=tmp_path)
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    shown = [line for line in lines[lines.index("toy: overlap") + 1 :] if line.strip("─ ")]
    assert shown[:5] == [
        "curve density n iou [b]drift",
        "imp 100 % 3 1 ± 0", "imp 80 % 3 0.8 ± 0.1", "imp 64 % 3 0.6 ± 0.2", "imp several 3 0.5 ± 0",
    ]  # fmt: skip
    assert "imp 100 % 3 70.00 ± 0.00" in lines[lines.index("toy: retrain") :]
    page = (study / "report.html").read_text()
    assert (
        "overlap: mean ± standard deviation over n seeds; all levels, by layer or class as well, are in measure_means.csv."
        in page
    )
    assert "recovered accuracy (%)" in page
    for text in ("toy: evaluate", "toy: step_flops", "val/accuracy"):
        assert text not in done.stdout
    table = pd.read_csv(study / "measure_means.csv")
    assert set(table["measure"]) == {"overlap", "retrain", "evaluate", "step_flops"}
    assert run("runs/imp-0", cwd=tmp_path).returncode == 0
    assert (study / "imp-0" / "measures.csv").read_bytes() == kept
