from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from ltb.analysis import matching

DENSITY = [1.0, 0.8, 0.64, 0.512]


@pytest.fixture
def curve(row):
    def make(values, **given):
        """Rows of one curve: `values[seed][level]` its test accuracies; a level that is None is not there."""
        return pd.DataFrame(
            [
                row(level, **({"seed": seed, "run_id": f"imp-toy-s{seed}-abc", "test/accuracy": value} | given))
                for seed, its in enumerate(values)
                for level, value in enumerate(its)
                if value is not None
            ]
        )

    return make


def only(table):
    (found,) = table.to_dict("records")
    return found


def test_a_table_computed_by_hand(curve):
    rows = curve([[0.70, 0.71, 0.70, 0.50], [0.60, 0.61, 0.50, 0.50], [0.65, 0.65, 0.655, 0.60]])
    found = only(matching.table(rows, tolerance=0.01))
    logs = np.log([0.64, 0.8, 0.64])
    half = 4.302653 * logs.std(ddof=1) / 3**0.5
    assert (found["curve"], found["quantity"], found["interval"]) == ("imp", "test/accuracy", "95% t")
    assert (found["n"], found["matched"], found["at_edge"]) == (3, 3, 0)
    assert found["density"] == pytest.approx((0.64 * 0.8 * 0.64) ** (1 / 3))
    assert (found["low"], found["high"]) == pytest.approx((np.exp(logs.mean() - half), np.exp(logs.mean() + half)))
    assert found["value"] == pytest.approx((0.70 + 0.61 + 0.655) / 3)
    assert found["search_steps"] == pytest.approx((4000 + 2000 + 4000) / 3)
    # the mean curve: gaps of level 1 are 0.01, 0.01, 0; of level 2 0, −0.1, 0.005; of level 3 −0.2, −0.1, −0.05
    assert (found["mean_level"], found["mean_density"], found["mean_n"]) == (1, pytest.approx(0.8), 3)
    assert found["gap"] == pytest.approx(0.02 / 3)
    low, high = scipy.stats.ttest_1samp([0.01, 0.01, 0.0], 0).confidence_interval(0.95)
    assert (found["gap_low"], found["gap_high"]) == pytest.approx((low, high))
    assert (found["demonstrated"], found["demonstrated_density"]) == (True, pytest.approx(0.8))  # −0.0077 ≥ −0.01


@pytest.mark.parametrize(
    ("tolerance", "demonstrated", "density"), [(0.0078, True, 0.8), (0.0076, False, np.nan), (0.2, True, 0.8)]
)
def test_demonstrably_is_that_the_interval_excludes_worse_than_the_tolerance(curve, tolerance, demonstrated, density):
    found = only(matching.table(curve([[0.70, 0.71], [0.60, 0.61], [0.65, 0.65]]), tolerance=tolerance))
    assert found["stop"] == ("" if demonstrated else "not excluded")
    assert (found["mean_level"], found["demonstrated"]) == (1, demonstrated)
    assert found["demonstrated_density"] == pytest.approx(density, nan_ok=True)
    two = only(matching.table(curve([[0.70, 0.71], [0.60, 0.61]]), tolerance=tolerance))
    assert (two["gap_low"], two["demonstrated"]) == (pytest.approx(0.01), False)  # no spread, but two seeds only


def test_a_seed_without_any_counts_as_dense(curve):
    found = only(matching.table(curve([[0.7, 0.7, 0.1], [0.7, 0.1, 0.1], [0.7, 0.2, 0.1]]), tolerance=0.01))
    assert (found["n"], found["matched"]) == (3, 1)
    assert found["density"] == pytest.approx(0.8 ** (1 / 3))
    assert found["high"] == 1.0  # the t interval is cut where densities end
    assert (found["value"], found["search_steps"]) == (pytest.approx(0.7), pytest.approx(2000 / 3))
    assert pd.isna(found["mean_level"])
    assert found["demonstrated"] is False


def test_a_ticket_at_the_edge_of_what_was_tried_leaves_the_interval_open(curve):
    rows = curve([[0.7, 0.7, 0.7], [0.7, 0.7, 0.1], [0.7, 0.7, 0.1]])
    found = only(matching.table(rows, tolerance=0.01))
    assert (found["at_edge"], found["low"]) == (1, 0.0)
    assert 0 < found["density"] < found["high"] <= 1


@pytest.mark.parametrize(
    ("seeds", "interval", "low", "high"), [(1, "", np.nan, np.nan), (2, "min–max", 0.64, 0.8), (3, "95% t", None, None)]
)
def test_the_interval_says_what_it_is(curve, seeds, interval, low, high):
    values = [[0.7, 0.7, 0.7, 0.1], [0.7, 0.7, 0.1, 0.1], [0.7, 0.7, 0.7, 0.1]][:seeds]
    found = only(matching.table(curve(values), tolerance=0.0))
    assert found["interval"] == interval
    if low is not None:
        assert (found["low"], found["high"]) == pytest.approx((low, high), nan_ok=True)


