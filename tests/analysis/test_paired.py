from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from ltb.analysis import inference, paired
from ltb.records import ledger


def curve(values, method="imp", *, levels=None, targets=None, densities=None, seeds=None, **given):
    """Rows of one curve: `values[seed][level]` its test accuracies, at 20 % a level unless told."""
    rows = []
    for s, its in enumerate(values):
        for i, value in enumerate(its):
            level = levels[i] if levels else i
            target = targets[i] if targets else 1 - 0.8**level
            density = densities[i] if densities else 1 - target
            seed = seeds[s] if seeds else s
            about = {"run_id": f"{method}-{given.get('task', 'toy')}-s{seed}-abc", "task": "toy", "method": method}
            place = {"control": "none", "seed": seed, "level": level, "target_sparsity": target}
            measured = {"sparsity": 1 - density, "density": density, "test/accuracy": value}
            rows.append(about | place | measured | given)
    return pd.DataFrame(rows)


def together(*parts):
    return pd.concat(parts, ignore_index=True)


def test_a_table_computed_by_hand():
    a = curve([[0.7, 0.62], [0.7, 0.64], [0.7, 0.66]], "a")
    b = curve([[0.7, 0.60], [0.7, 0.61], [0.7, 0.62]], "b")
    (row,) = paired.differences(together(a, b)).to_dict("records")
    # differences 0.02, 0.03, 0.04: mean 0.03, std 0.01; t(0.975, 2) = 4.302653; p from t = 0.03 / (0.01 / √3)
    half = 4.302653 * 0.01 / 3**0.5
    expected = {"a": "a", "b": "b", "level_a": 1, "level_b": 1, "n": 3, "verdict": "a", "quantity": "test/accuracy"}
    assert {name: row[name] for name in expected} == expected
    numbers = [row[name] for name in ("mean", "std", "low", "high", "density", "target_sparsity", "p")]
    assert numbers == pytest.approx([0.03, 0.01, 0.03 - half, 0.03 + half, 0.8, 0.2, 0.0351], abs=1e-5)
    assert np.isnan(row["seeds_needed"])


@settings(deadline=None, max_examples=15)
@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=3, max_size=9))
def test_agrees_with_scipys_paired_t(values):
    a, b = np.array(values).T / 1000
    (row,) = paired.differences(
        together(curve(a[:, None], "a", levels=[1]), curve(b[:, None], "b", levels=[1]))
    ).to_dict("records")
    assert row["mean"] == pytest.approx(np.mean(a - b))
    if np.ptp(np.array(values) @ [1, -1]) > 0:
        test = scipy.stats.ttest_rel(a, b)
        assert row["p"] == pytest.approx(test.pvalue, rel=1e-6)
        assert (row["low"], row["high"]) == pytest.approx(tuple(test.confidence_interval(0.95)), abs=1e-12)
        assert (row["verdict"] != "cannot decide") == (test.pvalue < 0.05)


@settings(deadline=None, max_examples=10)
@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=3, max_size=9))
def test_agrees_with_scipys_welch_and_correlation(values):
    a, b = np.array(values).T / 1000
    rows = together(curve(a[:, None], "a", levels=[1]), curve(b[:, None], "b", levels=[1]))
    (row,) = paired.differences(rows, test="welch").to_dict("records")
    (other,) = paired.differences(rows).to_dict("records")
    assert (row["p_paired"], row["p_welch"]) == (other["p_paired"], other["p_welch"])
    assert (row["p"], other["p"]) == (row["p_welch"], row["p_paired"])
    if np.ptp(a) > 0 and np.ptp(b) > 0:
        test = scipy.stats.ttest_ind(a, b, equal_var=False)
        assert row["p"] == pytest.approx(test.pvalue, rel=1e-6)
        assert (row["low"], row["high"]) == pytest.approx(tuple(test.confidence_interval(0.95)), abs=1e-12)
        assert row["correlation"] == pytest.approx(np.corrcoef(a, b)[0, 1], abs=1e-6)


