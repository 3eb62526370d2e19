"""What W&B holds after a run, read back with W&B's own reader."""

from __future__ import annotations

import json
import logging
import math
import subprocess
import sys
from pathlib import Path

import pytest
import wandb
from PIL import Image

from ltb.common.errors import Unavailable
from ltb.tracking import wandb_mirror
from ltb.tracking.wandb_mirror import WandbMirror, resolve_mode

CURVES = (
    "sparsity", "density", "train/loss", "val/accuracy", "val/loss", "test/accuracy", "test/loss", "early_stop_step",
    "test/accuracy_at_early_stop",
)  # fmt: skip
KEY = "0123456789" * 4


@pytest.fixture(autouse=True)
def wandb_folders(tmp_path, monkeypatch):
    """Everything that W&B writes goes to tmp_path; nobody is logged in; no person's settings are read."""
    for name in ("DATA", "CACHE", "CONFIG", "ARTIFACT"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / "wandb-home" / name.lower()))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_PROJECT", "WANDB_ENTITY"):
        monkeypatch.delenv(name, raising=False)


def start(folder, run_id="imp-toy-s0-a1b2c3", **given):
    config = {"seed": 0, "lr": {"value": 0.1, "milestones": [1, 2]}, "metric": {"name": "accuracy"}}
    defaults = {"project": "ltb", "group": "study", "job_type": "imp", "tags": ["mlp", "mnist1d"], "config": config}
    return WandbMirror(run_id, folder=folder, **(defaults | {"mode": "offline"} | given))


def records(folder, kind=None):
    """The records of the one offline run below `folder`, by `wandb leet inspect --json`."""
    (run,) = (folder / "wandb").glob("offline-run-*")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(run)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    every = [json.loads(line) for line in output.splitlines()]
    return every if kind is None else [one[kind] for one in every if one["type"] == kind]


def history(folder, prefix):
    """All logs that hold something of a prefix, without W&B's own columns."""
    items = [{k: v for k, v in one["item"].items() if not k.startswith("_")} for one in records(folder, "history")]
    return [item for item in items if any(key.startswith(prefix) for key in item)]


def test_every_row_of_the_ledger_is_there_with_what_is_a_curve(tmp_path, row):
    rows = [
        row(0),
        row(1, early_stop_is_last=True, **{"val/loss": None}),
        row(2, control="reinit", **{"train/loss": math.nan}),
    ]
    mirror = start(tmp_path)
    for one in rows:
        mirror.level(one)
    mirror.finish("complete", {})
    logged = history(tmp_path, "level/")
    assert len(logged) == 3
    for one, found in zip(rows, logged, strict=True):
        numbers = {k: v for k, v in one.items() if k in CURVES and v is not None and not math.isnan(v)}
        assert found == {f"level/{key}": value for key, value in numbers.items()}  # exact
    assert set(logged[0]) == {f"level/{key}" for key in CURVES}


def test_the_axes_are_defined_before_the_patterns_and_nothing_renames_the_summary(tmp_path):
    start(tmp_path).finish("complete", {})
    defined = [
        (one.get("name") or one.get("glob_name"), one.get("step_metric"), "summary" in one)
        for one in records(tmp_path, "metric")
    ]
    assert defined == [
        ("level/sparsity", None, False),
        ("train/step", None, False),
        ("level/*", "level/sparsity", False),
        ("train/*", "train/step", False),
        ("val/*", "train/step", False),
    ]


def test_the_patterns_reach_names_with_a_slash_of_their_own(tmp_path):
    """W&B itself puts the axis beside a value that a pattern reaches, where it was logged without it."""
    mirror = start(tmp_path)
    mirror.level({"sparsity": 0.5})
    mirror.level({"test/accuracy": 0.7})
    mirror.finish("complete", {})
    assert history(tmp_path, "level/test")[0] == {"level/test/accuracy": 0.7, "level/sparsity": 0.5}