def test_one_seed_has_no_interval_at_the_edge_either(curve):
    found = only(matching.table(curve([[0.7, 0.7]]), tolerance=0.01))
    assert (found["at_edge"], found["interval"]) == (1, "")
    assert np.isnan([found["low"], found["high"]]).all()


def test_a_level_that_few_seeds_reached_does_not_speak_for_the_mean(curve):
    rows = curve([[0.7, 0.7, 0.7], [0.7, 0.7, None], [0.7, 0.7, None]])
    found = only(matching.table(rows, tolerance=0.01))
    assert (found["mean_level"], found["mean_n"]) == (1, 3)
    assert found["at_edge"] == 3


def test_runs_that_have_not_pruned_or_have_no_dense_level_are_left_out(curve):
    rows = curve([[0.7, 0.7, 0.1], [0.7, None, None], [None, 0.7, 0.7]])
    assert only(matching.table(rows, tolerance=0.01))["n"] == 1
    dense = matching.table(curve([[0.7]], method="dense"), tolerance=0.01)
    assert len(dense) == 0
    assert dense.dtypes.astype(str).to_dict() == matching.table(rows, tolerance=0.0).dtypes.astype(str).to_dict()


def test_an_error_matches_where_it_is_not_higher(curve):
    rows = curve([[0.1, 0.1, 0.12, 0.3]] * 3, metric="mse", direction="min")
    rows = rows.assign(**{"test/mse": rows["test/accuracy"], "test/accuracy": np.nan})
    found = only(matching.table(rows, tolerance=0.02))
    assert (found["quantity"], found["density"], found["mean_level"]) == ("test/mse", pytest.approx(0.64), 2)
    assert found["gap"] == pytest.approx(-0.02)


def test_everything_pruned_is_a_density_of_0(curve):
    rows = curve([[0.7, 0.7]] * 3)
    rows.loc[rows["level"] == 1, ["density", "sparsity"]] = [0.0, 1.0]
    found = only(matching.table(rows, tolerance=0.0))
    assert (found["density"], found["low"], found["high"]) == (0, 0, 0)


def test_ledgers_from_before_costs_were_recorded(curve):
    rows = curve([[0.7, 0.7, 0.1]] * 3).assign(search_steps=pd.array([pd.NA] * 9, dtype="Int64"))
    assert np.isnan(only(matching.table(rows, tolerance=0.0))["search_steps"])


def with_diverged(rows, *at):
    return rows.assign(diverged=[pair in at for pair in zip(rows["seed"], rows["level"], strict=True)])


def test_a_level_that_diverged_never_matches(curve):
    rows = curve([[0.7, 0.7, 0.7]] * 3)
    found = only(matching.table(with_diverged(rows, (0, 2)), tolerance=0.01))
    assert (found["n"], found["matched"], found["at_edge"], found["dense_diverged"]) == (3, 3, 2, 0)
    assert found["density"] == pytest.approx((0.8 * 0.64 * 0.64) ** (1 / 3))
    assert found["mean_level"] == 1  # at level 2 the mean holds a seed that diverged
    found = only(matching.table(with_diverged(rows, *((0, level) for level in (1, 2))), tolerance=0.01))
    assert (found["n"], found["matched"], found["density"]) == (3, 2, pytest.approx((1 * 0.64 * 0.64) ** (1 / 3)))
    assert pd.isna(found["mean_level"])  # nor do the two seeds that are left at both levels speak for it


def test_nothing_is_compared_with_a_dense_network_that_diverged(curve):
    rows = curve([[0.1, 0.7, 0.1], [0.7, 0.7, 0.1]])
    found = only(matching.table(with_diverged(rows, (0, 0)), tolerance=0.01))
    assert (found["n"], found["matched"], found["dense_diverged"]) == (1, 1, 1)
    assert found["density"] == pytest.approx(0.8)
    found = only(matching.table(with_diverged(rows, (0, 0), (1, 0)), tolerance=0.01))
    assert (found["n"], found["matched"], found["dense_diverged"], found["demonstrated"]) == (0, 0, 2, False)
    assert np.isnan([found["density"], found["value"], found["mean_density"]]).all()


@settings(deadline=None, max_examples=12)
@given(
    values=st.lists(st.lists(st.integers(0, 10), min_size=4, max_size=4), min_size=1, max_size=5),
    a=st.integers(0, 10),
    b=st.integers(0, 10),
)
def test_is_made_of_what_each_run_says_and_a_wider_tolerance_never_finds_less(values, a, b):
    rows = pd.DataFrame(
        [
            {"run_id": f"s{seed}", "task": "toy", "method": "imp", "control": "none", "seed": seed, "level": level}
            | {"target_sparsity": 1 - DENSITY[level], "sparsity": 1 - DENSITY[level], "density": DENSITY[level]}
            | {"test/accuracy": value / 10, "search_steps": level}
            for seed, its in enumerate(values)
            for level, value in enumerate(its)
        ]
    )
    narrow, wide = (only(matching.table(rows, tolerance=t / 10)) for t in sorted((a, b)))
    assert wide["density"] <= narrow["density"] * (1 + 1e-12)
    assert wide["matched"] >= narrow["matched"]
    last = [max(n for n, value in enumerate(its) if value >= its[0] - max(a, b)) for its in values]
    assert wide["density"] == pytest.approx(np.exp(np.mean(np.log([DENSITY[level] for level in last]))))
    assert wide["matched"] == sum(level > 0 for level in last)


