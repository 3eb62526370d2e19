from __future__ import annotations

import math
import time

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from ltb.analysis import cost, matching, paired, statistics
from ltb.records import ledger


def runs(row, values, **given):
    """Rows of one run per seed, `values[seed][level]` its test accuracies."""
    return pd.DataFrame(
        [
            row(level, **({"seed": seed, "run_id": f"imp-toy-s{seed}-a1b2c3", "test/accuracy": value} | given))
            for seed, levels in enumerate(values)
            for level, value in enumerate(levels)
        ]
    )


def points(summary, quantity="test/accuracy"):
    return summary[summary["quantity"] == quantity].set_index("level")


def test_a_table_computed_by_hand(row):
    rows = runs(row, [[0.70, 0.60], [0.72, 0.64], [0.74, 0.56]])
    found = points(statistics.summarise(rows))[statistics.STATISTICS]
    # t(0.975, 2 degrees of freedom) = 4.302653, so half the interval is 4.302653 · std / √3
    expected = pd.DataFrame(
        [
            [3, 0.72, 0.02, 0.72 - 0.0496828, 0.72 + 0.0496828, 0.70, 0.74],
            [3, 0.60, 0.04, 0.60 - 0.0993655, 0.60 + 0.0993655, 0.56, 0.64],
        ],
        columns=statistics.STATISTICS,
        index=found.index,
    )
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-6)


def test_two_seeds_use_the_t_of_one_degree_of_freedom_and_one_seed_has_no_spread(row):
    two = points(statistics.summarise(runs(row, [[0.70], [0.72]]))).loc[0]
    assert two["high"] - two["mean"] == pytest.approx(12.7062 * 0.01, rel=1e-5)
    one = points(statistics.summarise(runs(row, [[0.70]]))).loc[0]
    assert (one["n"], one["mean"], one["min"], one["max"]) == (1, 0.7, 0.7, 0.7)
    assert one[["std", "low", "high"]].isna().all()


@settings(deadline=None)
@given(values=st.lists(st.integers(0, 1000), min_size=2, max_size=12))
def test_agrees_with_scipy_and_numpy(values):
    values = np.array(values) / 1000
    found = statistics.spread(pd.DataFrame({"key": 0, "value": values}).groupby("key")["value"]).loc[0]
    assert found["mean"] == pytest.approx(np.mean(values))
    assert found["std"] == pytest.approx(np.std(values, ddof=1))
    if np.ptp(values) > 0:
        expected = scipy.stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=scipy.stats.sem(values))
        assert (found["low"], found["high"]) == pytest.approx(expected)


@settings(deadline=None, max_examples=20)
@given(order=st.permutations(range(9)))
def test_the_order_of_rows_does_not_matter(order):
    row = {"task": "toy", "method": "imp", "variant": "", "metric": "accuracy", "direction": "max", "folder": ""}
    rows = pd.DataFrame(
        [
            row
            | {"run_id": f"s{seed}", "seed": seed, "level": level, "control": "reinit" if level else "none"}
            | {"target_sparsity": 0.2 * level, "sparsity": 0.2 * level, "density": 1 - 0.2 * level}
            | {"test/accuracy": 0.7 - 0.01 * level * seed, "early_stop_step": 10 * seed}
            for seed in range(3)
            for level in range(3)
        ]
    )
    pd.testing.assert_frame_equal(statistics.summarise(rows.iloc[list(order)]), statistics.summarise(rows))


def test_quantities_are_summarised_each_over_the_seeds_that_have_it(row):
    rows = runs(row, [[0.7, 0.6], [0.72, 0.62]])
    rows.loc[0, "early_stop_step"] = None
    found = statistics.summarise(rows).groupby(["level", "quantity"])["n"].sum()
    assert found.to_dict() == {
        (0, "test/accuracy"): 2,
        (0, "test/accuracy_at_early_stop"): 2,
        (0, "early_stop_step"): 1,
        (1, "test/accuracy"): 2,
        (1, "test/accuracy_at_early_stop"): 2,
        (1, "early_stop_step"): 2,
    }


def test_a_run_found_twice_counts_once(tmp_path, write_run, row):
    for copy in ("a", "b"):
        write_run(tmp_path / copy, 3 if copy == "a" else 2)
    write_run(tmp_path / "other", 3, seed=1)
    rows = ledger.read([tmp_path])
    assert points(statistics.summarise(rows))["n"].to_list() == [2, 2, 2]
    twice = pd.concat([rows, rows])
    pd.testing.assert_frame_equal(statistics.summarise(twice), statistics.summarise(rows))