@pytest.mark.parametrize(
    ("difference", "seeds", "verdict", "p"),
    [(0.01, 3, "a", 0), (-0.01, 3, "b", 0), (0.0, 5, "cannot decide", 1), (0.01, 2, "cannot decide", 0)],
)
def test_differences_without_spread_are_a_point(difference, seeds, verdict, p):
    base = [0.70, 0.71, 0.69, 0.725, 0.68][:seeds]
    a, b = curve([[v + difference] for v in base], "a", levels=[1]), curve([[v] for v in base], "b", levels=[1])
    (row,) = paired.differences(together(a, b)).to_dict("records")
    assert (row["std"], row["p"], row["verdict"]) == (0, p, verdict)
    assert row["low"] == row["mean"] == row["high"] == pytest.approx(difference)
    assert np.isnan(row["seeds_needed"])


def test_fewer_than_three_seeds_never_decide():
    clear = [[0.9], [0.9001]], [[0.1], [0.1002]]
    for n in (1, 2):
        a, b = (curve(values[:n], name, levels=[1]) for values, name in zip(clear, "ab", strict=True))
        (row,) = paired.differences(together(a, b)).to_dict("records")
        assert (row["n"], row["verdict"]) == (n, "cannot decide")
        assert np.isnan([row["low"], row["std"], row["p"]]).all() == (n == 1)
        (told,) = paired.headline(together(a, b)).to_dict("records")
        assert (told["verdict"], told["comparisons"]) == ("cannot decide", 0)
        assert np.isnan(told["p_holm"])


def test_only_seeds_that_both_have_are_paired():
    a = curve([[0.7], [0.6], [0.5], [0.4]], "a", levels=[1], seeds=[0, 1, 2, 3])
    b = curve([[0.1], [0.3], [0.2], [0.1]], "b", levels=[1], seeds=[9, 2, 1, 0])
    (row,) = paired.differences(together(a, b)).to_dict("records")
    assert (row["n"], row["mean"]) == (3, pytest.approx((0.6 + 0.4 + 0.2) / 3))
    assert paired.differences(together(a, curve([[0.5]], "b", levels=[1], seeds=[9]))).empty


def test_an_error_is_better_where_it_is_lower():
    about = {"metric": "mse", "direction": "min"}
    a = curve([[None]] * 3, "a", levels=[1], **about).assign(**{"test/mse": [0.1, 0.2, 0.3]})
    b = curve([[None]] * 3, "b", levels=[1], **about).assign(**{"test/mse": [0.2, 0.31, 0.4]})
    (row,) = paired.differences(together(a, b)).to_dict("records")
    assert (row["quantity"], row["direction"], row["verdict"]) == ("test/mse", "min", "a")
    assert row["mean"] == pytest.approx(-0.31 / 3)


def test_level_0_is_compared_only_where_the_dense_networks_differ():
    a, b = curve([[0.7, 0.6], [0.71, 0.6]], "a"), curve([[0.7, 0.5], [0.71, 0.5]], "b")
    assert paired.differences(together(a, b))["level_a"].to_list() == [1]
    b.loc[0, "test/accuracy"] = 0.72
    assert paired.differences(together(a, b))["level_a"].to_list() == [0, 1]


def test_levels_meet_by_target_else_by_density_and_never_in_between():
    shared = {"targets": [0.2, 0.5, 0.75], "densities": [0.8, 0.5, 0.25], "levels": [1, 2, 3]}
    a = curve([[0.5, 0.6, 0.7]], "a", **shared)
    # 0.2 up to rounding at another level; a target of its own with a's density; none near
    others = {"targets": [0.2 + 1e-12, 0.48, 0.74], "densities": [0.81, 0.5 + 4e-7, 0.27], "levels": [4, 5, 6]}
    b = curve([[0.4, 0.4, 0.4]], "b", **others)
    found = paired.differences(together(a, b))
    assert found[["level_a", "level_b"]].values.tolist() == [[1, 4], [2, 5]]
    assert found["mean"].to_list() == pytest.approx([0.1, 0.2])
    assert found["density"].to_list() == pytest.approx([0.805, 0.5])


