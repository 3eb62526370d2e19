"""W&B's sweep agent: the ready file, its command as the agent makes it, and that such a run belongs to its sweep."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args
from wandb.sdk.lib.config_util import save_config_file_from_dict

from tests.commands.test_wandb import records, summary_of
from tests.support.command import TINY, folders, ledger, status

FILE = Path(__file__).parents[2] / "experiments" / "wandb_sweep.yaml"


def swept():
    return yaml.safe_load(FILE.read_text())


def commanded(parameters):
    """The command of one job, filled in as ``wandb agent`` fills it in."""
    given = create_sweep_command_args({"args": {name: {"value": value} for name, value in parameters.items()}})
    filled = {**given, "env": ["/usr/bin/env"], "program": [swept()["program"]], "interpreter": ["python"]}
    command = []
    for part in map(str, swept()["command"]):
        command += filled[part[2:-1]] if part.startswith("${") else [part]
    return command


def test_the_file_says_what_wandb_asks_for():
    assert set(swept()) <= {"project", "program", "command", "method", "metric", "parameters"}
    assert swept()["method"] == "grid"
    assert set(swept()["metric"]) == {"name", "goal"}
    assert swept()["metric"]["goal"] in ("maximize", "minimize")
    assert all(set(parameter) == {"values"} for parameter in swept()["parameters"].values())


def test_a_command_as_the_agent_makes_it():
    found = commanded({"method": "imp", "seed": 3})
    assert found == ["/usr/bin/env", "ltb-train", "progress=false", "method=imp", "seed=3"]


@pytest.mark.slow
def test_every_value_of_the_file_can_be_run(command):
    parameters = {name: parameter["values"] for name, parameter in swept()["parameters"].items()}
    given = [f"{name}={','.join(map(str, values))}" for name, values in parameters.items()]
    found = command("-m", *TINY, *given, "plan=true")
    assert (found.code, found.err) == (0, "")
    assert found.out.count("so far: ") == math.prod(map(len, parameters.values()))


@pytest.mark.slow
def test_an_agents_run_belongs_to_its_sweep_and_has_the_metric_of_the_file(tmp_path):
    given = {"method": "imp_reinit", "seed": 3}
    save_config_file_from_dict(str(tmp_path / "config.yaml"), {name: {"value": value} for name, value in given.items()})
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")} | {
        "WANDB_MODE": "offline",
        "WANDB_SWEEP_ID": "ab12cd34",
        "WANDB_RUN_ID": "x7y8z9",
        "WANDB_SWEEP_PARAM_PATH": str(tmp_path / "config.yaml"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    tiny = [setting for setting in TINY if setting != "logger=none"]
    ran = subprocess.run(
        [*commanded(given), *tiny],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    (folder,) = folders(tmp_path / "runs")
    assert status(folder)["state"] == "complete"
    (run,) = (tmp_path / "runs" / "wandb").glob("offline-run-*")
    found = records(run)
    (about,) = found["run"][:1]
    assert (about["run_id"], about["sweep_id"]) == ("x7y8z9", "ab12cd34")
    assert about["display_name"] == f"imp · reinit, noise+mlp, seed 3 ({folder.name[-6:]})"
    rows = ledger(folder)
    assert summary_of(found)[swept()["metric"]["name"]] == float(rows[-1]["val/accuracy"])
