"""What is drawn: small dense networks as points at their size, and curves in the order of each task's own sparsest common point."""

import pandas as pd
import pytest

from ltb.analysis import points, statistics
from ltb.records import ledger

# task -> curve -> its values from dense to sparse, at sparsities 0, 0.2 …
A = {"a": [0.9, 0.8, 0.7, 0.2], "b": [0.9, 0.7, 0.6, 0.5]}
B = {"a": [0.9, 0.8], "c": [0.9, 0.1]}


def table(**tasks):
    return pd.DataFrame(
        [
            {"task": task, "curve": curve, "run_id": f"{task}{curve}", "kind": "value", "direction": "max"}
            | {"level": level, "sparsity": 0.2 * level, "value": value}
            for task, curves in tasks.items()
            for curve, values in curves.items()
            for level, value in enumerate(values)
        ]
    )


@pytest.mark.parametrize(
    ("tasks", "order"),
    [({"A": A}, ["b", "a"]), ({"B": B}, ["a", "c"]), ({"A": A, "B": B}, ["b", "a", "c"])],
)
def test_another_task_that_ends_earlier_moves_nothing(tasks, order):
    assert points.ranked(table(**tasks)) == order


@pytest.mark.parametrize("sparsity", [0.1, 0.3, 0.6, 0.7])
def test_a_single_point_moves_no_curve(sparsity):
    point = {"task": "A", "curve": "student", "run_id": "s", "kind": "value", "direction": "max", "level": 0}
    rows = pd.concat([table(A=A), pd.DataFrame([point | {"sparsity": sparsity, "value": 0.4}])], ignore_index=True)
    found = points.ranked(rows)
    assert [curve for curve in found if curve != "student"] == ["b", "a"]
    assert found.index("student") == (1 if sparsity >= 0.6 else 2)


def test_a_small_dense_network_is_a_point_at_its_share_of_the_parameters_and_the_dense_one_is_none(tmp_path, write_run):
    for name, levels, parameters in (("imp", 3, 1000), ("dense", 1, 1000), ("student", 1, 50), ("wider", 1, 2000)):
        write_run(
            tmp_path / name,
            levels,
            method=name,
            run_id=f"{name}-s0",
            extra=lambda level, n=parameters: {"parameters": n},
        )
    drawn = points.table(ledger.read([tmp_path]))
    assert set(drawn["curve"]) == {"imp", "student"}
    (one,) = drawn[(drawn["curve"] == "student") & (drawn["kind"] == "value")].to_dict("records")
    assert (one["level"], one["density"], one["sparsity"]) == (0, pytest.approx(0.05), pytest.approx(0.95))
    assert drawn.loc[drawn["curve"] == "imp", "density"].max() == 1


def test_a_network_that_was_not_trained_has_no_early_stop_step(tmp_path, write_run):
    steps = {0: (0, 1000, 800), 1: (1000, 1000, 1000), 2: (1000, 1300, 1100)}
    names = ("start_step", "end_step", "early_stop_step")
    write_run(tmp_path / "a", extra=lambda level: dict(zip(names, steps[level], strict=True)))
    found = statistics.distinct(ledger.read([tmp_path]))["early_stop_step"]
    assert found.isna().to_list() == [False, True, False]
    assert found.dropna().to_list() == [800, 100]
