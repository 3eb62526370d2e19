"""The tolerance of a task, and its reason."""

from __future__ import annotations

import pytest

from ltb.analysis import tolerances
from ltb.analysis.tolerances import DEFAULT, REASON, Tolerance
from ltb.records import ledger

CONFIGURED = "as the runs were configured"


@pytest.mark.parametrize(
    ("metric", "given", "tolerance"),
    [
        ({"tolerance": 0.05}, None, Tolerance(0.05, CONFIGURED)),
        ({"tolerance": 0.05, "tolerance_reason": "why"}, None, Tolerance(0.05, "why")),
        ({"tolerance": 0.05, "tolerance_reason": "why"}, 0.0, Tolerance(0.0, "as asked for")),
        ({"tolerance": "x"}, None, Tolerance(DEFAULT, REASON)),
        ({"tolerance": -1}, None, Tolerance(DEFAULT, REASON)),
        ({"tolerance": True}, None, Tolerance(DEFAULT, REASON)),
        ("accuracy", None, Tolerance(DEFAULT, REASON)),
        ({}, None, Tolerance(DEFAULT, REASON)),
    ],
)
def test_it_is_the_given_one_or_the_configured_one(tmp_path, write_run, metric, given, tolerance):
    write_run(tmp_path / "a", config={"metric": metric})
    assert tolerances.of_tasks(ledger.read([tmp_path]), given) == {"toy": tolerance}


def test_without_a_configuration_it_is_the_default(tmp_path, write_run):
    (write_run(tmp_path / "a") / "config.yaml").unlink()
    assert tolerances.of_tasks(ledger.read([tmp_path])) == {"toy": Tolerance(DEFAULT, REASON)}


def test_one_standard_deviation_is_of_the_dense_networks_of_three_seeds_at_least(tmp_path, write_run):
    for seed in range(3):
        given = {"seed": seed, "config": {"metric": {"tolerance": "std"}}}
        write_run(tmp_path / str(seed), accuracy=lambda level, s=seed: 0.7 + 0.01 * s, **given)
    rows = ledger.read([tmp_path])
    found = tolerances.of_tasks(rows)["toy"]
    assert (found.value, found.reason) == (pytest.approx(0.01), "one standard deviation of the 3 dense networks")
    assert tolerances.of_tasks(rows[rows["seed"] < 2], "std")["toy"] == Tolerance(
        DEFAULT, f"fewer than 3 dense networks have no standard deviation to speak of: {REASON}"
    )
