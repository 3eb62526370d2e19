"""A Slurm of one machine, as far as submitit asks for it: sbatch (arrays, too), srun, sacct and scontrol requeue."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

JOB = "1000"


def install(folder: Path) -> dict[str, str]:
    """Put the four commands into `folder`; the environment in which they are found."""
    folder.mkdir()
    for name in ("sbatch", "srun", "sacct", "scontrol"):
        (folder / name).write_text(f'#!/bin/sh\nexec {sys.executable} -S -E {__file__} {name} "$@"\n')
        (folder / name).chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "FAKE_SLURM": str(folder)}


def pid(folder: Path, task: int) -> int:
    """The process of a task of the array."""
    return int((folder / f"pid_{task}").read_text())


def sbatch(state: Path, script: str) -> None:
    text = Path(script).read_text()
    (state / "script.sh").write_text(text)
    array = re.search(r"^#SBATCH --array=0-(\d+)", text, re.MULTILINE)
    assert array, "only arrays"
    for task in range(int(array[1]) + 1):
        command = [sys.executable, "-S", "-E", __file__, "node", str(task)]
        subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    print(f"Submitted batch job {JOB}")


def node(state: Path, task: str) -> None:
    """Run one task of the array, and again as often as it asks for that."""
    environment = {
        "SLURM_JOB_ID": f"{JOB}{task}",
        "SLURM_ARRAY_JOB_ID": JOB,
        "SLURM_ARRAY_TASK_ID": task,
        "SLURM_JOB_NODELIST": socket.gethostname(),
        "SLURM_JOB_NAME": "ltb",
        "SLURM_NTASKS": "1",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
    }
    again = state / f"requeue_{JOB}_{task}"
    while True:
        subprocess.run(["bash", str(state / "script.sh")], env=os.environ | environment, check=False)
        if not again.exists():
            return
        again.rename(state / f"requeued_{JOB}_{task}")


def srun(state: Path, *arguments: str) -> None:
    options = {"--output": "", "--error": ""}
    given = list(arguments)
    while given[0].startswith("--"):
        option = given.pop(0)
        if option in options:
            options[option] = given.pop(0)
    task = os.environ["SLURM_ARRAY_TASK_ID"]
    for descriptor, path in enumerate(options.values(), start=1):
        path = path.replace("%A", JOB).replace("%a", task).replace("%t", "0")
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    (state / f"pid_{task}").write_text(str(os.getpid()))
    os.execvp(given[0], given)


def sacct(state: Path, *_: str) -> None:
    print("JobID|State|NodeList")


def scontrol(state: Path, requeue: str, job: str) -> None:
    assert requeue == "requeue"
    (state / f"requeue_{job}").touch()


if __name__ == "__main__":
    commands = {"sbatch": sbatch, "node": node, "srun": srun, "sacct": sacct, "scontrol": scontrol}
    commands[sys.argv[1]](Path(os.environ["FAKE_SLURM"]), *sys.argv[2:])