@pytest.mark.slow
def test_training_curves_go_on_over_levels_while_the_clock_rewinds(tmp_path):
    mirror = start(tmp_path)
    for level, start_step in enumerate((0, 500, 500)):
        mirror.begin_level(level, start_step)
        for step in range(start_step + 250, 1001, 250):
            mirror.history(
                {
                    "run_id": "x",
                    "level": level,
                    "step": step,
                    "epoch": step / 40,
                    "train/loss": 0.5,
                    "val/accuracy": 0.6,
                }
            )
    mirror.finish("complete", {})
    logged = history(tmp_path, "train/")
    assert [one["train/step"] for one in logged] == [250, 500, 750, 1000, 1250, 1500, 1750, 2000]
    assert [one["train/level"] for one in logged] == [0, 0, 0, 0, 1, 1, 2, 2]
    assert logged[0] == {
        "train/step": 250,
        "train/level": 0,
        "train/epoch": 6.25,
        "train/loss": 0.5,
        "val/accuracy": 0.6,
    }
    steps = [one["step"]["num"] for one in records(tmp_path, "history")]
    assert steps == sorted(set(steps))


def test_who_the_run_is(tmp_path):
    mirror = start(tmp_path, name="IMP, seed 0", notes="Does the first step matter?")
    mirror.finish("complete", {})
    run = records(tmp_path, "run")[0]
    assert run["run_id"] == "imp-toy-s0-a1b2c3"
    assert (run["display_name"], run["project"], run["run_group"], run["job_type"]) == (
        "IMP, seed 0",
        "ltb",
        "study",
        "imp",
    )
    assert (run["tags"], run["notes"]) == (["mlp", "mnist1d"], "Does the first step matter?")
    config = {k: v for k, v in run["config"]["update"].items() if k != "_wandb"}
    assert config == {"seed": 0, "lr": {"value": 0.1, "milestones": [1, 2]}, "metric": {"name": "accuracy"}}


@pytest.mark.slow
@pytest.mark.parametrize(("state", "code"), [("complete", 0), ("failed", 1), ("interrupted", 1)])
def test_the_end_is_told(tmp_path, state, code):
    mirror = start(tmp_path)
    error = None if state == "complete" else "out of memory"
    mirror.finish(state, {"dense/test/accuracy": 0.7, "sparsest_matching_sparsity": 0.9, "nothing": None}, error)
    assert records(tmp_path, "exit")[-1].get("exit_code", 0) == code
    summary = {}
    for one in records(tmp_path, "summary"):
        summary |= one["update"]
    assert summary["dense/test/accuracy"] == 0.7
    assert summary["sparsest_matching_sparsity"] == 0.9
    assert summary["state"] == state
    assert summary.get("error") == error


@pytest.mark.slow
def test_figure_and_artifact(tmp_path):
    (tmp_path / "tickets").mkdir()
    (tmp_path / "tickets" / "level-01.safetensors").write_bytes(b"masks")
    (tmp_path / "levels.csv").write_text("run_id\n")
    Image.new("RGB", (20, 10)).save(tmp_path / "curves.png")
    mirror = start(tmp_path)
    mirror.figure(tmp_path / "curves.png")
    mirror.artifact([tmp_path / "levels.csv", tmp_path / "tickets"])
    mirror.finish("complete", {})
    image = history(tmp_path, "curves.")[0]
    assert (image["curves._type"], image["curves.width"], image["curves.height"]) == ("image-file", 20, 10)
    (artifact,) = records(tmp_path, "artifact")
    assert (artifact["name"], artifact["type"]) == ("run-imp-toy-s0-a1b2c3", "ltb-run")
    paths = {entry["path"] for entry in artifact["manifest"]["contents"]}
    assert paths == {"levels.csv", "tickets/level-01.safetensors"}


@pytest.mark.slow
def test_two_runs_in_one_process_are_two_runs(tmp_path, row):
    for seed in (0, 1):
        mirror = start(tmp_path / str(seed), run_id=f"imp-toy-s{seed}-abc")
        mirror.level(row(0, **{"test/accuracy": 0.7 + seed}))
        mirror.finish("complete", {})
    assert [history(tmp_path / str(seed), "level/")[0]["level/test/accuracy"] for seed in (0, 1)] == [0.7, 1.7]


@pytest.mark.slow
def test_a_continued_run_replays_its_levels_each_once(tmp_path, row):
    first = start(tmp_path / "first")
    first.level(row(0))
    first.finish("interrupted", {})
    second = start(tmp_path / "second")
    for level in range(3):
        second.level(row(level))
    second.finish("complete", {})
    assert [one["level/density"] for one in history(tmp_path / "second", "level/")] == [1.0, 0.8, 0.64]