@pytest.mark.parametrize("tolerance", [-0.1, float("nan")])
def test_a_tolerance_below_0_is_refused(curve, tolerance):
    with pytest.raises(ValueError, match=f"^tolerance={tolerance}: must be at least 0$"):
        matching.table(curve([[0.7, 0.7]]), tolerance=tolerance)


def test_the_sequence_ends_at_the_first_level_that_fails_and_says_why(curve):
    noisy = [[0.7, 0.7, 0.60, 0.7], [0.6, 0.601, 0.55, 0.601], [0.65, 0.649, 0.66, 0.649]]
    found = only(matching.table(curve(noisy), tolerance=0.01))
    gaps = np.array([-0.1, -0.05, 0.01])
    low = scipy.stats.ttest_1samp(gaps, 0).confidence_interval(0.95).low
    assert (found["demonstrated_level"], found["demonstrated_density"]) == (1, pytest.approx(0.8))
    assert (found["stop"], found["stop_density"], found["stop_low"]) == ("not excluded", 0.64, pytest.approx(low))
    # Level 3 matches on average, and would be demonstrated if it stood alone: level 2 is named beside it.
    assert (found["mean_level"], found["demonstrated"], found["mean_fails"]) == (3, False, pytest.approx(0.64))
    assert found["demonstrated_edge"] is False


@pytest.mark.parametrize(
    ("values", "lost", "stop", "level"),
    [
        ([[0.7, 0.7]] * 2, (), "few seeds", None),
        ([[0.7, 0.7, 0.7]] * 3, ((0, 2),), "diverged", 1),
        ([[0.7, 0.7, 0.7]] * 3 + [[0.7, 0.7, None]], (), "not all seeds", 1),
        ([[0.7, 0.7, 0.7]] * 3, (), "", 2),
    ],
)
def test_why_no_more_is_demonstrated(curve, values, lost, stop, level):
    found = only(matching.table(with_diverged(curve(values), *lost), tolerance=0.01))
    assert found["stop"] == stop
    assert (None if pd.isna(found["demonstrated_level"]) else found["demonstrated_level"]) == level
    assert found["demonstrated_edge"] == (stop == "")


def test_welchs_bound_is_scipys(curve):
    values = [[0.70, 0.71], [0.60, 0.63], [0.65, 0.64], [0.66, 0.66]]
    found = only(matching.table(curve(values), tolerance=0.2, test="welch"))
    a, b = np.array(values)[:, 1], np.array(values)[:, 0]
    low = scipy.stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95).low
    assert (found["demonstrated_low"], found["test"]) == (pytest.approx(low), "welch")
    with pytest.raises(ValueError, match=r"^test=z: one of paired, welch$"):
        matching.table(curve(values), tolerance=0.2, test="z")


def simulated(gaps, n, *, studies, seed):
    """Rows of `studies` tasks: dense = the seed's own share; a level = less of that share + its gap + noise."""
    rng = np.random.default_rng(seed)
    dense = rng.normal(0.7, 0.007, (studies, n, 1))
    levels = 0.7 + 0.4 * (dense - 0.7) + np.array(gaps) + rng.normal(0, 0.007, (studies, n, len(gaps)))
    values = np.concatenate([dense, levels], axis=2)
    study, s, level = (index.ravel() for index in np.indices(values.shape))
    density = 0.8**level
    return pd.DataFrame(
        {
            "run_id": [f"{i}-{j}" for i, j in zip(study, s, strict=True)],
            **{"task": [f"t{i:04}" for i in study], "method": "imp", "control": "none", "seed": s, "level": level},
            **{"target_sparsity": 1 - density, "sparsity": 1 - density, "density": density},
            **{"test/accuracy": values.ravel(), "search_steps": 0},
        }
    )


@pytest.mark.parametrize(("n", "inside"), [(3, 0), (5, 3)])
def test_what_is_demonstrated_is_too_sparse_in_5_percent_of_studies_at_most(n, inside):
    """The truth is just outside the tolerance from a level on."""
    rows = simulated([0.0] * inside + [-0.002001] * 4, n, studies=300, seed=n)
    found = matching.table(rows, tolerance=0.002)
    sparser = 0.8**inside * (1 - 1e-9)
    assert (found["demonstrated_density"] < sparser).mean() <= 0.05
    assert (found["mean_density"] < sparser).mean() > 0.5  # on average: what is shown beside it
