"""What W&B holds after a whole run, read back with W&B's own reader and held against the ledger."""

import json
import math
import subprocess
import sys
import time

import pytest
import yaml

from tests.support.command import TINY, folders, ledger, own_process, status

OFFLINE = ("logger=wandb", "logger.mode=offline", "study=questions", "logger.tags=[first]")


def nobody(folder, patch):
    """All that W&B writes is below `folder`, and nobody is logged in."""
    for name in ("DATA", "CACHE", "CONFIG", "ARTIFACT"):
        patch.setenv(f"WANDB_{name}_DIR", str(folder / "wandb-home" / name.lower()))
    patch.setenv("NETRC", str(folder / "netrc"))
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_PROJECT", "WANDB_ENTITY"):
        patch.delenv(name, raising=False)
    patch.delenv(
        "WANDB_SERVICE", raising=False
    )  # else a process of its own logs through this one, and outlives its end


@pytest.fixture
def offline(command, monkeypatch):
    """The command, its W&B runs in its own folder."""
    nobody(command.folder, monkeypatch)
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
    more = ("logger.artifacts=true", "logger.notes='Is it the mask?'")
    folder = offline.done("+experiment=imp_rewind", "control=shuffle", *TINY, *OFFLINE, *more)
    (run,) = wandb_runs(offline)
    found = records(run)
    assert folder.name in run.name
    (about,) = found["run"][:1]
    assert (about["run_id"], about["project"], about["run_group"]) == (folder.name, "ltb", "questions")
    assert about["job_type"] == "imp_rewind-shuffle"
    assert about["tags"] == ["first", "mlp", "noise"]
    config = {key: value for key, value in about["config"]["update"].items() if key != "_wandb"}
    # The resolved configuration, and the name of the task, which it does not hold.
    assert config == yaml.safe_load((folder / "config.yaml").read_text()) | {"task": "noise+mlp"}
    assert about["display_name"] == f"imp_rewind · shuffle, noise+mlp, seed 0 ({folder.name[-6:]})"
    assert about["notes"] == "Is it the mask?"
    # Every row of the ledger, each curve in it.
    rows, logged = ledger(folder), rows_of(found, "level/sparsity")
    assert len(rows) == len(logged) == 3
    for row, level in zip(rows, logged, strict=True):
        measured = {"sparsity", "density", "early_stop_step", *(name for name in row if "/" in name)} - {
            "untrained/loss"
        }
        relative = {"level/relative/accuracy": float(row["test/accuracy"]) - float(rows[0]["test/accuracy"])}
        assert level == {f"level/{k}": float(row[k]) for k in measured if row[k] != ""} | relative
        assert {"level/test/accuracy", "level/train/loss"} <= set(level)
    # Training curves against a step that never goes back: 8 steps, then from step 3 to 8 twice.
    curve = rows_of(found, "train/step")
    assert [one["train/step"] for one in curve] == [*range(1, 9), *range(9, 14), *range(14, 19)]
    assert [one["train/level"] for one in curve] == [0] * 8 + [1] * 5 + [2] * 5
    assert all(math.isfinite(one["val/accuracy"]) and math.isfinite(one["train/loss"]) for one in curve)
    # The rest of the last level's numbers once, in the summary.
    summary = summary_of(found)
    for name in ("prunable", "parameters", "remaining", "search_steps", "end_step", "untrained/loss"):
        assert summary[name] == float(rows[-1][name])
    assert summary["dense/test/accuracy"] == float(rows[0]["test/accuracy"])
    assert summary["matching_tolerance"] == 0.007
    assert summary["state"] == "complete"
    least = summary["dense/test/accuracy"] - 0.007
    good = [float(row["sparsity"]) for row in rows if float(row["test/accuracy"]) >= least]
    assert summary["sparsest_matching_sparsity"] == max(good)
    assert (summary["demonstrated_matching_sparsity"], summary["demonstrated_seeds"]) == ("fewer than 3 seeds", 1)
    assert found["exit"][-1].get("exit_code", 0) == 0
    (artifact,) = found["artifact"]
    assert {entry["path"] for entry in artifact["manifest"]["contents"]} == {
        "levels.csv", "tickets/level-00.safetensors", "tickets/level-01.safetensors", "tickets/level-02.safetensors",
    }  # fmt: skip


@pytest.mark.slow
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
    assert [sparsity for sparsity, _ in curve(found)] == [float(row["sparsity"]) for row in ledger(folder)]
    assert [one["train/step"] for one in rows_of(found, "train/step")] == list(range(1, 25))


@pytest.fixture
def sweep(offline):
    """A method with and without a control, two seeds, one W&B project: each run's folder and its records."""
    result = offline("-m", "method=imp,imp_reinit", "seed=0,1", *TINY, *OFFLINE)
    assert (result.code, result.err) == (0, "")
    found = list(map(records, wandb_runs(offline)))
    assert {one["run"][0]["run_id"] for one in found} == {folder.name for folder in folders(offline.runs)}
    return [(offline.runs / one["run"][0]["run_id"], one) for one in found]


def curve(found):
    """Accuracy against sparsity, as W&B draws it."""
    return [(one["level/sparsity"], one["level/test/accuracy"]) for one in rows_of(found, "level/sparsity")]


