from __future__ import annotations

import json

import pytest

from ltb.analysis import provenance
from ltb.records import ledger


def test_settings_are_told_apart_by_curve_and_only_where_they_matter(tmp_path, write_run):
    for method, rate in (("imp", 0.2), ("one_shot", 0.5)):
        for seed in range(2):
            config = {"method": method, "schedule": {"_target_": "ltb.core.schedules.Geometric", "rate": rate}}
            config |= {"threads": seed, "runs": f"/a/{seed}", "lr": {"value": 0.1}, "own": "mine.Class"}
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


def test_without_configurations_there_is_nothing_to_compare(tmp_path, write_run):
    (write_run(tmp_path / "a") / "config.yaml").unlink()
    assert provenance.settings(ledger.read([tmp_path])) == []
    assert provenance.tolerances(ledger.read([tmp_path])) == {"toy": 0.01}


@pytest.mark.parametrize(
    ("metric", "given", "tolerance"),
    [
        ({"tolerance": 0.05}, None, 0.05),
        ({"tolerance": 0.05}, 0.0, 0.0),
        ({"tolerance": "x"}, None, 0.01),
        ({"tolerance": -1}, None, 0.01),
        ("accuracy", None, 0.01),
        ({}, None, 0.01),
    ],
)
def test_the_tolerance_is_the_given_one_or_the_configured_one(tmp_path, write_run, metric, given, tolerance):
    write_run(tmp_path / "a", config={"metric": metric})
    assert provenance.tolerances(ledger.read([tmp_path]), given) == {"toy": tolerance}


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
    assert [(one.commit, one.versions, one.machine, one.runs) for one in found] == [
        ("abc+", "torch 2.9", "cpu x, threads 1", 2),
        ("def", "torch 2.9", "cpu x, threads 1", 1),
    ]