def test_a_level_with_its_equal_by_target_is_not_compared_by_density_as_well():
    a = curve([[0.5, 0.6]], "a", targets=[0.2, 0.3], densities=[0.8, 0.7], levels=[1, 2])
    b = curve([[0.5, 0.6]], "b", targets=[0.2, 0.3], densities=[0.7, 0.6], levels=[1, 2])
    assert paired.differences(together(a, b))[["level_a", "level_b"]].values.tolist() == [[1, 1], [2, 2]]


def test_the_densities_of_very_sparse_levels_are_told_apart():
    shared = {"targets": [1 - 2e-6, 1 - 1.5e-6], "densities": [2e-6, 1.5e-6]}
    a, b = curve([[0.5, 0.4]], "a", levels=[1, 2], **shared), curve([[0.3, 0.2]], "b", levels=[1, 2], **shared)
    b["target_sparsity"] -= 1e-7  # so that they meet by density
    found = paired.differences(together(a, b))
    assert found[["level_a", "level_b"]].values.tolist() == [[1, 1], [2, 2]]


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_seed_that_diverged_is_left_out_and_n_says_so(value):
    a, b = curve([[0.7, 0.6]] * 4, "a"), curve([[0.7, 0.5]] * 4, "b")
    for rows in (a, b):
        rows.loc[1, "test/accuracy"] = value
    (row,) = paired.differences(together(a, b)).to_dict("records")
    assert (row["n"], row["mean"], row["verdict"]) == (3, pytest.approx(0.1), "a")


def test_a_seed_whose_value_is_finite_though_it_diverged_is_left_out_and_counted():
    a, b = curve([[0.7, 0.6]] * 4, "a"), curve([[0.7, 0.5]] * 4, "b")
    lost = together(a, b).assign(diverged=False)
    lost.loc[(lost["method"] == "b") & (lost["seed"] == 0) & (lost["level"] == 1), ["diverged", "test/accuracy"]] = [
        True,
        0.9,
    ]
    (row,) = paired.differences(lost).to_dict("records")
    assert (row["n"], row["diverged"], row["mean"], row["verdict"]) == (3, 1, pytest.approx(0.1), "a")
    (row,) = paired.headline(lost.assign(diverged=lost["method"] == "a")).to_dict("records")
    assert (row["n"], row["diverged"], row["verdict"]) == (0, 4, "cannot decide")
    assert np.isnan([row["mean"], row["low"], row["p"], row["p_holm"], row["seeds_needed"]]).all()


def test_every_pair_once_or_each_with_the_reference():
    rows = together(*(curve([[0.7, 0.6]] * 3, name) for name in ("x", "imp", "one_shot")))
    rows = together(rows, curve([[0.7, 0.5]] * 3, "imp", control="reinit", run_id="r").assign(run_id=list("ppqqrr")))
    pairs = paired.differences(rows)[["a", "b"]].values.tolist()
    names = ["imp", "imp · reinit", "one_shot", "x"]
    assert pairs == [[a, b] for i, a in enumerate(names) for b in names[i + 1 :]]
    found = paired.differences(rows, reference="one_shot")
    assert found[["a", "b"]].values.tolist() == [[a, "one_shot"] for a in ("imp", "imp · reinit", "x")]
    with pytest.raises(ValueError, match=r"^reference='imq': no such curve; one of imp, imp · reinit, one_shot, x$"):
        paired.differences(rows, reference="imq")
    with pytest.raises(ValueError, match=r"^reference='imq'"):
        paired.headline(rows, reference="imq")


def test_tasks_are_not_mixed_and_one_curve_alone_has_nothing_to_compare():
    rows = together(curve([[0.7, 0.6]], "a", task="one"), curve([[0.7, 0.6]], "b", task="two"))
    for found in (paired.differences(rows), paired.headline(rows), paired.headline(rows, reference="a")):
        assert found.empty
        assert list(found.columns)[: len(paired.COLUMNS)] == paired.COLUMNS


