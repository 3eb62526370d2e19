from __future__ import annotations

import pytest

from ltb.analysis import grouping, matching, meeting, paired, points, statistics
from ltb.records import ledger
from ltb.report import answer


@pytest.fixture
def answered(tmp_path, write_run):
    """The sentences on methods whose accuracy falls by so much a level, from 70 % ± the seed's own share."""

    def make(drops, seeds=5, noise=0.001, **given):
        for method, drop in drops.items():
            for seed in range(seeds):
                write_run(
                    tmp_path / f"{method}{seed}",
                    4,
                    method=method,
                    seed=seed,
                    run_id=f"{method}-s{seed}-abc",
                    accuracy=lambda level, s=seed, d=drop, m=method: (
                        0.7 + 0.01 * s - d * level + noise * (level > 0) * ((3 * s + len(m)) % 5 - 2)
                    ),
                    **given,
                )
        rows = ledger.read([tmp_path])
        met = meeting.points(rows)
        headline, _ = paired.against(met, reference=None, test="paired")
        tables = headline, grouping.table(met, headline), matching.table(rows, tolerance=0.01)
        return answer.sentences("toy", points.table(rows), *tables, "1.00 points"), [
            answer.comparison(row) for _, row in headline.iterrows()
        ]

    return make


def test_the_group_that_cannot_be_told_from_the_best_leads_and_ties_are_ties(answered):
    said, quotes = answered({"imp": 0.0, "one_shot": 0.02, "x": 0.0})
    assert said[0].startswith(
        "At 51.2 % of the weights, the sparsest level that all 3 curves have in common, these cannot be told apart from the "
        "highest mean test accuracy, 72.00 % (95 % interval "
    )
    assert "n = 5): imp (72.00 %) and x (72.00 %); decidedly worse is one_shot (66.00 %)." in said[0]
    assert said[1] == (
        "Seed by seed against imp, the reference, corrected for 2 comparisons: "
        "one_shot is decidedly worse; x cannot be told from it."
    )
    assert quotes[0] == (
        "At 51.2 % of the weights, imp is better: one_shot − imp = −6.00 points (95 % interval – (no spread), paired, n = 5 seeds)."
    )
    assert quotes[1].startswith("At 51.2 % of the weights, the seeds cannot decide between x and imp: difference ")


def test_one_that_is_alone_at_the_top(answered):
    said, _ = answered({"imp": 0.0, "one_shot": 0.02})
    assert "both curves have in common, imp has the highest mean test accuracy, 72.00 % (" in said[0]
    assert said[0].endswith("; decidedly worse is one_shot (66.00 %).")


def test_with_two_seeds_nothing_is_decided(answered):
    said, _ = answered({"imp": 0.0, "one_shot": 0.05}, seeds=2)
    assert "these cannot be told apart with fewer than 3 seeds from the highest" in said[0]
    assert "minimum to maximum" in said[0]
    assert said[1] == "Seed by seed against imp, the reference: one_shot cannot be told from it."
    assert said[2] == (
        "No curve is demonstrated to match its dense network within 1.00 points at any pruned level: that takes 3 seeds."
    )


def test_one_seed_has_no_interval(answered):
    said, quotes = answered({"imp": 0.0, "one_shot": 0.05}, seeds=1)
    assert "(n = 1): " in said[0]
    assert quotes[0].endswith("with n = 1 seed there is no interval, so this cannot be decided.")


def test_one_curve_is_told_of_by_itself(answered):
    said, quotes = answered({"imp": 0.02}, noise=0.0)
    assert said == [
        "At 51.2 % of the weights, the sparsest level, imp has a mean test accuracy of 66.00 % "
        "(95 % interval 64.04 to 67.96 %, n = 5).",
        "No curve is demonstrated to match its dense network within 1.00 points at any pruned level.",
        "In the mean over seeds no curve matches at any pruned level.",
    ]
    assert quotes == []


def test_what_is_demonstrated_is_said_first_and_what_matches_on_average_beside_it(answered):
    assert answered({"imp": 0.004}, noise=0.0)[0][-2:] == [
        "Demonstrated to match the dense network within 1.00 points is imp down to 64 % of the weights.",
        "The sparsest that matches in the mean over seeds is imp at 64 %.",
    ]


def test_many_curves_are_counted_not_listed(answered):
    said, _ = answered({f"m{i}": 0.05 * (i > 0) for i in range(8)})
    assert said[1].endswith("corrected for 7 comparisons: 7 curves are decidedly worse.")


def test_the_dense_networks_in_a_sentence(tmp_path, write_run):
    for seed in range(2):
        write_run(tmp_path / str(seed), seed=seed, run_id=f"s{seed}", accuracy=lambda level, s=seed: 0.7 + 0.01 * s)
    table = statistics.dense(ledger.read([tmp_path]))
    assert answer.dense(table, "toy") == "The dense networks have 70.50 % (minimum to maximum 70.00 to 71.00 %, n = 2)."
    assert answer.dense(table, "another") == ""


def test_what_diverged_is_said_where_numbers_are_read(answered):
    lost = lambda level: {"diverged": level == 3}  # noqa: E731
    said, _ = answered({"imp": 0.0}, extra=lost)
    assert said[0].endswith("n = 5, 5 of them diverged).")
    said, quotes = answered({"one_shot": 0.02}, seeds=4, extra=lambda level: {"diverged": True})
    assert (
        said[1]
        == "Seed by seed against imp, the reference: one_shot cannot be compared: in every seed one of the two diverged."
    )
    assert said[-1] == "In 4 of 4 seeds of one_shot the dense network diverged: nothing is compared with it."
    assert quotes == [
        "At 51.2 % of the weights, one_shot and imp cannot be compared: in every seed one of the two diverged."
    ]


def test_a_dense_network_that_diverged_is_compared_with_nothing(answered):
    said, _ = answered({"imp": 0.0}, extra=lambda level: {"diverged": level == 0})
    assert said[1:] == ["The dense network diverged: nothing is compared with it."]


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ({0}, "The dense networks have 71.50 % (minimum to maximum 71.00 to 72.00 %, n = 2); 1 more diverged."),
        ({0, 1, 2}, "All 3 dense networks diverged."),
    ],
)
def test_dense_networks_that_diverged_in_a_sentence(tmp_path, write_run, lost, said):
    for seed in range(3):
        given = {"seed": seed, "run_id": f"s{seed}", "diverged": seed in lost}
        write_run(tmp_path / str(seed), accuracy=lambda level, s=seed: 0.7 + 0.01 * s, **given)
    assert answer.dense(statistics.dense(ledger.read([tmp_path])), "toy") == said
