from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ltb.analysis import cost
from ltb.records import ledger, schema


def test_a_table_computed_by_hand(tmp_path, write_run):
    for seed in (0, 1):
        spent = {0: 0, 1: 100, 2: 250}
        write_run(
            tmp_path / str(seed),
            seed=seed,
            extra=lambda level, spent=spent, seed=seed: {
                **{"search_steps": spent[level] + 10 * seed, "start_step": 20, "end_step": 120, "step_flops": 5.0e3}
            },
        )
    found = cost.table(ledger.read([tmp_path])).set_index("level")
    assert list(found["search_steps"]) == [5, 105, 255]
    assert list(found["total_steps"]) == [105, 205, 355]
    assert list(found["search_flops"]) == [25e3, 525e3, 1275e3]
    assert list(found["total_flops"]) == [525e3, 1025e3, 1775e3]
    assert list(found["density"]) == [1.0, 0.8, 0.64]
    assert list(found["mean"]) == pytest.approx([0.7, 0.69, 0.68])
    assert set(found["curve"]) == {"imp"}
    assert set(found["n"]) == {2}


def test_each_curve_has_its_own_cost(tmp_path, write_run):
    write_run(tmp_path / "imp")
    write_run(tmp_path / "shot", method="one_shot", extra=lambda level: {"search_steps": 2000 * (level > 0)})
    found = cost.table(ledger.read([tmp_path])).set_index(["curve", "level"])["search_steps"]
    assert found["imp"].to_list() == [0, 2000, 4000]
    assert found["one_shot"].to_list() == [0, 2000, 2000]


def test_ledgers_from_before_costs_were_recorded_have_none(tmp_path, write_run):
    folder = write_run(tmp_path / "run")
    table = pd.read_csv(folder / "levels.csv").drop(columns=list(schema.LATER), errors="ignore")
    table.to_csv(folder / "levels.csv", index=False)
    found = cost.table(ledger.read([tmp_path]))
    assert found[["search_steps", "search_flops", "total_steps", "total_flops"]].isna().all(axis=None)
    assert np.isfinite(found["mean"]).all()