def test_the_hint_names_the_folder_and_nothing_is_printed(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mirror = start(tmp_path / "runs")
    mirror.level({"sparsity": 0.0})
    mirror.finish("complete", {})
    (run,) = (tmp_path / "runs" / "wandb").glob("offline-run-*")
    relative = run.relative_to(tmp_path)
    assert mirror.hint() == (
        f"W&B, offline: `wandb leet {relative.parent}` shows it here, `wandb sync {relative}` uploads it"
    )
    assert capfd.readouterr() == ("", "")


def _netrc(host):
    return f"machine {host}\n  login user\n  password {KEY}\n"


@pytest.mark.parametrize(
    ("mode", "environment", "logged_in", "expected"),
    [
        ("auto", {}, False, "offline"),
        ("auto", {"WANDB_API_KEY": KEY}, False, "online"),
        ("auto", {}, True, "online"),
        ("auto", {"WANDB_MODE": "offline", "WANDB_API_KEY": KEY}, True, "offline"),
        ("auto", {"WANDB_MODE": "dryrun"}, True, "offline"),
        ("auto", {"WANDB_MODE": "disabled"}, True, "disabled"),
        ("auto", {"WANDB_MODE": "online"}, False, "online"),
        ("offline", {"WANDB_API_KEY": KEY}, True, "offline"),
        ("online", {}, False, "online"),
    ],
)
def test_mode(tmp_path, monkeypatch, mode, environment, logged_in, expected):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if logged_in:
        host = wandb.setup().settings.base_url.removeprefix("https://")
        (tmp_path / "netrc").write_text(_netrc(host))
    assert resolve_mode(mode) == expected


def test_an_unknown_mode_says_what_there_is(tmp_path):
    with pytest.raises(ValueError, match=r"^logger.mode='maybe': must be one of auto, online, offline$"):
        start(tmp_path, mode="maybe")


def test_wandb_disabled_by_the_environment_still_works(tmp_path, monkeypatch, row):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    mirror = start(tmp_path, mode="auto")
    mirror.level(row(0))
    mirror.finish("complete", {"dense": 0.7})
    assert mirror.hint() == "W&B: disabled by WANDB_MODE"


def test_a_wandb_that_does_not_start_is_one_line(tmp_path, monkeypatch):
    def broken(**given):
        raise RuntimeError("no service\nsecond line")

    monkeypatch.setattr(wandb, "init", broken)
    with pytest.raises(Unavailable) as error:
        start(tmp_path)
    assert str(error.value) == "logger: W&B did not start (no service second line); logger=none runs without it"


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match=r"^logger: W&B did not start \(.*\); logger=none runs without it$"):
        start(tmp_path / "file")


def test_what_fails_after_the_start_is_warned_about_once_and_stops_nothing(tmp_path, caplog, row):
    mirror = start(tmp_path)
    mirror.level(row(0))

    def broken(*args, **kwargs):
        raise OSError("disk full")

    mirror._run.log = broken
    with caplog.at_level(logging.WARNING, logger=wandb_mirror.__name__):
        mirror.level(row(1))
        mirror.history({"step": 1, "train/loss": 0.1})
        mirror.figure(tmp_path / "absent.png")
        mirror.artifact([tmp_path / "absent"])
        mirror.finish("complete", {})
    warned = [one.getMessage() for one in caplog.records if one.name == wandb_mirror.__name__]
    assert warned == ["W&B: log failed (disk full); the run goes on, its ledger is complete"]
    assert [one["level/density"] for one in history(tmp_path, "level/")] == [1.0]


def test_ctrl_c_is_not_swallowed(tmp_path):
    mirror = start(tmp_path)

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    log, mirror._run.log = mirror._run.log, interrupted
    with pytest.raises(KeyboardInterrupt):
        mirror.level({"sparsity": 0.0})
    mirror._run.log = log
    mirror.finish("interrupted", {})


def test_importing_the_mirror_imports_neither_wandb_nor_torch():
    code = "import sys, ltb.tracking.wandb_mirror; assert not {'wandb', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(wandb_mirror.__file__).parents[2])
