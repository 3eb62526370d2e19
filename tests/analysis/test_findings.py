"""What a report says of its data beside the tables."""

import pytest
import scipy.stats

from ltb.analysis import findings


@pytest.fixture
def notes(tmp_path, write_run):
    def make(*, jump, spread):
        for seed in range(3):
            write_run(
                tmp_path / f"imp{seed}",
                method="imp",
                seed=seed,
                run_id=f"imp-s{seed}-abc",
                accuracy=lambda level, s=seed: 0.3 + (jump + spread * s) * (level > 0),
            )
        return [note for note in findings.read([tmp_path], tolerance=0.01).notes if "trained to its end" in note]

    return make


def test_a_dense_network_that_pruned_ones_are_far_above_is_told(notes):
    (note,) = notes(jump=0.2, spread=0.01)
    low, high = scipy.stats.ttest_1samp([0.20, 0.21, 0.22], 0).confidence_interval(0.95)
    assert note.startswith(
        "in 1 of 1 curves a pruned network is better than its dense one by more than the tolerance (imp at "
    )
    assert f"%, by 0.21, 95 % interval {low:.3g} to {high:.3g}): was the dense network trained to its end?" in note


@pytest.mark.parametrize(("jump", "spread"), [(0.009, 0.0001), (0.2, 0.2), (-0.1, 0.0)])
def test_one_that_is_not_decidedly_beyond_the_tolerance_is_not(notes, jump, spread):
    assert notes(jump=jump, spread=spread) == []


def test_draws_of_a_control_are_one_level_in_what_is_counted(tmp_path, write_run):
    for draw in range(3):
        write_run(
            tmp_path / f"{draw}",
            control="reinit",
            run_id=f"imp-reinit-s0-{draw}",
            accuracy=lambda level: 0.7,
            extra=lambda level, d=draw: {
                "draw": d if level else None,
                "diverged": level == 2,
                "early_stop_is_last": level == 1,
            },
            config={"control": {"draw": draw}},
        )
    found = findings.read([tmp_path])
    assert found.levels == 3
    assert [note for note in found.notes if note.startswith("1 of 3 levels diverged")]
    assert [note for note in found.notes if note.startswith("in 1 of 3 levels validation was best at the last")]
