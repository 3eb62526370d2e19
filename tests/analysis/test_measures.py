from __future__ import annotations

import math

import pandas as pd
import pytest
import scipy.stats

from ltb.analysis import measures
from ltb.records import ledger
from tests.support.ledgers import write_measures

MEASURED = {0: {0: 1.0, 1: 0.5}, 1: {0: 1.0, 1: 0.7}, 2: {0: 1.0, 1: 0.9}}


@pytest.fixture
def found(tmp_path, write_run):
    """A curve of three seeds with a measure at two of its levels, one over several of them, and a curve without any."""
    for seed, values in MEASURED.items():
        run = write_run(tmp_path / str(seed), seed=seed)
        given = [
            (level, "overlap", quantity, value) for level, value in values.items() for quantity in ("iou", "iou/a")
        ]
        given += [(None, "barrier", "height", 0.1 * seed), (7, "overlap", "iou", 9.0)]  # there is no level 7
        write_measures(run, given)
    write_run(tmp_path / "other", method="other", seed=0)
    return measures.table(ledger.read([tmp_path]))


def test_a_row_for_each_curve_level_measure_and_quantity(found):
    keys = [
        ("barrier", "height", None, None),
        *(("overlap", q, n, d) for n, d in ((0, 1.0), (1, 0.8)) for q in ("iou", "iou/a")),
    ]
    rows = found.to_dict("records")
    assert [(row["measure"], row["quantity"]) for row in rows] == [key[:2] for key in keys]
    for row, (*_, level, density) in zip(rows, keys, strict=True):
        assert (row["task"], row["method"], row["curve"], row["n"]) == ("toy", "imp", "imp", 3)
        assert (None if pd.isna(row["level"]) else row["level"]) == level
        assert row["density"] == pytest.approx(math.nan if density is None else density, nan_ok=True)


def test_mean_and_spread_are_over_the_seeds(found):
    one = found[(found["quantity"] == "iou") & (found["level"] == 1)].iloc[0]
    assert (one["mean"], one["std"], one["min"], one["max"]) == pytest.approx((0.7, 0.2, 0.5, 0.9))
    low, high = scipy.stats.ttest_1samp([0.5, 0.7, 0.9], 0).confidence_interval(0.95)
    assert (one["low"], one["high"]) == pytest.approx((low, high))


def test_several_values_of_one_run_are_one_seed(tmp_path, write_run):
    for seed in range(2):
        run = write_run(tmp_path / str(seed), seed=seed)
        write_measures(run, [(1, "barrier", "height", value + seed) for value in (0.1, 0.3)])
    (row,) = measures.table(ledger.read([tmp_path])).to_dict("records")
    assert (row["n"], row["mean"], row["min"], row["max"]) == pytest.approx((2, 0.7, 0.2, 1.2))


def test_runs_without_measures_have_an_empty_table(tmp_path, write_run):
    write_run(tmp_path / "a")
    found = measures.table(ledger.read([tmp_path]))
    assert list(found.columns) == measures.COLUMNS
    assert found.empty