@settings(deadline=None, max_examples=5)
@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(random):
    values = np.random.default_rng(0).uniform(0.4, 0.8, (2, 4, 3))
    rows = together(curve(values[0], "a"), curve(values[1], "b"))
    order = list(range(len(rows)))
    random.shuffle(order)
    for function in (paired.differences, paired.headline):
        pd.testing.assert_frame_equal(function(rows.iloc[order]), function(rows))


@pytest.mark.parametrize("ratio", [0.3, 0.5, 1.0, 2.0, 5.0])
def test_the_seeds_needed_give_a_power_of_80_percent_by_the_noncentral_t(ratio):
    (n,) = inference.seeds_needed(pd.Series([0.01]), pd.Series([0.01 / ratio]))

    def power(n):
        edge = scipy.stats.t.ppf(0.975, n - 1)
        return scipy.stats.nct.sf(edge, n - 1, ratio * n**0.5)

    assert n >= 3
    assert power(n) >= 0.79
    assert n == 3 or power(n - 1) < 0.81  # and not many more than needed


def test_seeds_needed_are_more_than_there_are_and_end():
    found = inference.seeds_needed(pd.Series([1e-12, 0.0, np.nan, 0.01]), pd.Series([1.0, 1.0, np.nan, 0.0]))
    assert found.iloc[0] == np.inf
    assert found.iloc[1:].isna().all()
    noisy = np.random.default_rng(1).normal(0.6, 0.02, (2, 5, 2))
    table = paired.differences(together(curve(noisy[0], "a"), curve(noisy[1], "b")))
    undecided = table[table["verdict"] == "cannot decide"]
    assert len(undecided) > 0
    assert (undecided["seeds_needed"] > undecided["n"]).all()


def test_the_headline_is_holms_over_the_curves_of_a_task():
    rng = np.random.default_rng(5)
    names = ["a", "b", "c", "d", "e"]
    rows = [curve(rng.normal(0.6 + 0.006 * i, 0.01, (6, 2)), name) for i, name in enumerate(names)]
    found = paired.headline(together(*rows, curve([[0.5, 0.5]] * 2, "few")), reference="a").set_index("a")
    assert found.loc["few", "verdict"] == "cannot decide"
    assert np.isnan(found.loc["few", "p_holm"])
    found = found.drop("few")
    assert set(found["comparisons"]) == {4}
    p = {
        name: scipy.stats.ttest_rel(part["test/accuracy"][1::2], rows[0]["test/accuracy"][1::2]).pvalue
        for name, part in zip(names[1:], rows[1:], strict=True)
    }
    for name, value in p.items():  # the definition, without sorting
        at_or_below = [other for other in p.values() if other <= value]
        expected = max(min(1.0, sum(p_ >= other for p_ in p.values()) * other) for other in at_or_below)
        assert found.loc[name, "p_holm"] == pytest.approx(expected)
        assert (found.loc[name, "verdict"] != "cannot decide") == (expected < 0.05)
    assert (found["p_holm"] >= found["p"] - 1e-15).all()
    # The example decides some and would decide more if the number of comparisons were not minded.
    assert 0 < (found["p_holm"] < 0.05).sum() < (found["p"] < 0.05).sum()


def test_the_headline_is_at_the_sparsest_target_where_all_seeds_are():
    a, b, c = (curve([[0.7, 0.6, 0.5, 0.4]] * 3, name) for name in "abc")
    c = c[c["level"] <= 2]  # its schedule ends before
    b = b[(b["level"] <= 2) | (b["seed"] == 0)]  # and two runs of b are still going on
    found = paired.headline(together(a, b, c), reference="a")
    assert found[["a", "level_a", "n"]].values.tolist() == [["b", 2, 3], ["c", 2, 3]]
    d = curve([[0.7, 0.3]] * 3, "d", targets=[0.0, 0.488], levels=[0, 7])  # meets the others nowhere else
    found = paired.headline(together(a, c, d), reference="a")
    assert found[["a", "level_a", "level_b"]].values.tolist() == [["c", 2, 2], ["d", 7, 3]]


