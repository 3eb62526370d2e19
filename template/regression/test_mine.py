"""The network, and the whole command, shortened: what cannot work shows before hours are spent."""

import subprocess
import sys
from pathlib import Path

import torch
from mine import Net


def test_the_network_gives_what_is_asked_of_it():
    assert Net()(torch.zeros(3, 1)).shape == (3, 1)


def test_the_command_runs(tmp_path):
    short = ["training.length=20it", "schedule.levels=2", "logger=none", f"runs={tmp_path}"]
    command = [sys.executable, "-m", "ltb.train", "--config-dir", "conf", "task=curve", *short]
    subprocess.run(command, cwd=Path(__file__).parent, check=True)
    (ledger,) = tmp_path.glob("*/levels.csv")
    assert len(ledger.read_text().splitlines()) == 1 + 3  # a header, the dense network, two levels
