"""Intervals over seeds and test examples: against plain loops, a bootstrap, and 95 of 100 simulated studies."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from safetensors.numpy import save_file

from ltb.analysis import examples, paired
from ltb.common.errors import Damaged
from ltb.records import ledger


def right(seeds, count, seed, *, seeds_spread=0.1):
    """Right or wrong, (studies, seeds, count): as easy as the example, as good as the seed."""
    rng = np.random.default_rng(seed)

    def draw(studies):
        of_example, of_seed = rng.normal(size=(studies, 1, count)), rng.normal(size=(studies, seeds, 1))
        return rng.random((studies, seeds, count)) < 1 / (1 + np.exp(-1 - 1.5 * of_example - seeds_spread * of_seed))

    return draw


def test_the_interval_over_seeds_is_students_and_the_other_is_never_narrower():
    for seed in range(20):
        (values,) = right(4, 50, seed)(1).astype("float64")
        found = examples.interval(values)
        half = scipy.stats.t.ppf(0.975, 3) * values.mean(1).std(ddof=1) / 2
        assert (found["mean"], found["high"] - found["mean"]) == pytest.approx((values.mean(), half))
        assert found["low_examples"] <= found["low"] <= found["high"] <= found["high_examples"]


def test_the_variance_is_that_of_a_hierarchical_bootstrap_of_many_seeds():
    (values,) = right(40, 120, 0, seeds_spread=0.3)(1).astype("float64")
    rng = np.random.default_rng(1)
    drawn = [values[np.ix_(rng.integers(40, size=40), rng.integers(120, size=120))].mean() for _ in range(2000)]
    found = examples.interval(values)
    rest = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
    # The bootstrap has what is left over of both three times (Owen 2007), the mean once.
    twice = 2 * (rest**2).sum() / (39 * 119) / values.size
    assert ((found["high_examples"] - found["mean"]) / 1.98) ** 2 + twice == pytest.approx(np.var(drawn), rel=0.15)


@pytest.mark.parametrize(("seeds", "seeds_spread"), [(3, 0.0), (3, 0.3), (5, 0.1), (10, 0.1)])
def test_it_covers_the_true_accuracy_in_93_to_97_of_100_studies_and_that_over_seeds_alone_does_not(seeds, seeds_spread):
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    of_example = 1.5 * np.random.default_rng(0).normal(size=20_000)
    true = sum(
        w * (1 / (1 + np.exp(-1 - of_example - seeds_spread * z))).mean() for z, w in zip(nodes, weights, strict=True)
    )
    true /= weights.sum()
    found = [
        examples.interval(one) for one in right(seeds, 200, seeds, seeds_spread=seeds_spread)(1500).astype("float32")
    ]
    both = np.mean([one["low_examples"] <= true <= one["high_examples"] for one in found])
    alone = np.mean([one["low"] <= true <= one["high"] for one in found])
    assert 0.93 <= both <= 0.97
    assert alone < (0.93 if seeds_spread < 0.3 else both)


def test_one_seed_and_values_without_spread():
    assert np.isnan(examples.interval(np.ones((1, 5)))["low_examples"])
    assert set(examples.interval(np.ones((3, 5))).values()) == {1.0}


def write_right(folder, level, bits):
    path = folder / "measured" / "correctness" / f"level-{level:02d}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"correct": np.packbits(np.array(bits, dtype="bool")), "examples": np.array([len(bits)])}, path)
    return path


def test_a_table_of_curves_their_dense_networks_and_the_reference(tmp_path, write_run):
    bits = right(6, 30, 5)(2)  # of two levels
    for i, method in enumerate(("imp", "one_shot")):
        for seed in range(3):
            folder = write_run(tmp_path / f"{method}{seed}", 2, method=method, seed=seed, run_id=f"{method}{seed}")
            for level in range(2):
                write_right(folder, level, bits[level, seed if level == 0 else 3 * i + seed])
    rows = ledger.read([tmp_path])
    found = examples.table(rows, paired.headline(rows)).set_index(["a", "b", "level"])
    assert len(found) == 2 * 2 + 2 + 1
    assert set(found["examples"]) == {30}
    of_imp, of_one_shot, dense = bits[1, :3].astype(float), bits[1, 3:].astype(float), bits[0, :3].astype(float)
    for place, values in {
        ("imp", "", 1): of_imp,
        ("imp", "dense", 1): of_imp - dense,
        ("one_shot", "imp", 1): of_one_shot - of_imp,
    }.items():
        assert found.loc[place, ["mean", "low", "high_examples"]].to_list() == pytest.approx(
            [examples.interval(values)[name] for name in ("mean", "low", "high_examples")]
        )


def test_a_damaged_file_is_named_and_runs_without_one_have_no_rows(tmp_path, write_run):
    folder = write_run(tmp_path / "a", 2)
    rows = ledger.read([tmp_path])
    assert examples.table(rows, paired.headline(rows)).empty
    path = write_right(folder, 0, [True] * 9)
    assert examples.read(path).tolist() == [True] * 9
    for content in (path.read_bytes()[:-1], b"", b"x" * 100):
        path.write_bytes(content)
        with pytest.raises(Damaged, match=r"level-00\.safetensors"):
            examples.table(rows, paired.headline(rows))
