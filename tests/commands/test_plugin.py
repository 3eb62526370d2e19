"""A person's own classes: one class and one yaml each, in a folder of theirs, used from anywhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import ltb
from ltb.records.schema import COLUMNS
from tests.support.command import TINY, folders, ledger, status

OWN = Path(__file__).parents[1] / "own"
SHORT = ("training.length=12it", "schedule.levels=2", "logger=none", "progress=false")


@pytest.fixture
def elsewhere(command, monkeypatch):
    """The command in a folder that is not the person's, without what other tests have imported of theirs."""
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    return command


def test_own_criterion_model_and_data_in_one_command(elsewhere):
    given = ("criterion=growth", "model=tiny", "data=waves", "protocol.batch_size=25")
    folder = elsewhere.done("--config-dir", str(OWN), "+experiment=imp", *given, *SHORT)
    rows = ledger(folder)
    assert [(row["model"], row["data"]) for row in rows] == [("tiny", "waves")] * 3
    assert [int(row["prunable"]) for row in rows] == [40 * 32 + 32 * 2] * 3
    # What was kept is what had gained most in its square, layer by layer.
    ticket, trained = (
        ltb.Ticket.load(folder / "tickets" / "level-01.safetensors"),
        ltb.Ticket.load(folder / "tickets" / "level-00.safetensors"),
    )
    from ltb.store.ticket import load_point

    dense = load_point(folder / "trained" / "level-00.safetensors").weights
    for name, mask in ticket.masks.items():
        moved = dense[name] ** 2 - trained.origin.weights[name] ** 2
        assert moved[mask].min() >= moved[~mask].max()


REGRESSION = ("module=regression", "data=sine", "model=tiny", "metric.name=mse", "metric.direction=min")


def test_own_lightning_module_and_data_module_reach_the_ledger(elsewhere, monkeypatch):
    given = ("--config-dir", str(OWN), "+experiment=imp_rewind", *REGRESSION, *SHORT, "rewind_step=4it")
    folder = elsewhere.done(*given)
    rows = ledger(folder)
    assert sorted(list(rows[0])[len(COLUMNS) :]) == ["test/mse", "test/mse_at_early_stop", "untrained/loss"]
    for row in rows:
        assert float(row["test/mse"]) > 0
        assert float(row["val/loss"]) > 0
        assert row["test/accuracy"] == ""
    assert [row["start_step"] for row in rows] == ["0", "4", "4"]
    assert status(folder)["metric"] == {"name": "mse", "direction": "min"}
    again = elsewhere.done(*given, "fresh=true")
    assert [row["test/mse"] for row in ledger(again)] == [row["test/mse"] for row in rows]


@pytest.mark.slow
def test_the_console_script_from_any_directory(tmp_path):
    script = Path(sys.executable).with_name("ltb-train")
    given = ["--config-dir", str(OWN), *REGRESSION, *SHORT[:3], "schedule.levels=1", "rewind_step=5it"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([script, *given], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (folder,) = folders(tmp_path / "runs")
    assert len(ledger(folder)) == 2
    assert (folder / "curves.png").stat().st_size > 0
    assert f"ledger  runs/{folder.name}/levels.csv" in done.stdout
    assert "test mse" in done.stderr
    assert "Warning" not in done.stderr


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        (["data=nope"], ["data=nope", "sine", "waves", "mnist1d"]),
        (["criterion=growth", "+criterion.foo=1"], ["criterion.foo", "Growth has no such"]),
        (["data=waves", "data.classes=3"], ["data.classes=3: 2 for Waves"]),
        (["module=regression", "data=sine", "model=tiny"], ["metric.name='accuracy'", "test/mse"]),
        (["criterion=snip", *REGRESSION], ["criterion=Snip: ", "no method loss(batch)"]),
        (
            ["criterion=inverted", "criterion@criterion.criterion=grasp", *REGRESSION],
            ["criterion=Inverted: ", "loss(batch)"],
        ),
        (["criterion=careless"], ["mine.Careless must be a frozen dataclass"]),
    ],
)
def test_own_mistakes_are_one_line_too(elsewhere, given, parts):
    tiny = [one for one in TINY if not one.startswith(("data", "model"))]
    result = elsewhere("--config-dir", str(OWN), *tiny, *given)
    assert result.code == 2
    for part in parts:
        assert part in result.line
    assert folders(elsewhere.runs) == []


def test_a_folder_that_is_not_there(elsewhere):
    result = elsewhere("--config-dir", "nope", *TINY)
    assert result.code == 2
    assert "nope' not found" in result.line


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_tab_completion_has_a_script(command, shell):
    result = command("-sc", f"install={shell}")
    assert result.code == 0
    assert "ltb-train" in result.out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("task=fash", ["task=fashion_lenet"]),
        ("+experiment=imp_", ["+experiment=imp_rewind"]),
        ("rewind.optimizer_st", ["rewind.optimizer_state="]),
    ],
)
def test_tab_completes(command, monkeypatch, typed, offered):
    monkeypatch.setenv("COMP_LINE", f"ltb-train {typed}")
    assert command("-sc", "query=bash").out.split() == offered
    assert "--multirun" in command("--hydra-help").out
