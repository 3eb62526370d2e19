"""What is shown of a run: a line a level, a table at its end."""

import math

import pytest
from rich.console import Console

from ltb.run.display import Display, diverged, duration, table

ROW = {
    "level": 1, "density": 0.8, "test/accuracy": 0.91234, "early_stop_step": 300, "early_stop_is_last": False,
    "early_stop_is_first": False, "diverged": False, "collapsed_layers": "", "control": "none",
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "reused", "line"),
    [
        ({}, None, "level  1  density  80.00%  test accuracy 0.9123  early stop at 300"),
        ({"early_stop_step": None}, None, "level  1  density  80.00%  test accuracy 0.9123  no early stop"),
        ({"level": 12, "density": 0.0123}, None, "level 12  density   1.23%  test accuracy 0.9123  early stop at 300"),
        ({}, "imp-s0", "level  1  density  80.00%  test accuracy 0.9123  early stop at 300, reused from imp-s0"),
        (
            {"test/accuracy": None, "diverged": True, "collapsed_layers": "fc1"},
            None,
            "level  1  density  80.00%  test accuracy nan  early stop at 300, diverged, collapsed: fc1",
        ),
        (
            {"control": "shuffle", "early_stop_is_last": True},
            None,
            "level  1  density  80.00%  test accuracy 0.9123  early stop at 300 (the last), shuffle",
        ),
        ({}, "a\x1b[2J", "level  1  density  80.00%  test accuracy 0.9123  early stop at 300, reused from a\\x1b[2J"),
    ],
)
def test_a_level_is_a_plain_line_where_there_is_no_terminal(capsys, changed, reused, line):
    with Display("run", 10, "accuracy") as display:
        display.on_step(5)
        display.level(ROW | changed, reused)
    assert capsys.readouterr().err == f"{line}\n"


def test_a_run_that_is_not_shown_says_nothing(capsys):
    with Display("run", 10, "accuracy", shown=False) as display:
        display.on_step(5)
        display.level(ROW, None)
    assert capsys.readouterr() == ("", "")


def drawn(rows):
    console = Console(width=200)
    with console.capture() as capture:
        console.print(table(rows, "accuracy"))
    return capture.get()


def test_the_table_says_which_step_was_best():
    text = drawn(
        [
            ROW,
            ROW | {"level": 2, "early_stop_is_last": True},
            ROW | {"level": 3, "early_stop_is_first": True, "early_stop_step": 0},
            ROW | {"level": 4, "early_stop_step": None, "test/accuracy": None, "control": "[red]x"},
        ]
    )
    assert "300 (the last)" in text
    assert "0 (the first)" in text
    assert "none" in text
    assert "[red]x" in text  # no markup
    assert "loss" not in text


def test_the_table_has_no_column_that_is_the_same_of_all_levels():
    assert "control" not in drawn([ROW, ROW | {"level": 2}])
    assert "control" in drawn([ROW, ROW | {"level": 2, "control": "shuffle"}])


def test_a_level_that_diverged_has_a_column_and_a_line():
    rows = [ROW, ROW | {"level": 2, "diverged": True, "test/accuracy": math.nan}]
    assert "diverged" in drawn(rows)
    assert diverged(rows) == "1 of 2 levels diverged (loss nan or inf): level 2"
    assert diverged([ROW]) == ""


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (3599.6, "1 h 00 min"), (3661, "1 h 01 min")],
)
def test_a_length_of_time(seconds, said):
    assert duration(seconds) == said
