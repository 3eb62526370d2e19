"""Which rows are left of a choice of curves, and what is said of the others."""

import numpy as np
import pytest

from ltb.analysis import choice, findings, paired, statistics
from ltb.records import ledger

KNOWN = ["imp", "imp · reinit", "imp_rewind (lr.base=0.1)", "one_shot"]


@pytest.mark.parametrize(
    ("text", "curve", "name"),
    [
        ("imp", "imp", "imp"),
        ("imp=IMP", "imp", "IMP"),
        ("imp-reinit", "imp · reinit", "imp · reinit"),
        ("imp · reinit=new weights", "imp · reinit", "new weights"),
        ("imp-reinit=a=b", "imp · reinit", "a=b"),
        ("imp_rewind (lr.base=0.1)", "imp_rewind (lr.base=0.1)", "imp_rewind (lr.base=0.1)"),
        ("imp_rewind (lr.base=0.1)=k = 100", "imp_rewind (lr.base=0.1)", "k = 100"),
        ("imp==", "imp", "="),
    ],
)
def test_a_curve_and_its_name(text, curve, name):
    assert choice._names([text], KNOWN) == {curve: name}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["imq"], "curve='imq': no such curve; one of imp, imp · reinit, imp_rewind (lr.base=0.1), one_shot"),
        (["oneshot=1"], "curve='oneshot=1': no such curve; one of one_shot, "),
        (["imp", "imp=IMP"], "curve='imp=IMP': imp is asked for twice"),
        (["imp="], "curve='imp=': a name after the ="),
        (["imp= "], "curve='imp= ': a name after the ="),
        (["imp=a", "one_shot=a"], "curve='one_shot=a': another curve is called a"),
        (["one_shot", "imp=one_shot"], "curve='imp=one_shot': another curve is called one_shot"),
        ([""], "curve='': no such curve; one of "),
    ],
)
def test_what_cannot_be_chosen(asked, message):
    with pytest.raises(ValueError) as refused:  # noqa: PT011 (the message is below)
        choice._names(asked, KNOWN)
    assert str(refused.value).startswith(message)


@pytest.fixture
def study(tmp_path, write_run):
    """Four methods, the later the worse, three seeds, spread that differs from seed to seed."""
    for m, method in enumerate(("imp", "one_shot", "random", "snip")):
        for seed in range(3):
            write_run(
                tmp_path / f"{method}{seed}",
                method=method,
                seed=seed,
                run_id=f"{method}-s{seed}-abc",
                accuracy=lambda level, m=m, s=seed: 0.7 + 0.01 * s - (0.012 * m + 0.002 * ((s + m) % 3)) * level,
            )
    return tmp_path


def test_the_family_is_that_of_the_chosen_curves_alone(study):
    """Holm's p by hand: the two least of the single p, times 2 and 1."""
    every = findings.read([study], reference="imp")
    assert set(every.headline["comparisons"]) == {3}
    some = findings.read([study], reference="imp", curves=["snip", "imp", "random"])
    assert list(some.curves) == ["snip", "imp", "random"]
    headline = some.headline.set_index("a")
    assert set(headline.index) == {"snip", "random"}
    assert set(headline["comparisons"]) == {2}
    single = every.headline.set_index("a")["p"]
    assert headline["p"].to_dict() == pytest.approx(single[["snip", "random"]].to_dict())
    least, most = sorted(single[["snip", "random"]])
    assert sorted(headline["p_holm"]) == pytest.approx([min(2 * least, 1), min(max(2 * least, most), 1)])
    assert set(some.groups["pairs"]) == {3}
    assert some.left_out == {"toy": ["one_shot"]}
    assert some.notes[0].startswith("3 of 4 curves of toy were chosen, left out is one_shot; what is compared")
    assert not every.left_out
    assert not any("chosen" in note for note in every.notes)


@pytest.mark.slow
def test_another_name_changes_no_number(study):
    plain = findings.read([study], curves=["imp", "random"], reference="random")
    named = findings.read([study], curves=["imp=IMP", "random=Zufall"], reference="random")
    assert set(named.headline["b"]) == {"Zufall"}
    assert named.curves == {"IMP": "imp", "Zufall": "random"}
    for name in ("mean", "low", "p_holm"):
        assert named.headline[name].to_list() == plain.headline[name].to_list()
    assert set(named.matching["curve"]) == {"IMP", "Zufall"}
    # Columns that say what a run was keep saying it.
    assert set(named.summary["method"]) == {"imp", "random"}


def test_one_curve_alone_has_no_comparison_and_says_no_more_than_what_is_left_out(study):
    found = findings.read([study], curves=["imp"])
    assert found.headline.empty
    assert found.notes[0] == "1 of 4 curves of toy was chosen, left out are 3: one_shot, random, snip"
    assert {run.run_id for run in found.runs} == {"imp-s0-abc", "imp-s1-abc", "imp-s2-abc"}


def test_a_task_without_a_chosen_curve_is_said_to_have_none(study, write_run):
    write_run(study / "other", task="other", method="set", run_id="set-other-s0-abc")
    found = findings.read([study], curves=["imp", "snip"])
    assert found.tasks == ["toy"]
    assert "none of the 1 curves of other was chosen" in found.notes


def test_runs_that_only_their_hash_tells_apart_stay_apart_alone(tmp_path, write_run):
    for name, value in (("aaa", 0.7), ("bbb", 0.6)):
        write_run(tmp_path / name, run_id=f"imp-s0-{name}", accuracy=lambda level, v=value: v - 0.01 * level)
    write_run(tmp_path / "ccc", run_id="imp-s1-ccc", seed=1)
    with pytest.warns(UserWarning, match="kept apart as run aaa, run bbb"):
        found = choice.choose(ledger.read([tmp_path]), ["imp (run bbb)=B", "imp"])
    named = statistics.named(statistics.distinct(found.rows))
    assert named.groupby("curve")["run_id"].unique().map(list).to_dict() == {"B": ["imp-s0-bbb"], "imp": ["imp-s1-ccc"]}
    assert found.left_out == {"toy": ["imp (run aaa)"]}


def test_all_draws_of_a_control_come_with_it(tmp_path, write_run):
    values = {(0, 0): 0.6, (0, 1): 0.5, (1, 0): 0.4}
    for (seed, draw), value in values.items():
        write_run(
            tmp_path / f"{seed}{draw}",
            control="reinit",
            seed=seed,
            run_id=f"imp-reinit-s{seed}-d{draw}",
            accuracy=lambda level, v=value: v if level else 0.7,
            extra=lambda level, d=draw: {"draw": d if level else None},
        )
    write_run(tmp_path / "imp", run_id="imp-s0-abc")
    found = choice.choose(ledger.read([tmp_path]), ["imp-reinit=new weights"])
    assert set(found.rows["run_id"]) == {"imp-reinit-s0-d0", "imp-reinit-s0-d1", "imp-reinit-s1-d0"}
    means = statistics.summarise(found.rows).query("quantity == 'test/accuracy' and level == 1")
    assert means["mean"].to_list() == pytest.approx([np.mean([0.55, 0.4])])
    assert means["n"].to_list() == [2]


def test_no_choice_is_every_row_as_it_was(study):
    rows = ledger.read([study])
    assert choice.choose(rows).rows is rows
    assert len(paired.headline(rows, reference="imp")) == 3
