from __future__ import annotations

import json

import pytest

from ltb.analysis import provenance
from ltb.records import ledger


def test_settings_are_told_apart_by_curve_and_only_where_they_matter(tmp_path, write_run):
    for method, rate in (("imp", 0.2), ("one_shot", 0.5)):
        for seed in range(2):
            config = {"method": method, "schedule": {"_target_": "ltb.core.schedules.Geometric", "rate": rate}}
            config |= {"study": f"s{seed}", "progress": bool(seed), "lr": {"value": 0.1}, "own": "mine.Class"}
            write_run(tmp_path / f"{method}{seed}", method=method, seed=seed, config=config)
    (found,) = provenance.settings(ledger.read([tmp_path]))
    assert (found.task, found.curves) == ("toy", ["imp", "one_shot"])
    assert found.differing == [("method", ["imp", "one_shot"]), ("schedule.rate", ["0.2", "0.5"])]
    assert found.shared == [("lr.value", "0.1"), ("own", "mine.Class"), ("schedule", "Geometric")]


def test_a_setting_that_a_curve_does_not_have_is_marked(tmp_path, write_run):
    write_run(tmp_path / "a", method="a", config={"rate": 0.2, "widths": [3, 4], "l1": None})
    write_run(tmp_path / "b", method="b", config={"rate": 0.2, "l1": 0.5})
    (found,) = provenance.settings(ledger.read([tmp_path]))
    assert found.differing == [("l1", ["null", "0.5"]), ("widths", ["[3, 4]", "–"])]


def test_of_a_ledger_alone_there_is_nothing_to_compare(tmp_path, write_run):
    run = write_run(tmp_path / "a")
    for name in ("config.yaml", "identity.json"):
        (run / name).unlink()
    assert provenance.settings(ledger.read([tmp_path])) == []


@pytest.mark.parametrize(
    ("argv", "typed"),
    [
        (["/home/me/ltb/train.py", "+experiment=imp", "seed=0,1"], "python -m ltb.train +experiment=imp seed=0,1"),
        (["/usr/bin/ltb-train", "-m", "method=imp"], "ltb-train -m method=imp"),
        (["train.py", "model.widths=[16,8]"], "python -m ltb.train 'model.widths=[16,8]'"),
        (["train.py", "study=a b"], "python -m ltb.train 'study=a b'"),
        (["train.py", "study=it's"], "python -m ltb.train 'study=it'\"'\"'s'"),
    ],
)
def test_a_command_can_be_pasted_into_a_shell(argv, typed):
    assert provenance.commands([{"command": argv}] * 3 + [{"command": None}, {}]) == [(typed, 3)]


def test_code_and_machines_are_counted(tmp_path, write_run):
    told = {"commit": "abc+", "versions": {"torch": "2.9"}, "machine": {"cpu": "x", "threads": 1}}
    for seed, extra in enumerate(({"commit": "def"}, {}, {})):
        folder = write_run(tmp_path / str(seed), seed=seed)
        status = json.loads((folder / "status.json").read_text())
        (folder / "status.json").write_text(json.dumps(status | told | extra))
    write_run(tmp_path / "old", seed=4)  # its status tells nothing of it
    found = provenance.made(provenance.statuses(ledger.runs([tmp_path])))
    assert [(one.commit, one.versions, one.machine, one.runs, one.levels) for one in found] == [
        ("abc+", "torch 2.9", "cpu x, threads 1", 2, None),
        ("def", "torch 2.9", "cpu x, threads 1", 1, None),
    ]


def part(commit, torch, levels):
    return {"commit": commit, "versions": {"torch": torch}, "machine": {"cpu": "x"}, "levels": levels}


def tell(folder, **told):
    """Put something into a run's status file."""
    path = folder / "status.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | told))


def test_levels_are_counted_where_a_run_was_made_in_parts(tmp_path, write_run):
    old, new = ("abc", "2.9"), ("def", "2.10")
    tell(write_run(tmp_path / "0", seed=0), made=[part(*old, [0, 1, 2])])
    tell(write_run(tmp_path / "1", seed=1), made=[part(*old, [0]), part(*new, [1]), part(*old, [2])])
    tell(write_run(tmp_path / "2", seed=2), commit="abc", versions={"torch": "2.9"}, machine={"cpu": "x"})
    tell(write_run(tmp_path / "3", seed=3), made=[part(None, "2.8", [0, 1, 2])])
    found = provenance.made(provenance.statuses(ledger.runs([tmp_path])))
    assert [(one.commit, one.versions, one.machine, one.runs, one.levels) for one in found] == [
        ("abc", "torch 2.9", "cpu x", 3, 3 + 2 + 3),
        ("def", "torch 2.10", "cpu x", 1, 1),
        ("–", "torch 2.8", "cpu x", 1, None),
    ]


def test_a_mixture_is_of_whatever_levels_were_made_with(tmp_path, write_run):
    here = {"device": "cuda", "gpu": "H100", "threads": 4, "tf32": False}
    one = {"commit": "a", "ltb_commit": "x", "versions": {"torch": "2.9", "ltb": "0.1"}, "machine": here, "data": "d"}
    there = {"device": "cpu", "threads": 4, "tf32": True}
    other = {
        "commit": "a",
        "ltb_commit": "y",
        "versions": {"torch": "2.9", "ltb": "0.2"},
        "machine": there,
        "data": "e",
    }
    before = {"commit": "a", "versions": {"torch": "2.9"}, "machine": {"device": "cpu"}}  # it says less
    parts = [{**part, "levels": [level]} for level, part in enumerate((one, other, before))]
    tell(write_run(tmp_path / "a"), made=parts)
    assert provenance.mixtures(ledger.read([tmp_path])) == [
        "the curves of toy mix levels made with 2 commits of ltb (x, y) and 2 versions of ltb (0.1, 0.2) "
        "and 2 devices (cuda, cpu) and 2 settings of tf32 (False, True)"
    ]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([("abc", "2.9"), ("abc", "2.9")], []),
        ([("abc", "2.9"), (None, "2.9")], []),
        ([("abc", "2.9"), ("def", "2.9")], ["the curves of toy mix levels made with 2 commits (abc, def)"]),
        ([("abc", "2.9"), ("abc", "2.10")], ["the curves of toy mix levels made with 2 versions of torch (2.9, 2.10)"]),
        (
            [("abc", "2.9"), ("def", "2.10"), ("ghi", "2.9")],
            ["the curves of toy mix levels made with 3 commits (abc, def, ghi) and 2 versions of torch (2.9, 2.10)"],
        ),
    ],
)
@pytest.mark.parametrize("within", [True, False])
def test_a_mixture_is_said_of_its_task_alone(tmp_path, write_run, parts, said, within):
    """Within one run, or between two: in the newer status files and the older ones."""
    if within:
        tell(write_run(tmp_path / "a"), made=[part(*one, [level]) for level, one in enumerate(parts)])
    else:
        for seed, (commit, torch) in enumerate(parts):
            tell(write_run(tmp_path / str(seed), seed=seed), commit=commit, versions={"torch": torch})
    tell(write_run(tmp_path / "other", task="other", method="x"), made=[part("xyz", "2.1", [0, 1, 2])])
    write_run(tmp_path / "silent", seed=9)
    assert provenance.mixtures(ledger.read([tmp_path])) == said