def test_a_rerun_with_the_same_results_counts_once(row):
    again = runs(row, [[0.7, 0.6]], run_id="imp-toy-s0-a1b2c3.2")
    summary = statistics.summarise(pd.concat([runs(row, [[0.7, 0.6], [0.72, 0.62]]), again]))
    assert points(summary)["n"].to_list() == [2, 2]
    assert set(summary["variant"]) == {""}


def test_the_same_seed_with_other_results_is_kept_apart_and_said_so(row):
    other = runs(row, [[0.7, 0.5]], run_id="imp-toy-s0-d4e5f6")
    rows = pd.concat([runs(row, [[0.7, 0.6], [0.72, 0.62]]), other], ignore_index=True)
    with pytest.warns(
        UserWarning, match="toy: several runs of imp have the same seed.* run a1b2c3, run d4e5f6"
    ) as warned:
        summary = statistics.summarise(rows)
    assert len(warned) == 1
    means = points(summary).loc[1].set_index("variant")["mean"].to_dict()
    assert means == pytest.approx({"": 0.62, "run a1b2c3": 0.6, "run d4e5f6": 0.5})


def test_runs_without_a_value_are_copies_where_they_are_without_it_alike(row):
    nan = float("nan")
    shorter = runs(row, [[0.7, nan]], run_id="imp-toy-s0-a1b2c3.2")
    summary = statistics.summarise(pd.concat([runs(row, [[0.7, nan, 0.5]]), shorter]))
    assert points(summary)["n"].to_dict() == {0: 1, 2: 1}
    with pytest.warns(UserWarning, match="not the same results"):
        statistics.summarise(pd.concat([runs(row, [[0.7, 0.6, 0.5]]), shorter]))


def test_many_runs_of_one_seed_are_told_apart_in_a_second(row):
    """A study's rows of a search over settings that were not kept: each run is compared with each."""
    rows = pd.concat([runs(row, [[0.7, i / 300]], run_id=f"imp-toy-s0-{i:06}") for i in range(300)])
    begun = time.process_time()
    with pytest.warns(UserWarning, match="several runs of imp"):
        found = statistics.distinct(rows)
    assert found["variant"].nunique() == 300
    assert time.process_time() - begun < 3


def test_how_far_a_level_is_from_its_own_dense_network(row):
    rows = runs(row, [[0.7, 0.8], [0.5, 0.4]])
    assert statistics.against_dense(rows)["gap"].to_list() == pytest.approx([0, 0.1, 0, -0.1])
    errors = rows.assign(**{"metric": "mse", "direction": "min", "test/mse": rows["test/accuracy"]})
    assert statistics.against_dense(errors)["gap"].to_list() == pytest.approx([0, -0.1, 0, 0.1])
    assert statistics.against_dense(rows[rows["level"] > 0])[["dense", "gap"]].isna().all(axis=None)


def test_a_run_that_diverged_is_carried_along(row):
    """Infinite and absent values of some levels leave the tables of all others as they are, and warn of nothing."""
    rows = pd.concat(
        [runs(row, [[0.1, 0.2, value]] * 3, method=name, run_id=None) for name, value in (("a", np.inf), ("b", np.nan))]
    )
    rows = rows.assign(run_id=rows["method"] + rows["seed"].astype(str), metric="mse", direction="min")
    rows = rows.assign(**{"test/mse": rows["test/accuracy"]})
    found = matching.table(rows, tolerance=0.1).set_index("curve")
    assert found["density"].to_dict() == pytest.approx({"a": 0.8, "b": 0.8})
    assert found["at_edge"].to_dict() == {"a": 0, "b": 3}
    assert paired.differences(rows)["level_a"].to_list() == [1]
    assert len(cost.table(rows)) == 5


def diverging(row, values, at, **given):
    """Rows of one curve, of which the levels `at` (seed, level) diverged."""
    rows = runs(row, values, **given)
    return rows.assign(diverged=[pair in at for pair in zip(rows["seed"], rows["level"], strict=True)])


@pytest.mark.parametrize("value", [0.1, float("nan")])
def test_a_mean_says_how_many_of_its_seeds_diverged(row, value):
    rows = diverging(row, [[0.7, value], [0.7, 0.6], [0.7, 0.6]], {(0, 1)}, run_id=None)
    rows = rows.assign(run_id=rows["seed"].astype(str))
    for table in (statistics.summarise(rows).query("quantity == 'test/accuracy'"), cost.table(rows)):
        assert table[["diverged", "seeds"]].values.tolist() == [[0, 3], [1, 3]]
        assert table["n"].to_list() == [3, 3 if value == 0.1 else 2]
    every = rows.assign(diverged=True, **{"test/accuracy": float("nan")})
    found = statistics.summarise(every).query("quantity == 'test/accuracy'")
    assert found[["n", "diverged", "seeds"]].values.tolist() == [[0, 3, 3]] * 2
    assert statistics.summarise(every.drop(columns="diverged")).query("quantity == 'test/accuracy'").empty


