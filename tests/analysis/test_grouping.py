"""The best group, and that curves are called worse which are not in one study of twenty at most."""

from __future__ import annotations

import numpy as np
import pytest

from ltb.analysis import grouping, meeting, paired
from tests.analysis.test_paired import curve, simulated, together


def groups(rows, test="paired"):
    points = meeting.points(rows)
    headline, _ = paired.against(points, reference=None, test=test)
    return grouping.table(points, headline, test=test)


def test_by_hand():
    base, noise = np.array([0.70, 0.71, 0.69, 0.72, 0.70]), np.array([1, -1, 2, -2, 0]) / 1000
    wide = 40 * noise[[1, 2, 3, 4, 0]]
    names = {"a": base, "b": base + noise, "c": base - 0.05 + noise[::-1], "d": base - 0.05 + wide}
    rows = together(*(curve(np.stack([base, values], 1), name) for name, values in names.items()))
    found = groups(rows).set_index("curve")
    assert [set(found.index[:2]), set(found.index[2:])] == [{"a", "b"}, {"c", "d"}]  # a and b tie; so do c and d
    assert found["group"].to_dict() == {"a": "best", "b": "best", "c": "worse", "d": "best"}  # d: as far, but as wide
    assert set(found["pairs"]) == {6}
    assert found.loc["c", "p_best"] < 0.05 < found.loc["d", "p_best"]


def test_lower_is_better_where_it_is():
    about = {"metric": "mse", "direction": "min"}
    parts = [
        curve([[None]] * 4, name, levels=[1], **about).assign(
            **{"test/mse": [value, value + 0.01, value, value + 0.002]}
        )
        for name, value in (("a", 0.5), ("b", 0.3))
    ]
    found = groups(together(*parts)).set_index("curve")
    assert found["group"].to_dict() == {"b": "best", "a": "worse"}


def test_with_two_seeds_nothing_is_worse():
    found = groups(together(curve([[0.7, 0.6]] * 2, "a"), curve([[0.7, 0.1], [0.7, 0.2]], "b")))
    assert (set(found["group"]), set(found["pairs"])) == ({"best"}, {0})


@pytest.mark.parametrize("effects", [(0.0,) * 5, (0.01, 0.01, 0.01, -0.05, -0.05)])
def test_one_of_the_best_is_called_worse_in_one_study_of_twenty_at_most(effects):
    found = groups(simulated(5, repetitions=300, effects=effects, seed=3))
    best = [f"m{i}" for i, effect in enumerate(effects) if effect == max(effects)]
    wrong = (found["group"] == "worse") & found["curve"].isin(best)
    assert wrong.groupby(found["task"]).any().mean() <= 0.075  # 5 %, and what 300 studies may add
    worse = found.loc[~found["curve"].isin(best), "group"]
    assert (worse == "worse").mean() > 0.5 or worse.empty
