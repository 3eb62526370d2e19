"""Measures asked of finished runs, by the command."""

import pytest

from ltb import measure
from tests.support.command import TINY, folders, ledger


@pytest.fixture
def ask(command, capsys, monkeypatch):
    def run(*arguments):
        with monkeypatch.context() as patch:
            patch.chdir(command.folder)
            code = measure.main([*map(str, arguments)])
        return code, capsys.readouterr()

    return run


def rows(folder):
    from ltb.records import record

    return record.read_rows(folder / "measures.csv")


def test_numbers_go_under_the_runs_own_name_and_a_run_without_levels_stops_no_other(command, ask):
    command.done(*TINY, "method=imp")
    fresh = command.done(*TINY, "method=imp", "fresh=true")
    begun = command.done(*TINY, "method=one_shot")
    (begun / "levels.csv").unlink()
    written = {path: path.stat().st_mtime_ns for path in command.runs.rglob("stage.json")}
    code, shown = ask("runs", "measure=calibration,overlap")
    assert code == 1
    assert shown.err == f"ltb: {begun.name}: no level is finished yet\n"
    for folder in folders(command.runs):
        if folder != begun:
            found = rows(folder)
            assert {row["run_id"] for row in found} == {folder.name}
            assert {row["stage"] for row in found if row["level"]} == {row["stage"] for row in ledger(folder)}
            assert {row["measure"] for row in found} == {"calibration", "overlap"}
    assert fresh.name.endswith(".2")
    assert all(path.stat().st_mtime_ns == before for path, before in written.items())  # nothing was trained


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["measure=oberlap"], "measure=oberlap: there is no such measure; there are calibration, evaluate"),
        ([], "measure=NAME is missing; there are calibration"),
        (["measure=calibration", "measure.overlap.x=1"], "measure.overlap: it was not asked for"),
        (["measure=calibration", "measure.calibration.bin=3"], "Calibration has no such setting; it takes split, bins"),
    ],
)
def test_a_typo_is_one_line(command, ask, given, line):
    command.done(*TINY, "method=dense")
    code, shown = ask("runs", *given)
    assert code in (1, 2)
    assert len(shown.err.splitlines()) == 1
    assert line in shown.err
