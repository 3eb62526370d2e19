"""A run's summary: what its one seed has, and what the finished seeds together demonstrate."""

from __future__ import annotations

import math

import pytest

from ltb.run import summary


@pytest.fixture
def seeds(tmp_path, write_run):
    """Runs of one curve, named as runs are, each of a seed; level 1 is at 80 %, level 2 at 64 % and worse."""

    def write(count, **given):
        for seed in range(count):
            about = {
                "run_id": f"imp-toy-s{seed}-a1b2c3",
                "seed": seed,
                "config": {"metric": {"tolerance": 0.01}},
            } | given
            write_run(
                tmp_path / about["run_id"], accuracy=lambda level, s=seed: 0.7 + 0.001 * s - 0.05 * (level > 1), **about
            )
        return tmp_path / "imp-toy-s0-a1b2c3"

    return write


def level(value, *, diverged=False, metric="accuracy"):
    return {f"test/{metric}": value, "diverged": diverged}


@pytest.mark.parametrize(
    ("rows", "direction", "gain"),
    [
        ([level(0.75)], "max", 0.0),
        ([level(0.75), level(0.1), level(0.5)], "max", -0.25),
        ([level(0.5), level(0.75)], "max", 0.25),
        ([level(0.5), level(0.75)], "min", -0.25),
        ([level(0.5), level(math.nan)], "max", None),
        ([level(0.5), level(None)], "max", None),
        ([level(math.inf), level(0.5)], "min", None),
        ([level(0.5), level(0.5, diverged=True)], "max", None),
        ([level(0.5, diverged=True), level(0.5)], "max", None),
        ([level(0.5, metric="f1")] * 2, "max", None),
    ],
)
def test_a_level_relative_to_its_dense_network(rows, direction, gain):
    found = summary.relative(rows, ("accuracy", direction))
    assert found == ({} if gain is None else {"relative/accuracy": gain})


def test_two_seeds_demonstrate_nothing(seeds):
    assert summary.demonstrated(seeds(2), 0) == {
        "demonstrated_matching_sparsity": "fewer than 3 seeds",
        "demonstrated_seeds": 2,
    }


def test_three_seeds_do_and_other_settings_are_not_among_them(seeds, tmp_path, write_run):
    folder = seeds(3)
    for name in ("imp-toy-s3-ffffff", "imp-toy-x-s3-a1b2c3", "imp_rewind-toy-s3-a1b2c3"):
        write_run(tmp_path / name, run_id=name, seed=3, accuracy=lambda level: 0.1 * (level == 0))
    write_run(tmp_path / "imp-toy-s4-a1b2c3", 1, state="running", planned=3, run_id="imp-toy-s4-a1b2c3", seed=4)
    found = summary.demonstrated(folder, 0)
    assert found == {"demonstrated_matching_sparsity": pytest.approx(0.2), "demonstrated_seeds": 3}
    assert summary.lines(found) == ["demonstrated to match dense: 20.00% removed (n = 3)"]


def test_a_damaged_run_beside_it_is_named_and_stops_nothing(seeds, tmp_path):
    folder = seeds(3)
    path = tmp_path / "imp-toy-s1-a1b2c3" / "levels.csv"
    path.write_text(path.read_text()[:-9])
    found = summary.demonstrated(folder, 0)["demonstrated_matching_sparsity"]
    assert found.startswith("not known: ")
    assert "imp-toy-s1-a1b2c3" in found


def test_one_seed_has_no_standard_deviation():
    rows = [{"test/accuracy": 0.7, "sparsity": s, "diverged": False} for s in (0.0, 0.2)]
    metric = {"name": "accuracy", "direction": "max", "tolerance": "std"}
    assert summary.of_seed(rows, metric)["sparsest_matching_sparsity"] is None
    assert summary.of_seed(rows, metric | {"tolerance": 0})["sparsest_matching_sparsity"] == 0.2


def test_a_run_with_the_tolerance_of_a_standard_deviation_whose_dense_network_diverged():
    rows = [{"sparsity": 0.5 * level, "test/accuracy": 0.1, "diverged": True} for level in range(2)]
    found = summary.of_seed(rows, {"name": "accuracy", "direction": "max", "tolerance": "std"})
    assert summary.lines(found) == [
        "sparsest level within the tolerance of dense, in this seed: the dense network diverged"
    ]