@pytest.mark.parametrize("names", [("z", "a"), ("a", "z"), ("", "")])
def test_the_name_that_a_curve_is_given_does_not_choose_the_reference(names):
    first, second = (
        curve([[0.5, 0.5]] * 3, m, called=name) for m, name in zip(("imp", "one_shot"), names, strict=True)
    )
    (row,) = paired.headline(together(second, first)).to_dict("records")
    assert (row["a"], row["b"]) == (names[1] or "one_shot", names[0] or "imp")


def test_the_reference_is_chosen_by_what_there_is_and_not_by_results():
    def chosen(better):
        parts = {
            "random": curve([[0.7, 0.1 + better]] * 3, "random"),
            "imp": curve([[0.7, 0.6 - better]] * 3, "imp"),
            "a": curve([[0.7, 0.5 + better]] * 2, "a"),  # fewer seeds
        }
        return set(paired.headline(together(*parts.values()))["b"])

    assert chosen(0.0) == chosen(0.5) == {"imp"}


def simulated(n, *, repetitions=2000, effects=(0.01, 0.0), seed=0):
    """Ledgers of `repetitions` tasks: value = base + effect of the seed + effect of the method + noise."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(0.6, 0.03, (repetitions, n, 1))  # three times the noise: what pairing removes
    values = shared + np.array(effects) + rng.normal(0, 0.01, (repetitions, n, len(effects)))
    task, s, m = (index.ravel() for index in np.indices(values.shape))
    names = np.array([f"m{i}" for i in range(len(effects))])
    level1 = pd.DataFrame(
        {
            "run_id": [f"m{k}-{i}-s{j}" for i, j, k in zip(task, s, m, strict=True)],
            **{"task": [f"t{i:04}" for i in task], "method": names[m], "control": "none", "seed": s, "level": 1},
            **{"target_sparsity": 0.8, "sparsity": 0.8, "density": 0.2, "test/accuracy": values.ravel()},
        }
    )
    dense = {"level": 0, "target_sparsity": 0.0, "sparsity": 0.0, "density": 1.0, "test/accuracy": 0.7}
    return together(level1.assign(**dense), level1)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_interval_covers_the_true_difference_in_95_percent_of_2000_repetitions(n):
    found = paired.differences(simulated(n))
    assert (len(found), set(found["n"])) == (2000, {n})
    covered = ((found["low"] <= 0.01) & (found["high"] >= 0.01)).mean()
    assert 0.93 <= covered <= 0.97
    assert found["mean"].mean() == pytest.approx(0.01, abs=4 * 0.01 * (2 / n / 2000) ** 0.5)


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_without_a_true_difference_nothing_is_decided_in_95_percent_and_never_by_two_seeds(n):
    found = paired.differences(simulated(n, effects=(0.0, 0.0), seed=1))
    undecided = (found["verdict"] == "cannot decide").mean()
    assert undecided == 1 if n == 2 else 0.93 <= undecided <= 0.97


def test_all_comparisons_of_a_headline_together_are_wrong_in_one_task_of_twenty_at_most():
    rows = simulated(5, repetitions=1000, effects=(0.0,) * 6, seed=2)
    wrong = {}
    for name, found in (("holm", paired.headline(rows)), ("alone", paired.differences(rows, reference="m0"))):
        wrong[name] = found["verdict"].ne("cannot decide").groupby(found["task"]).any().mean()
    assert wrong["holm"] <= 0.065
    assert wrong["alone"] > 0.12  # without the correction


def test_the_committed_study_is_decided_as_its_readme_can_say(request):
    rows = ledger.read([request.config.rootpath / "experiments" / "mnist1d_methods"])
    found = paired.headline(rows).set_index("a")
    assert set(found["b"]) == {"imp"}
    assert found["verdict"].to_dict() == {
        **dict.fromkeys(["imp · reinit", "imp · shuffle", "one_shot", "random"], "b"),
        **dict.fromkeys(["imp_rewind", "lr_rewind"], "cannot decide"),
    }
