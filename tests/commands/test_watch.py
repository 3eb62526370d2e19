"""The live view over a sweep: in a log file, in a terminal, and as a command of its own."""

import os
import pty
import subprocess
import sys

import pytest

from ltb.run import sweep, view
from tests.support.command import TINY, own_process

TOLD = tuple(argument for argument in TINY if not argument.startswith("progress"))
BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


@pytest.mark.parametrize(
    ("params", "overrides", "expected"),
    [
        ({}, ["seed=0,1,2", "method=imp,one_shot"], 6),
        ({}, ["seed=range(0,4)", "rewind_step=100it"], 4),
        ({"method": "imp,random", "seed": "0,1,2,3,4"}, ["+experiment=comparison"], 10),
        ({"method": "imp,random", "seed": "0,1,2,3,4"}, ["seed=7"], 2),  # the command line wins
        ({}, ["schedule.sparsities=[0.5,0.9]", "seed=1"], 1),  # a list is one value
        (None, ["+experiment=imp,dense"], 2),
    ],
)
def test_how_many_jobs_a_sweep_has(params, overrides, expected):
    hydra = {"sweeper": {"_target_": BASIC, "params": params}, "overrides": {"task": overrides}}
    assert sweep.jobs(hydra) == expected


def test_a_sweeper_that_decides_on_its_way_has_no_number_of_jobs():
    hydra = {"sweeper": {"_target_": "hydra_plugins.optuna.OptunaSweeper"}, "overrides": {"task": ["seed=0,1"]}}
    assert sweep.jobs(hydra) is None


@pytest.mark.slow
def test_a_log_file_gets_a_line_for_each_job_that_ends(command):
    found = command("-m", *TOLD, "method=imp", "seed=0,1", "lr.base=0.1,1e30", "rewind=learning_rate")
    assert found.code == 1
    lines = [line for line in found.err.splitlines() if " done, " in line]
    assert len(lines) == 4
    assert sum(": failed, " in line and "diverged" in line for line in lines) == 2
    assert lines[-1].startswith("2 of 4 done, 0 running, 2 failed; imp-noise+mlp-s1-")
    assert "\x1b" not in found.err
    assert "level " not in "".join(line for line in found.err.splitlines() if " done, " not in line)


def in_a_terminal(folder, *command):
    """What a command prints to a terminal."""
    main, other = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=other, stderr=other, stdin=other)
    os.close(other)
    text = b""
    while True:
        try:
            text += os.read(main, 4096)
        except OSError:  # the other end is closed
            break
    os.close(main)
    assert process.wait(60) == 0, text.decode()
    return text.decode()


@pytest.mark.slow
def test_a_terminal_gets_bars_and_the_command_of_its_own_shows_the_same(tmp_path):
    given = (*TOLD, "training.length=400it", "method=imp", "seed=0,1")
    own_process(tmp_path, "-m", *given, "plan=true").communicate()
    assert not (tmp_path / "runs").exists()
    text = in_a_terminal(tmp_path, sys.executable, "-m", "ltb.train", "-m", *given)
    assert "2 of 2 done, 0 running, 0 failed" in text
    assert "━" in text
    watched = in_a_terminal(tmp_path, sys.executable, "-m", "ltb.watch")
    assert "2 of 2 done, 0 running, 0 failed" in watched


def test_a_folder_that_is_no_sweep_is_named(tmp_path, capsys):
    assert view.main([str(tmp_path)]) == 2
    assert (
        capsys.readouterr().err == f"python -m ltb.watch: {tmp_path}: not a sweep's folder (they are in runs/sweeps)\n"
    )
