"""The order of curves: by each task's own sparsest common point."""

import pandas as pd
import pytest

from ltb.analysis import points

# task -> curve -> its values from dense to sparse, at sparsities 0, 0.2 …
A = {"a": [0.9, 0.8, 0.7, 0.2], "b": [0.9, 0.7, 0.6, 0.5]}
B = {"a": [0.9, 0.8], "c": [0.9, 0.1]}


def table(**tasks):
    return pd.DataFrame(
        [
            {"task": task, "curve": curve, "run_id": f"{task}{curve}", "kind": "value", "direction": "max"}
            | {"sparsity": 0.2 * level, "value": value}
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
