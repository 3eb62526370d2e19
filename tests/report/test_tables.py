from __future__ import annotations

import io

import pandas as pd
import pytest
from rich.console import Console

from ltb.analysis import cost, grouping, matching, meeting, paired, statistics
from ltb.analysis.tolerances import Tolerance
from ltb.records import ledger
from ltb.report import tables
from ltb.report.measured import Shown

POINT = Tolerance(0.01, "why")


def text(table):
    """What a terminal of no colours shows, a line each, runs of blanks as one."""
    file = io.StringIO()
    Console(file=file, width=200, soft_wrap=True, highlight=False).print(table)
    return [" ".join(line.split()) for line in file.getvalue().splitlines()]


@pytest.fixture
def study(tmp_path, write_run):
    """Two methods with `seeds` seeds each: one_shot is 2 ± 0.1 points below imp at level 1, all levels of imp match."""

    def make(seeds=3, **given):
        for seed in range(seeds):
            for method, drop in (("imp", 0.0), ("one_shot", 0.02 + 0.001 * (seed - 1))):
                write_run(
                    tmp_path / f"{method}{seed}",
                    2,
                    method=method,
                    seed=seed,
                    accuracy=lambda level, drop=drop, seed=seed: 0.7 + 0.01 * seed - drop * level,
                    **given,
                )
        return ledger.read([tmp_path])

    return make


def test_the_summary(study):
    rows = study()
    lines = text(tables.summary("toy", statistics.summarise(rows)))
    assert lines[0] == "toy"
    assert "one_shot 100.00% 3 71.00 ± 1.00 70.50 ± 1.00 800 ± 0" in lines
    assert "80.00% 3 69.00 ± 0.90 68.50 ± 0.90 800 ± 0" in lines
    broken = tables.summary("toy", statistics.summarise(rows.assign(control="reinit")))
    assert "one_shot · reinit 100.00% 3" in " ".join(text(broken))


def test_the_sparsest_matching_ticket(study):
    rows = study()
    lines = text(tables.matching("toy", matching.table(rows, tolerance=0.01), tolerance=POINT))
    assert lines[0] == "toy: sparsest ticket within 1.00 points of dense (why)"
    assert "imp ≤ 80 % 80 %, demonstrably ≤ 80 % 0 to 80 % (95% t) 3 of 3 2,000" in lines
    assert "one_shot none 80 %: −2.25 points is not excluded – 100 % – (no spread) 0 of 3 0" in lines
    one = rows[rows["seed"] == 0]
    assert "imp none fewer than 3 seeds 80 %, one seed ≤ 80 % – 1 of 1 2,000" in text(
        tables.matching("toy", matching.table(one, tolerance=0.01), tolerance=POINT)
    )


def test_the_headline(study):
    rows = study()
    lines = text(tables.headline("toy", paired.headline(rows)))
    assert lines[0] == "toy compared with imp, seed by seed"
    assert "one_shot 80 % 3 −2.00 points −2.25 to −1.75 points 1.00 < 0.001 0.062 worse" in lines
    welch = text(tables.headline("toy", paired.headline(rows, test="welch")))
    assert welch[0] == "toy compared with imp, by Welch's t"
    assert any(line.endswith("1.00 0.062 < 0.001 cannot decide (post hoc: some 6 seeds would)") for line in welch)
    two = text(tables.headline("toy", paired.headline(rows[rows["seed"] < 2])))
    assert two[-2].startswith("one_shot 80 % 2 −1.95 points")
    assert two[-2].endswith("cannot decide (fewer than 3 seeds)")


def test_the_best_and_what_is_worse(study):
    rows = study()
    points = meeting.points(rows)
    headline, _ = paired.against(points, reference=None, test="paired")
    lines = text(tables.groups("toy", grouping.table(points, headline)))
    assert lines[0] == "toy: the best (all 1 pairs compared, Holm)"
    assert "imp 80 % 3 71.00 % 68.52 to 73.48 % – not told from the best" in lines
    assert "one_shot 80 % 3 69.00 % 66.76 to 71.24 % < 0.001 decidedly worse" in lines


@pytest.mark.parametrize(
    ("verdict", "n", "needed", "expected"),
    [
        ("a", 5, float("nan"), "better"),
        ("b", 5, float("nan"), "worse"),
        ("cannot decide", 5, 1234.0, "cannot decide (post hoc: some 1,234 seeds would)"),
        ("cannot decide", 5, float("inf"), "cannot decide (too small to find)"),
        ("cannot decide", 5, float("nan"), "cannot decide"),
        ("cannot decide", 2, 9.0, "cannot decide (fewer than 3 seeds)"),
    ],
)
def test_verdicts_in_words(verdict, n, needed, expected):
    assert tables.verdict({"verdict": verdict, "n": n, "seeds_needed": needed}) == expected


