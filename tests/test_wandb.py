"""What W&B holds after a whole run, read back with W&B's own reader and held against the ledger."""

import json
import math
import subprocess
import sys

import pytest
import yaml

from tests.command import TINY, folders, ledger, status

OFFLINE = ("logger=wandb", "logger.mode=offline", "study=questions", "logger.tags=[first]")


@pytest.fixture
def offline(command, monkeypatch):
    """The command with all that W&B writes below its folder, and nobody logged in."""
    for name in ("DATA", "CACHE", "CONFIG", "ARTIFACT"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(command.folder / "wandb-home" / name.lower()))
    monkeypatch.setenv("NETRC", str(command.folder / "netrc"))
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_PROJECT", "WANDB_ENTITY"):
        monkeypatch.delenv(name, raising=False)
    return command


def records(run):
    """The records of an offline run: kind -> list."""
    inspect = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(run)]
    found = {}
    for line in subprocess.run(inspect, capture_output=True, text=True, check=True).stdout.splitlines():
        one = json.loads(line)
        found.setdefault(one["type"], []).append(one.get(one["type"]))
    return found


def rows_of(found, axis):
    items = [{k: v for k, v in one["item"].items() if not k.startswith("_")} for one in found["history"]]
    return [item for item in items if axis in item]


def summary_of(found):
    summary = {}
    for one in found["summary"]:
        summary |= one["update"]
    return summary


def wandb_runs(command):
    return sorted((command.runs / "wandb").glob("offline-run-*"))


def test_a_run_is_mirrored(offline):
    folder = offline.done("+experiment=imp_rewind", "control=shuffle", *TINY, *OFFLINE, "logger.artifacts=true")
    (run,) = wandb_runs(offline)
    found = records(run)
    assert folder.name in run.name
    (about,) = found["run"][:1]
    assert (about["run_id"], about["project"], about["run_group"]) == (folder.name, "ltb", "questions")
    assert about["job_type"] == "imp_rewind-shuffle"
    assert about["tags"] == ["first", "mlp", "noise"]
    config = {key: value for key, value in about["config"]["update"].items() if key != "_wandb"}
    assert config == yaml.safe_load((folder / "config.yaml").read_text())
    # Every row of the ledger, every number of it.
    rows, logged = ledger(folder), rows_of(found, "level/sparsity")
    assert len(rows) == len(logged) == 3
    for row, level in zip(rows, logged, strict=True):
        text = {"run_id", "study", "method", "control", "task", "model", "data", "stage", "collapsed_layers"}
        wanted = {f"level/{k}": number(v) for k, v in row.items() if k not in text and v != ""}
        assert level == wanted
    # Training curves against a step that never goes back: 8 steps, then from step 3 to 8 twice.
    curve = rows_of(found, "train/step")
    assert [one["train/step"] for one in curve] == [*range(1, 9), *range(9, 14), *range(14, 19)]
    assert [one["train/level"] for one in curve] == [0] * 8 + [1] * 5 + [2] * 5
    assert all(math.isfinite(one["val/accuracy"]) and math.isfinite(one["train/loss"]) for one in curve)
    summary = summary_of(found)
    assert summary["dense_test_accuracy"] == float(rows[0]["test_accuracy"])
    assert summary["matching_tolerance"] == 0.01
    assert summary["state"] == "complete"
    least = summary["dense_test_accuracy"] - 0.01
    good = [float(row["sparsity"]) for row in rows if float(row["test_accuracy"]) >= least]
    assert summary["sparsest_matching_sparsity"] == max(good)
    assert found["exit"][-1].get("exit_code", 0) == 0
    (artifact,) = found["artifact"]
    assert {entry["path"] for entry in artifact["manifest"]["contents"]} == {
        "levels.csv", "tickets/level-00.safetensors", "tickets/level-01.safetensors", "tickets/level-02.safetensors",
    }  # fmt: skip


def number(text):
    return {"True": 1, "False": 0}.get(text) if text in ("True", "False") else float(text)


def test_a_run_that_fails_shows_as_failed_and_one_that_goes_on_replays_its_levels(offline, monkeypatch):
    from ltb.training import Training

    fit, count = Training.fit, iter(range(9))

    def breaks(self, *given, **more):
        if next(count) == 3:
            raise RuntimeError("the machine is on fire")
        return fit(self, *given, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "fit", breaks)
        assert offline(*TINY, *OFFLINE).code == 1
    (folder,) = folders(offline.runs)
    (run,) = wandb_runs(offline)
    found = records(run)
    assert found["exit"][-1]["exit_code"] == 1
    assert summary_of(found)["state"] == status(folder)["state"] == "failed"
    assert summary_of(found)["error"] == "RuntimeError: the machine is on fire"
    done = len(ledger(folder))
    assert 1 <= done < 3
    assert len(rows_of(found, "level/sparsity")) == done
    # Once more: the W&B run of the same id has every level once.
    offline.done(*TINY, *OFFLINE)
    (again,) = (one for one in wandb_runs(offline) if one != run)
    found = records(again)
    assert found["run"][0]["run_id"] == folder.name
    assert [one["level/level"] for one in rows_of(found, "level/sparsity")] == [0, 1, 2]
    assert [one["train/step"] for one in rows_of(found, "train/step")] == list(range(1, 25))


def test_a_sweep_is_a_wandb_run_each(offline):
    result = offline("-m", "seed=0,1", *TINY, *OFFLINE)
    assert (result.code, result.err) == (0, "")
    assert {records(run)["run"][0]["run_id"] for run in wandb_runs(offline)} == {f.name for f in folders(offline.runs)}


def test_no_logger_leaves_nothing_of_wandb(offline):
    offline.done(*TINY)
    assert not (offline.runs / "wandb").exists()
    assert not (offline.folder / "wandb-home").exists()