@pytest.mark.slow
def test_runs_of_a_sweep_overlay_as_curves_without_any_set_up(sweep):
    """One project, one group; level/* against level/sparsity; told apart by method and control, averaged over seeds."""
    assert len(sweep) == 4
    dense, told = {}, []
    for folder, found in sweep:
        about = found["run"][0]
        assert (about["project"], about["run_group"]) == ("ltb", "questions")
        axes = {one.get("glob_name"): one["step_metric"] for one in found["metric"] if "step_metric" in one}
        assert axes["level/*"] == "level/sparsity"
        assert "*" not in axes
        assert curve(found) == [(float(row["sparsity"]), float(row["test/accuracy"])) for row in ledger(folder)]
        config = about["config"]["update"]
        told.append((about["job_type"], config["method"], (config["control"] or {}).get("_target_"), config["seed"]))
        # A ticket and its control start at one dense network.
        assert dense.setdefault(config["seed"], curve(found)[0]) == curve(found)[0]
    reinit = "ltb.core.controls.Reinit"
    methods = (("imp", "imp", None), ("imp-reinit", "imp", reinit))
    assert set(told) == {(*method, seed) for method in methods for seed in (0, 1)}
    assert len({tuple(x for x, _ in curve(found)) for _, found in sweep}) == 1  # the same axis, so that W&B can average
    assert len({tuple(curve(found)) for _, found in sweep}) == 4


def test_all_that_the_dashboard_draws_is_what_a_run_logs(offline):
    pytest.importorskip("wandb_workspaces", reason="pip install 'ltb[dashboard]'")
    from ltb.tracking import dashboard

    section = dashboard.sent(dashboard.workspace("me", "ltb"))["spec"]["section"]
    panels = [panel["config"] for part in section["panelBankConfig"]["sections"] for panel in part["panels"]]
    drawn = {name for one in panels for name in (one.get("xAxis"), *one["metrics"]) if name}
    columns = section["runSets"][0]["runFeed"]["columnOrder"]
    offline.done("+experiment=imp", "control=reinit", *TINY, *OFFLINE)
    (found,) = map(records, wandb_runs(offline))
    logged = set().union(*(one["item"] for one in found["history"]))
    logged |= {f"summary_metrics.{name}" for name in summary_of(found)}
    assert drawn <= logged
    assert {name.removeprefix("summary:") for name in columns if name.startswith("summary:")} <= set(summary_of(found))
    config = found["run"][0]["config"]["update"]
    for name in (name for name in columns if name.startswith("config:")):
        key, _, *below = name.removeprefix("config:").split(".")
        assert (config[key][below[0]] if below else config[key]) is not None


@pytest.mark.slow
def test_a_sweep_with_a_job_that_fails(offline, monkeypatch):
    """The failed run is marked, its finished levels are kept, and the others are complete."""
    from ltb.core import masks
    from ltb.training import Training

    fit = Training.fit

    def breaks(self, asked, *given, **more):
        if self.seed == 1 and masks.density(asked.masks) < 0.7:  # the last of three levels
            raise RuntimeError("the machine is on fire")
        return fit(self, asked, *given, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "fit", breaks)
        assert offline("-m", "seed=0,1,2", *TINY, *OFFLINE).code == 1
    found = {one["run"][0]["run_id"]: one for one in map(records, wandb_runs(offline))}
    states = {folder.name: status(folder)["state"] for folder in folders(offline.runs)}
    assert [(name.split("-s")[1][0], state) for name, state in states.items()] == [
        ("0", "complete"), ("1", "failed"), ("2", "complete"),
    ]  # fmt: skip
    for name, state in states.items():
        assert summary_of(found[name])["state"] == state
        assert found[name]["exit"][-1].get("exit_code", 0) == (0 if state == "complete" else 1)
        assert len(curve(found[name])) == len(ledger(offline.runs / name)) == (3 if state == "complete" else 2)


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_and_shows_each_level_once(offline):
    many = [argument.replace("levels=2", "levels=20") for argument in TINY]
    process = own_process(offline.folder, *many, *OFFLINE)
    try:
        until = time.monotonic() + 90
        while not list(offline.runs.glob("*/levels.csv")):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.01)
    finally:
        process.kill()  # no handler runs: nothing is said to W&B
        process.communicate()
    (folder,) = folders(offline.runs)
    (killed,) = wandb_runs(offline)
    assert status(folder)["state"] == "running"
    assert 1 <= len(ledger(folder)) < 21
    offline.done(*many, *OFFLINE)
    (again,) = (one for one in wandb_runs(offline) if one != killed)
    found = records(again)
    assert found["run"][0]["run_id"] == folder.name
    assert [sparsity for sparsity, _ in curve(found)] == [float(row["sparsity"]) for row in ledger(folder)]
    assert len(curve(found)) == 21
    steps = [one["train/step"] for one in rows_of(found, "train/step")]
    assert steps == list(range(1, 8 * 21 + 1))
    assert (summary_of(found)["state"], found["exit"][-1].get("exit_code", 0)) == ("complete", 0)


@pytest.mark.slow
def test_wandb_itself_says_nothing(offline):
    """In a process of its own, for what W&B prints is settled by the first use of it in a process."""
    given = [argument for argument in OFFLINE if "mode" not in argument]
    command = [sys.executable, "-m", "ltb.train", *TINY, *given, "logger.mode=auto", "logger.artifacts=true"]
    done = subprocess.run(command, cwd=offline.folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (run,) = wandb_runs(offline)
    assert "artifact" in records(run)


def test_no_logger_leaves_nothing_of_wandb(offline):
    offline.done(*TINY)
    assert not (offline.runs / "wandb").exists()
    assert not (offline.folder / "wandb-home").exists()