def test_what_the_ledger_does_not_say_did_not_diverge(row):
    rows = runs(row, [[0.7, 0.6]])
    for unknown in (rows.drop(columns="diverged"), rows.assign(diverged=pd.array([pd.NA] * 2, dtype="boolean"))):
        assert statistics.distinct(unknown)["diverged"].to_list() == [False, False]


def test_dense_networks_that_diverged_are_counted_apart(row):
    rows = diverging(row, [[0.1, 0.6], [0.7, 0.6], [0.9, 0.6]], {(0, 0)}, run_id=None)
    rows = rows.assign(run_id=rows["seed"].astype(str))
    (found,) = statistics.dense(rows).to_dict("records")
    assert (found["n"], found["diverged"], found["mean"]) == (2, 1, pytest.approx(0.8))
    (found,) = statistics.dense(rows.assign(diverged=True)).to_dict("records")
    assert (found["n"], found["diverged"], math.isnan(found["mean"])) == (0, 3, True)
    gaps = statistics.against_dense(rows.assign(diverged=rows["diverged"] | (rows["seed"] == 1) & (rows["level"] == 1)))
    assert gaps["gap"].to_list() == pytest.approx([np.nan, np.nan, 0, np.nan, 0, -0.3], nan_ok=True)
    assert gaps["dense_diverged"].to_list() == [True, True, False, False, False, False]


def test_different_settings_are_different_curves(tmp_path, write_run):
    for rate in (0.2, 0.5):
        for seed in (0, 1):
            write_run(
                tmp_path / f"{rate}{seed}",
                seed=seed,
                run_id=f"imp-toy-s{seed}-{rate}",
                accuracy=lambda level, rate=rate: 0.7 - rate * level / 10,
                config={"rate": rate},
            )
    found = points(statistics.summarise(ledger.read([tmp_path])))
    assert found.groupby("variant")["n"].unique().map(list).to_dict() == {"rate=0.2": [2], "rate=0.5": [2]}


def test_the_dense_level_of_a_control_starts_the_curve_of_the_control(tmp_path, write_run):
    for seed in (0, 1):
        for control in ("none", "reinit"):
            write_run(tmp_path / f"{control}{seed}", control=control, seed=seed, run_id=f"imp-{control}-s{seed}-abc")
    summary = points(statistics.summarise(ledger.read([tmp_path])))
    assert summary.groupby("control")["n"].apply(list).to_dict() == {"none": [2, 2, 2], "reinit": [2, 2, 2]}
    assert statistics.dense(ledger.read([tmp_path]))["n"].to_list() == [2]


def test_a_control_that_has_only_its_dense_level_yet_adds_nothing(tmp_path, write_run):
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", 1, control="reinit", run_id="imp-reinit-toy-s0-abc", state="running")
    summary = points(statistics.summarise(ledger.read([tmp_path])))
    assert summary["n"].to_list() == [1, 1, 1]


def test_dense_counts_each_seed_once_over_all_methods(row):
    rows = pd.concat([runs(row, [[0.70, 0.6], [0.74, 0.6]], method=m, run_id=None) for m in ("a", "b", "c")])
    rows["run_id"] = rows["method"] + rows["seed"].astype(str)
    found = statistics.dense(rows).iloc[0]
    assert (found["n"], found["mean"], found["min"], found["max"]) == (2, pytest.approx(0.72), 0.70, 0.74)
    assert found["std"] == pytest.approx(0.04 / 2**0.5)


def test_dense_networks_that_differ_for_one_seed_are_said_so(row):
    rows = pd.concat([runs(row, [[0.70, 0.6]]), runs(row, [[0.60, 0.5]], method="other", run_id="other")])
    with pytest.warns(UserWarning, match="toy: the dense networks of one seed differ"):
        found = statistics.dense(rows).iloc[0]
    assert (found["n"], found["mean"]) == (1, pytest.approx(0.65))


def test_a_student_beside_tickets_is_not_of_their_dense_network(row):
    tickets = runs(row, [[0.70, 0.6]], variant="", run_id="ticket")
    alone = runs(row, [[0.66]], method="dense", variant="", run_id="alone").assign(seed=7)
    student = runs(row, [[0.60], [0.50]], method="dense", variant="student", run_id=None, parameters=90)
    student["run_id"] = "student" + student["seed"].astype(str)
    with pytest.warns(
        UserWarning, match="toy: networks of several sizes; the dense network is that of 1,020 parameters"
    ):
        found = statistics.dense(pd.concat([tickets, alone, student])).iloc[0]
    assert (found["n"], found["mean"]) == (2, pytest.approx(0.68))
    assert statistics.dense(student).iloc[0]["mean"] == pytest.approx(0.55)  # alone it is the dense network itself


