"""Curves that lie on each other: a table of means, the groups in it, and how they are drawn."""

import math

import pandas as pd
import pytest

from ltb.report.figures import equal

NAN = math.nan


def table(**curves):
    rows = [
        {"curve": name, "density": density, "mean": mean, "low": low, "high": high, "n": n}
        for name, points in curves.items()
        for density, mean, low, high, n in points
    ]
    return pd.DataFrame(rows)


ALONE = [(1.0, 0.7, NAN, NAN, 1), (0.5, 0.6, NAN, NAN, 1)]
ONE = [(1.0, 0.7, 0.6, 0.8, 3), (0.5, 0.6, 0.5, 0.7, 3)]


@pytest.mark.parametrize(
    ("curves", "groups"),
    [
        ({"a": ONE, "b": ONE}, [["a", "b"]]),
        ({"a": ONE, "b": ONE[::-1]}, [["a", "b"]]),
        ({"a": ONE, "b": [ONE[0], (0.5, 0.6 + 1e-9, 0.5, 0.7, 3)]}, []),
        # Summed in another order.
        ({"a": [ONE[0], (0.5, 0.3, 0.2, 0.4, 3)], "b": [ONE[0], (0.5, 0.1 + 0.2, 0.2, 0.4, 3)]}, [["a", "b"]]),
        ({"a": ONE, "b": [ONE[0], (0.5, 0.6, 0.5, 0.7, 2)]}, []),
        ({"a": ONE, "b": [ONE[0], (0.5, 0.6, 0.4, 0.8, 3)]}, []),
        ({"a": ONE, "b": [ONE[0], (0.4, 0.6, 0.5, 0.7, 3)]}, []),
        # One is longer; all share their dense network.
        ({"a": ONE, "b": [*ONE, (0.25, 0.5, 0.4, 0.6, 3)]}, []),
        ({"a": ONE[:1], "b": ONE[:1]}, []),
        ({"a": ALONE, "b": ALONE}, [["a", "b"]]),
        ({"c": ONE, "a": ONE, "x": [ONE[0], (0.5, 0.1, 0.0, 0.2, 3)], "b": ONE}, [["c", "a", "b"]]),
    ],
)
def test_groups(curves, groups):
    assert equal.groups(table(**curves), ["density"]) == groups


def test_the_first_of_the_legend_is_behind_with_a_rim_around_the_next():
    drawn = table(b=ONE, a=ONE, c=ONE[:1])
    found = equal.layered(drawn, [["b", "a"]], ["a", "b", "c"])
    assert found["curve"].tolist() == ["a", "a", "b", "b", "c"]
    assert found["width"].tolist() == [5.0, 5.0, 2.0, 2.0, 2.0]
    assert found["size"].tolist() == pytest.approx([(52**0.5 + 3) ** 2] * 2 + [52] * 3)


def test_many_equal_curves_do_not_grow_without_end():
    names = [f"c{i}" for i in range(20)]
    found = equal.layered(table(**dict.fromkeys(names, ONE)), [names], names)
    assert found["width"].max() == pytest.approx(20)
    assert found.drop_duplicates("curve")["width"].nunique() == 20
