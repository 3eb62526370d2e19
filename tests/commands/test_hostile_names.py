"""Names from run folders and stores that would act on a terminal, a renderer of markup or a spreadsheet: they are shown."""

import csv
import json
import unicodedata
import xml.etree.ElementTree as ET

import pytest
from rich.console import Console

from ltb import measure
from ltb.common.text import FORMULA, printable
from ltb.records import ledger, measured
from ltb.report import command as report
from ltb.run import display, view
from ltb.store import command as store
from ltb.store.stage_files import FIELDS, VERSION, sealed
from tests.support.command import TINY
from tests.support.ledgers import write_measures, write_run

HOSTILE = [
    "\x1b[2J\x1b]0;owned\x07", "a\rb\nc", "\u202etxt.exe", "[/red]", "[bold]x[/]", "=cmd|'/C calc'!A0", "+1", "-1+1", "@SUM(A1)",
    "\tx", "\x9b31m", "<script>alert(1)</script>",
]  # fmt: skip


def harmless(text):
    """Nothing in it is more than a character or the end of a line."""
    assert not {unicodedata.category(c) for c in text.replace("\n", "")} & {"Cc", "Cf", "Cs", "Zl", "Zp"}, repr(text)
    return text


def cells(path):
    with path.open(newline="") as file:
        return [cell for line in csv.reader(file) for cell in line]


@pytest.mark.slow
def test_a_report_on_runs_of_any_name(tmp_path, capsys):
    runs, task = tmp_path / "runs", "".join(HOSTILE)
    for index, name in enumerate(HOSTILE):
        for seed in range(3):
            named = {"run_id": f"{name}{seed}", "method": name, "seed": seed, "task": task, "study": name}
            folder = write_run(
                runs / f"{index}{seed}", **named, accuracy=lambda level, seed=seed: 0.7 + seed / 100 - level / 50
            )
            write_measures(folder, [(level, name, name, 0.5) for level in range(3)])
    write_run(runs / "failed", run_id="f", task=task, state="failed", error=f"ValueError: {HOSTILE[0]}", seed=7)
    assert report.main([str(runs), "--format", "text"]) == 0
    out = harmless("".join(capsys.readouterr()))
    assert [name for name in HOSTILE if printable(name) not in out] == []
    assert report.main([str(runs), "--reference", HOSTILE[0]]) == 0
    harmless("".join(capsys.readouterr()))
    harmless((runs / "report.html").read_text(encoding="utf-8").partition("<script>")[0])
    for figure in runs.glob("*.svg"):
        harmless("".join(ET.parse(figure).getroot().itertext()))
    tables = {path.name: cells(path) for path in runs.glob("*.csv")}
    assert {"summary.csv", "matching.csv", "headline.csv", "measure_means.csv"} <= tables.keys()
    for found in tables.values():
        assert not [cell for cell in found if cell.startswith(FORMULA) and not is_number(cell)]
    # What ltb reads again has the names as they are.
    assert set(ledger.read([runs])["method"]) == {*HOSTILE, "imp"}
    assert [set(measured.read(runs / f"{index}0")["measure"]) for index in range(len(HOSTILE))] == [
        {n} for n in HOSTILE
    ]


def is_number(cell):
    try:
        return cell != "+1" and float(cell) < 0
    except ValueError:
        return False


def stage(folder, **told):
    folder.mkdir(parents=True)
    result = {"start": 0, "stop": 1, "counts": {"w": [1, 2]}, "early_stop_step": 1, "history": []}
    about = dict.fromkeys(FIELDS, "") | {"version": VERSION, "parents": {}, "kept": [], "sha256": {}, "result": result}
    (folder / "stage.json").write_text(json.dumps(sealed(about | {"key": folder.name} | told)))


@pytest.mark.parametrize("name", HOSTILE, ids=[printable(name) for name in HOSTILE])
def test_a_store_of_stages_of_any_name(name, tmp_path, capsys):
    provenance = {"task": name, "seed": name}
    stage(tmp_path / "abc1", label=name, run_id=name, provenance=provenance)
    values = {"values": {f"test/{name}": 0.5}}
    stage(
        tmp_path / "abd2", label="evaluate", run_id=name, provenance=provenance, parents={"abc1": None}, result=values
    )
    for arguments in (["ls"], ["tree"], ["show", "abc"]):
        assert store.main(["--dir", str(tmp_path), *arguments]) == 0
        out = harmless("".join(capsys.readouterr()))
        assert (json.dumps(name) if "show" in arguments else printable(name)) in out
    (tmp_path / f"bad{name.replace('/', '-')}").mkdir()
    assert store.main(["--dir", str(tmp_path), "verify"]) == 1
    harmless("".join(capsys.readouterr()))
    for arguments in (["ls"], ["show", f"x{name}"]):
        assert store.main(["--dir", str(tmp_path), *arguments]) == 2
        assert len(harmless(capsys.readouterr().err).splitlines()) == 1
    with pytest.raises(SystemExit):
        store.main(["--dir", str(tmp_path), f"ls{name}"])
    assert len(harmless(capsys.readouterr().err).splitlines()) == 1


@pytest.mark.parametrize("name", HOSTILE, ids=[printable(name) for name in HOSTILE])
def test_a_sweep_with_runs_of_any_name(name, tmp_path, capsys):
    runs = [tmp_path / "runs" / "a", tmp_path / "runs" / "b"]
    for folder, state in zip(runs, ("failed", "complete"), strict=True):
        write_run(folder, run_id=f"{name} {folder.name}", state=state, error=name if state == "failed" else None)
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    (sweep / "jobs.json").write_text(json.dumps({"jobs": 2}))
    (sweep / "runs.txt").write_text("../runs/a\n../runs/b\n")
    assert view.main([str(sweep)]) == 0
    out = "".join(capsys.readouterr())
    assert harmless(out).count(" done, ") == 2
    assert out.count(printable(name)) >= 2
    assert view.main([str(tmp_path / name.replace("/", "-"))]) == 2
    assert len(harmless(capsys.readouterr().err).splitlines()) == 1


@pytest.mark.parametrize("name", HOSTILE, ids=[printable(name) for name in HOSTILE])
def test_levels_that_a_run_of_any_name_trained(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    row = {"level": 1, "density": 0.5, "early_stop_step": 3, "early_stop_is_last": True, "collapsed_layers": name}
    row |= {"control": name, "diverged": False, f"test/{name}": 0.5}
    with display.Display(name, 10, name) as shown:
        shown.level(row, name)
    Console(stderr=True, width=200).print(display.table([row], name))
    out = harmless(capsys.readouterr().err)
    assert out.count(printable(name)) == 3 + 2
    assert len(out.splitlines()) == 1 + 5


@pytest.mark.slow
def test_runs_of_a_task_that_is_a_formula_are_refused_each_by_a_harmless_line(command, monkeypatch, capsys):
    for seed in (0, 1):
        folder = command.done(*TINY, "method=imp", f"seed={seed}")
        path = folder / "levels.csv"
        path.write_text(path.read_text().replace("noise+mlp", "=1+1\x1b"))
    monkeypatch.chdir(command.folder)
    assert measure.main(["runs", "measure=overlap", "--across", "@out\x1b.csv"]) == 1
    said = harmless("".join(capsys.readouterr())).splitlines()
    assert [line.count("a name that begins with '=' is a formula to spreadsheets") for line in said] == [1, 1]
    assert not (command.folder / "@out\x1b.csv").exists()
