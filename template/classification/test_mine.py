"""The network and the criterion by hand, and the whole command, shortened: what cannot work shows before hours are spent."""

import subprocess
import sys
from pathlib import Path

import torch
from mine import Growth, Tiny

import ltb


def test_the_network_gives_a_score_for_each_class():
    assert Tiny([40], 4)(torch.zeros(3, 40)).shape == (3, 4)


def test_what_gained_most_is_worth_most():
    evidence = ltb.Evidence(start={"w": torch.tensor([1.0, 0.0, 2.0])})
    assert Growth()({"w": torch.tensor([1.0, 2.0, -1.0])}, evidence)["w"].tolist() == [0.0, 4.0, -3.0]


def test_the_command_runs(tmp_path):
    short = ["training.length=20it", "schedule.levels=2", "criterion=growth", "logger=none", f"runs={tmp_path}"]
    command = [sys.executable, "-m", "ltb.train", "--config-dir", "conf", "task=waves", *short]
    subprocess.run(command, cwd=Path(__file__).parent, check=True)
    (ledger,) = tmp_path.glob("*/levels.csv")
    assert len(ledger.read_text().splitlines()) == 1 + 3  # a header, the dense network, two levels