@pytest.mark.parametrize("pruned", [False, True])
def test_one_wider_network_does_not_take_the_place_of_what_most_runs_grow_from(row, pruned):
    tickets = runs(row, [[0.70, 0.6], [0.74, 0.6]], variant="", run_id=None)
    tickets["run_id"] = "ticket" + tickets["seed"].astype(str)
    wide = runs(row, [[0.80, 0.7][: 1 + pruned]], variant="wide", run_id="wide", parameters=5000)
    with pytest.warns(UserWarning, match="that of 1,020 parameters"):
        found = statistics.dense(pd.concat([tickets, wide])).iloc[0]
    assert (found["n"], found["mean"]) == (2, pytest.approx(0.72))


def test_two_networks_of_one_seed_that_are_equally_good_count_twice(row):
    several = [
        runs(row, [[value]], variant=f"v{i}", run_id=f"r{i}", stage=f"s{i}") for i, value in enumerate((0.7, 0.7, 0.6))
    ]
    with pytest.warns(UserWarning, match="differ between runs"):
        assert statistics.dense(pd.concat(several)).iloc[0]["mean"] == pytest.approx(2.0 / 3)


def test_a_regression_run_counts_its_own_metric(tmp_path, write_run):
    metric = {"name": "mse", "direction": "min"}
    extra = {"test/accuracy": None, "test/accuracy_at_early_stop": None}
    for seed in (0, 1):
        write_run(
            tmp_path / str(seed),
            seed=seed,
            metric=metric,
            extra=lambda level, seed=seed: extra | {"test/mse": 0.1 + 0.1 * level + 0.01 * seed},
        )
    rows = ledger.read([tmp_path])
    assert set(statistics.summarise(rows)["quantity"]) == {"test/mse", "early_stop_step"}
    assert points(statistics.summarise(rows), "test/mse")["mean"].to_list() == pytest.approx([0.105, 0.205, 0.305])
    dense = statistics.dense(rows).iloc[0]
    assert (dense["quantity"], dense["direction"], dense["mean"]) == ("test/mse", "min", pytest.approx(0.105))
    found = matching.table(rows, tolerance=0.1).iloc[0]
    assert (found["n"], found["matched"], found["density"]) == (2, 2, pytest.approx(0.8))


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("imp", "none", ""), "imp"),
        (("imp", "reinit", ""), "imp · reinit"),
        (("imp", "none", "rate=0.5"), "imp (rate=0.5)"),
        (("imp", "reinit", "a1b2c3"), "imp · reinit (a1b2c3)"),
    ],
)
def test_names_of_curves(parts, expected):
    assert statistics.name(*parts) == expected


def test_the_early_stop_of_fine_tuning_counts_from_its_own_start(tmp_path, write_run):
    steps = {0: (0, 2000, 400), 1: (2000, 2300, 2100), 2: (2300, 2600, 2310)}
    given = lambda level: dict(zip(("start_step", "end_step", "early_stop_step"), steps[level], strict=True))  # noqa: E731
    write_run(tmp_path / "fine_tune", method="fine_tune", run_id="a", extra=given)
    write_run(tmp_path / "rewound", run_id="b", extra=lambda level: {"start_step": 500 * (level > 0)})
    found = statistics.distinct(ledger.read([tmp_path])).set_index(["method", "level"])["early_stop_step"]
    assert found["fine_tune"].to_list() == [400, 100, 10]
    assert found["imp"].to_list() == [800, 800, 800]


def test_the_draws_of_a_control_are_averaged_within_their_seed(tmp_path, write_run):
    for seed in range(2):
        for draw in range(3):
            at = lambda level, s=seed, d=draw: 0.7 - level * (0.1 * s + 0.01 * d)  # noqa: E731
            about = {"control": "reinit", "seed": seed, "run_id": f"imp-reinit-s{seed}-{draw}"}
            drawn = lambda level, d=draw: {"draw": d if level else None, "diverged": level == d == 2}  # noqa: E731
            write_run(tmp_path / f"{seed}{draw}", accuracy=at, extra=drawn, config={"control": {"draw": draw}}, **about)
        write_run(tmp_path / f"imp{seed}", seed=seed, run_id=f"imp-s{seed}", extra=lambda level: {"draw": None})
    found = statistics.distinct(ledger.read([tmp_path]))
    its = found[found["control"] == "reinit"]
    assert its["value"].to_list() == pytest.approx([0.7, 0.69, 0.68, 0.7, 0.59, 0.48])
    assert its["diverged"].to_list() == [False, False, True] * 2
    assert set(its["variant"]) == {""}
    assert its["run_id"].nunique() == 2
    assert len(found) == 12