def test_the_cost(study):
    rows = study()
    lines = text(tables.cost("toy", cost.table(rows)))
    assert "imp 80 % 3 2,000 4,000 2.40e+10 71.00 % ▄▄ ▁ 71.00 %, █ 71.00 %" in lines
    assert "one_shot 80 % 3 2,000 4,000 2.40e+10 69.00 % █▁ ▁ 69.00 %, █ 71.00 %" in lines
    before = rows.assign(search_steps=pd.array([pd.NA] * len(rows), dtype="Int64"))
    assert "imp 80 % 3 – – – 71.00 % ▄▄ ▁ 71.00 %, █ 71.00 %" in text(tables.cost("toy", cost.table(before)))


def test_what_a_person_typed_is_not_markup(study):
    rows = study(task="[red]task[/red]").replace({"method": {"one_shot": "[bold]x[/bold]"}})
    shown = [
        tables.summary("[red]task[/red]", statistics.summarise(rows)),
        tables.matching("[red]task[/red]", matching.table(rows, tolerance=0.01), tolerance=POINT),
        tables.headline("[red]task[/red]", paired.headline(rows)),
        tables.cost("[red]task[/red]", cost.table(rows)),
    ]
    for table in shown:
        lines = text(table)
        assert lines[0].startswith("[red]task[/red]")
        assert "[bold]x[/bold]" in " ".join(lines)


def test_a_task_without_anything_to_compare_has_empty_tables(study):
    rows = study(seeds=1)
    rows = rows[(rows["level"] == 0) & (rows["method"] == "imp")]
    found = paired.headline(rows), matching.table(rows, tolerance=0.01)
    assert [len(table) for table in found] == [0, 0]
    assert text(tables.headline("toy", found[0]))[0] == "toy"
    assert (
        text(tables.matching("toy", found[1], tolerance=POINT))[0] == "toy: sparsest ticket within 0.01 of dense (why)"
    )


def test_tables_say_what_diverged_beside_each_number(study):
    rows = study(extra=lambda level: {"diverged": level == 1})
    rows["diverged"] &= rows["seed"] == 0
    summary = text(tables.summary("toy", statistics.summarise(rows)))
    assert "80.00% 3 71.00 ± 1.00 (1 of 3 diverged) 70.50 ± 1.00 (1 of 3 diverged) 800 ± 0 (1 of 3 diverged)" in summary
    assert "imp 100.00% 3 71.00 ± 1.00 70.50 ± 1.00 800 ± 0" in summary
    assert any("71.00 % (1 of 3 diverged)" in line for line in text(tables.cost("toy", cost.table(rows))))
    headline = text(tables.headline("toy", paired.headline(rows)))
    assert any(line.startswith("one_shot 80 % 2 (1 diverged) ") for line in headline)


def test_in_the_place_of_a_matching_ticket_stands_that_the_dense_network_diverged(study):
    rows = study()
    rows["diverged"] = (rows["level"] == 0) & ((rows["method"] == "imp") | (rows["seed"] == 0))
    lines = text(tables.matching("toy", matching.table(rows, tolerance=0.01), tolerance=POINT))
    assert "imp the dense network diverged" in lines
    assert any("0 of 2; 1 more: the dense network diverged" in line for line in lines)


def test_a_measure_of_many_quantities_is_several_tables_whose_columns_can_be_read():
    heads = ["curve", "density", "n", *(f"q{i}" for i in range(14))]
    cells = [[name, "50 %", "3", *(f"{i}.{name}" for i in range(14))] for name in ("imp", "random")]
    shown = tables.measure("toy", Shown("bytes", "", heads, cells))
    assert [text(one)[0] for one in shown] == [f"toy: bytes ({i} of 3)" for i in (1, 2, 3)]
    assert "imp 50 % 3 6.imp 7.imp 8.imp 9.imp 10.imp 11.imp" in text(shown[1])
    assert "random 50 % 3 12.random 13.random" in text(shown[2])
    (one,) = tables.measure("toy", Shown("few", "", heads[:4], [cells[0][:4]]))
    assert text(one)[0] == "toy: few"
