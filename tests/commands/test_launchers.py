"""A sweep gives the same bytes, report and exit code on every engine, and says in one line what an engine lacks."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins

from ltb.run import launchers
from ltb.run.launchers import EXTRAS
from tests.support import slurm
from tests.support.command import TINY, folders, ledger, stage_hashes, status, without

SWEEP = ("-m", *TINY, "method=imp,one_shot", "seed=0")  # two jobs that need one dense network
ENGINES = {
    "joblib": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
    "submitit_local": ("hydra/launcher=submitit_local",),
    "slurm": ("hydra/launcher=slurm",),
    "ray_cluster": (
        "hydra/launcher=ray_cluster",
        "hydra.launcher.ray.init.address=local",
        "+hydra.launcher.ray.init.num_cpus=2",
    ),
}
PLUGINS = {"joblib": "joblib", "submitit_local": "submitit", "slurm": "submitit", "ray_cluster": "ray"}


def start(folder, *arguments):
    """``python -m ltb.train ARGUMENTS`` in `folder`, where Slurm is."""
    folder.mkdir(exist_ok=True)
    found = folder / "slurm"
    environment = os.environ | ({} if found.exists() else slurm.install(found))
    environment |= {"PATH": f"{found}{os.pathsep}{os.environ['PATH']}", "FAKE_SLURM": str(found)}
    environment.pop("OMP_NUM_THREADS", None)  # one thread each without being told
    command = [sys.executable, "-m", "ltb.train", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)


def sweep(folder, *arguments):
    """The same to its end: exit code, stdout, stderr."""
    process = start(folder, *arguments)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


@pytest.fixture(params=list(ENGINES))
def engine(request):
    if find_spec(f"hydra_plugins.hydra_{PLUGINS[request.param]}_launcher") is None:
        pytest.skip(f"ltb[{PLUGINS[request.param]}] is not installed")
    return ENGINES[request.param]


def ledgers(runs):
    return {folder.name: without(ledger(folder), "seconds", "reused") for folder in folders(runs)}


def reports(runs):
    return sorted(path.parent for path in (runs / "sweeps").glob("*/summary.csv"))


@pytest.fixture(scope="module")
def basic(tmp_path_factory):
    folder = tmp_path_factory.mktemp("basic")
    code, _, err = sweep(folder, *SWEEP)
    assert (code, err) == (0, "")
    return folder


@pytest.mark.slow
def test_every_engine_gives_what_the_basic_launcher_gives_and_trains_nothing_twice(tmp_path, basic, engine):
    other = tmp_path
    code, _, err = sweep(other, *SWEEP, *engine)
    assert (code, err) == (0, "")
    assert stage_hashes(other / "runs/store") == stage_hashes(basic / "runs/store")
    assert ledgers(other / "runs") == ledgers(basic / "runs")
    rows = [row for folder in folders(other / "runs") for row in ledger(folder)]
    assert len(rows) == 2 * 3
    trained = Counter(row["stage"] for row in rows if row["reused"] == "False")
    assert set(trained) == {row["stage"] for row in rows}
    assert set(trained.values()) == {1}
    assert {made["machine"]["threads"] for folder in folders(other / "runs") for made in status(folder)["made"]} == {1}
    (report,) = reports(other / "runs")
    assert len(list((report / "sweep_runs").iterdir())) == 2

    # The same command again trains only what is missing.
    written = {path: path.stat().st_mtime_ns for path in (other / "runs/store").glob("*/stage.json")}
    code, _, err = sweep(other, *SWEEP[:-1], "seed=0,1", *engine)
    assert (code, err) == (0, "")
    again = {path: path.stat().st_mtime_ns for path in (other / "runs/store").glob("*/stage.json")}
    assert {path: again[path] for path in written} == written
    assert len(again) == len(written) * 2
    assert len(reports(other / "runs")) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "code", "line"),
    [
        (("lr.base=1e30,0.1", "rewind=learning_rate"), 1, " failed: scores are NaN: the network that was to be pruned"),
        (("seed=0,abc",), 2, "ltb: seed='abc': a whole number, 0 or more and below 2**63 (in 1 of 2 jobs: seed=abc; none was run)"),
    ],
    ids=["failed", "refused"],
)  # fmt: skip
def test_a_job_that_ends_badly_is_told_once_in_one_line_and_a_wrong_one_before_any_runs(
    tmp_path, engine, settings, code, line
):
    found, _, err = sweep(tmp_path, "-m", *TINY, "method=imp", *settings, *engine)
    assert found == code
    assert len(err.splitlines()) == 1
    assert err.startswith("ltb: ")
    assert line in err
    complete = [folder for folder in folders(tmp_path / "runs") if status(folder)["state"] == "complete"]
    assert len(complete) == (1 if code == 1 else 0)
    assert len(reports(tmp_path / "runs")) == len(complete)


def wait_for(found, seconds=120.0):
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("hydra_plugins.hydra_submitit_launcher") is None, reason="ltb[submitit] is not installed")
def test_a_slurm_job_that_is_preempted_is_queued_again_and_ends_with_the_same_bytes(tmp_path):
    given = ("-m", *TINY, "training.length=1500it", "method=imp", "seed=0,1")
    assert sweep(tmp_path / "basic", *given)[0] == 0
    folder = tmp_path / "slurm"
    process = start(folder, *given, *ENGINES["slurm"])
    wait_for(lambda: list(folder.glob("runs/imp-*-s0-*/levels.csv")))
    os.kill(slurm.pid(folder / "slurm", 0), signal.SIGUSR2)
    _, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "")
    assert (folder / "slurm" / "requeued_1000_0").exists()
    assert ledgers(folder / "runs") == ledgers(tmp_path / "basic" / "runs")
    assert stage_hashes(folder / "runs/store") == stage_hashes(tmp_path / "basic" / "runs/store")
    script = (folder / "slurm" / "script.sh").read_text()
    assert "#SBATCH --cpus-per-task=1\n" in script
    assert "#SBATCH --time=1440\n" in script


@pytest.mark.slow
@pytest.mark.skipif(find_spec("hydra_plugins.hydra_joblib_launcher") is None, reason="ltb[joblib] is not installed")
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_worker_that_is_killed_is_one_line(tmp_path):
    process = start(tmp_path, "-m", *TINY, "training.length=100000it", "method=imp", "seed=0,1", *ENGINES["joblib"])
    wait_for(lambda: len(list(tmp_path.glob("runs/imp-*/status.json"))) == 2)
    os.kill(status(folders(tmp_path / "runs")[0])["pid"], signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.startswith("ltb: the launcher failed: ")
    assert "the same command goes on with what is missing" in err.splitlines()[0]


OWN = Path(__file__).parents[1] / "own"


@pytest.mark.slow
def test_own_classes_are_found_by_every_engine(tmp_path, engine):
    own = ("criterion=growth", "model=tiny", "data=waves", "protocol.batch_size=25", "training.length=12it")
    given = ("--config-dir", os.path.relpath(OWN, tmp_path), "-m", "+experiment=imp", *own, "schedule.levels=1")
    code, _, err = sweep(tmp_path, *given, "logger=none", "progress=false", "seed=0,1", *engine)
    assert (code, err) == (0, "")
    assert [status(folder)["state"] for folder in folders(tmp_path / "runs")] == ["complete"] * 2


# What needs no engine


def test_a_jobs_process_is_settled_where_the_command_was_typed_and_finds_own_classes(tmp_path, monkeypatch):
    typed, own, elsewhere = (tmp_path / name for name in ("typed", "own", "elsewhere"))
    for folder in (typed, own, elsewhere):
        folder.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr(sys, "path", ["there"])
    sources = [SimpleNamespace(provider="main", path="conf"), SimpleNamespace(provider="command-line", path=str(own))]
    for _ in range(2):  # engines use a process for several jobs
        launchers.settle(SimpleNamespace(cwd=str(typed), config_sources=sources))
        assert Path.cwd() == typed
        assert sys.path == [str(typed), str(own), str(tmp_path), "there"]  # mine.py may lie beside conf/


@pytest.mark.parametrize(
    ("launcher", "wanted"),
    [
        ("joblib", "joblib"),
        ("submitit_local", "submitit_local"),
        ("submitit_slurm", "submitit_slurm"),
        ("slurm", "submitit_slurm"),
        ("ray", "ray"),
        ("ray_cluster", "ray"),
    ],
)
def test_an_engine_that_is_not_installed_is_named_with_its_extra(command, monkeypatch, launcher, wanted):
    Plugins.instance()  # which registers those that are
    monkeypatch.delitem(ConfigStore.instance().repo["hydra"]["launcher"], f"{wanted}.yaml", raising=False)
    found = command("-m", *TINY, "method=imp", "seed=0,1", f"hydra/launcher={launcher}")
    assert found.code == 2
    assert found.line == f"ltb: hydra/launcher={wanted} is not installed: pip install 'ltb[{EXTRAS[wanted]}]'"
    assert not command.runs.exists()


def test_an_engine_that_nobody_knows(command):
    found = command("-m", *TINY, "method=imp", "seed=0,1", "hydra/launcher=nope")
    assert found.code == 2
    assert found.line.startswith("ltb: hydra/launcher=nope: there is no such option; there are basic, ")


@pytest.mark.skipif(find_spec("hydra_plugins.hydra_submitit_launcher") is None, reason="ltb[submitit] is not installed")
def test_slurm_where_there_is_none(command, monkeypatch):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    found = command("-m", *TINY, "method=imp", "seed=0,1", "hydra/launcher=slurm")
    assert found.code == 1
    assert found.line.startswith('ltb: the launcher failed: Could not detect "srun"')


@pytest.mark.skipif(find_spec("hydra_plugins.hydra_submitit_launcher") is None, reason="ltb[submitit] is not installed")
def test_a_plan_is_shown_here_and_writes_nothing_whatever_the_engine(command):
    given = ("-m", *TINY, "method=imp", "seed=0,1", "plan=true", "hydra/launcher=submitit_local")
    found = command(*given)
    assert (found.code, found.err) == (0, "")
    assert found.out.count("to do") > 4
    assert command(*given).out == found.out  # what one command planned is not another's
    assert not command.runs.exists()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("hydra_plugins.hydra_joblib_launcher") is None, reason="ltb[joblib] is not installed")
def test_the_jobs_of_a_joblib_sweep_that_was_killed_end_with_it(tmp_path):
    given = ("-m", *TINY, "training.length=5000it", "schedule.levels=6", "method=imp", "seed=0,1")
    process = start(tmp_path, *given, *ENGINES["joblib"])
    wait_for(lambda: any((folder / "levels.csv").exists() for folder in (tmp_path / "runs").glob("*-s*")))
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not children.exists():
        process.kill()
        process.communicate()
        pytest.skip("who a process's children are is not to be read here")
    jobs = [Path("/proc") / pid for pid in children.read_text().split()]
    assert len(jobs) >= 2
    process.kill()
    process.communicate(timeout=60)  # until its jobs, which hold the same pipes, have ended
    wait_for(lambda: not any(job.exists() for job in jobs))
    assert {status(folder)["state"] for folder in (tmp_path / "runs").glob("*-s*")} == {"interrupted"}


@pytest.mark.slow
@pytest.mark.skipif(find_spec("hydra_plugins.hydra_joblib_launcher") is None, reason="ltb[joblib] is not installed")
def test_a_joblib_sweep_that_is_ended_says_so_in_its_runs_and_goes_on_to_the_same_bytes(tmp_path):
    given = ("-m", *TINY, "training.length=1500it", "method=imp,one_shot", "seed=0,1")
    assert sweep(tmp_path / "basic", *given)[0] == 0
    process = start(tmp_path / "other", *given, *ENGINES["joblib"])
    runs = tmp_path / "other" / "runs"
    wait_for(lambda: any((folder / "levels.csv").exists() for folder in runs.glob("*-s*")))
    process.send_signal(signal.SIGTERM)  # to the command alone, as Slurm and `kill` do
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "ltb: interrupted; the same command goes on from the last finished level\n" in err
    assert "Traceback" not in err
    assert " of 4 jobs are complete; the same command goes on with the others" in out
    states = {status(folder)["state"] for folder in runs.glob("*-s*")}
    assert "interrupted" in states
    assert states <= {"interrupted", "complete"}
    assert sweep(tmp_path / "other", *given, *ENGINES["joblib"])[0] == 0
    assert stage_hashes(runs / "store") == stage_hashes(tmp_path / "basic" / "runs" / "store")
    assert ledgers(runs) == ledgers(tmp_path / "basic" / "runs")
