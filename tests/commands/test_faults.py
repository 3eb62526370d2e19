"""Real processes, real signals, a real full disk: the same bytes at the end, each stage trained once, one clear line."""

from __future__ import annotations

import collections
import math
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from tests.support.command import TINY, folders, ledger, stage_hashes, status, without
from tests.support.processes import Process

# Seven stages; progress inside a stage is kept at every evaluation, of which there are eight.
RUN = (*TINY, "schedule.levels=6", "store.checkpoint_every=0", "training.evaluate_every=1it", "method=imp_rewind")
SWEEP = ("-m", *TINY, "schedule.levels=3", "store.checkpoint_every=0", "method=imp,imp_rewind,imp_shuffle", "seed=0,1")


def end_of(runs: Path) -> tuple[object, ...]:
    """What a finished study comes to: every stage's hashes, every ledger without its timings, every ticket's bytes."""
    made = folders(runs)
    assert {status(folder)["state"] for folder in made} == {"complete"}
    ledgers = {folder.name: without(ledger(folder), "seconds", "reused") for folder in made}
    tickets = {
        f"{folder.name}/{path.name}": path.read_bytes() for folder in made for path in (folder / "tickets").iterdir()
    }
    return stage_hashes(runs / "store"), ledgers, tickets


def left_alone(folder: Path, *arguments: str) -> tuple[object, ...]:
    folder.mkdir()
    Process(folder, *arguments).done()
    return end_of(folder / "runs")


def what_a_kill_left(store: Path) -> str:
    """Where a kill hit: inside a commit (a temporary folder is left), inside a level (progress is), or between."""
    if any(store.glob(".*-*")):
        return "in a commit"
    return "inside a level" if any(store.glob(".progress/*")) else "between"


# What may end a process, and its exit code.
ENDS = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143, signal.SIGINT: 130}


def start_and_end(folder: Path, arguments: tuple[str, ...], draw: random.Random, ends: list[int]) -> list[int]:
    """Start a process for each of these signals at one study and send each its own at a random moment of its work.

    Returns those that ended a process. One that is through with its command, all of it, has no handlers any more.
    """
    # A place of its own for each start: workers whose command was killed before write to theirs for another second.
    noted = [Path(tempfile.mkdtemp(dir=folder, prefix="noted-")) / "stages" for _ in ends]
    made = [Process(folder, *arguments, noted=path, commit=0.01, figures=False) for path in noted]
    moments, sent = {}, set()
    while any(process.running for process in made):
        time.sleep(0.002)
        for path, process, number in zip(noted, made, ends, strict=True):
            if process not in moments and path.exists():
                moments[process] = time.monotonic() + draw.uniform(0, 0.8)
            if process not in sent and time.monotonic() > moments.get(process, math.inf):
                sent.add(process)
                process.signal(number)
    landed = []
    for process, number in zip(made, ends, strict=True):
        code = process.wait()
        assert code in (0, ENDS[number], -number), process.errors
        assert not code or process in sent
        assert "Traceback" not in process.errors, process.errors
        if code and code != ENDS[number]:
            assert {status(run)["state"] for run in folders(folder / "runs")} == {"complete"}, process.errors
        elif code:
            landed.append(number)
    return landed


JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
STUDIES = {"a run": (RUN, 1), "a sweep by two processes": (SWEEP, 2), "a sweep by joblib": ((*SWEEP, *JOBLIB), 1)}
# How often each signal must have ended a process of each study. LTB_HITS=30 takes half an hour of a core.
HITS = int(os.environ.get("LTB_HITS", "4"))


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES)
def test_ended_at_any_moment_and_started_again_the_end_is_the_same_bytes(tmp_path, capsys, study):
    arguments, processes = STUDIES[study]
    expected = left_alone(tmp_path / "alone", *arguments)
    draw, landed, places, ends = random.Random(HITS), collections.Counter(), collections.Counter(), 0
    folder = tmp_path / "killed"
    folder.mkdir()
    while left := [number for number in ENDS if landed[number] < HITS]:
        found = start_and_end(folder, arguments, draw, draw.choices(left, k=processes))
        landed.update(found)
        places.update([what_a_kill_left(folder / "runs" / "store")] if found else [])
        if not found:  # it came to its end: once more from the beginning
            assert end_of(folder / "runs") == expected
            shutil.rmtree(folder / "runs")
            ends += 1
    Process(folder, *arguments, figures=False).done()
    assert end_of(folder / "runs") == expected
    with capsys.disabled():
        told = ", ".join(f"{signal.Signals(number).name} {count}" for number, count in landed.items())
        print(f"\n{study}: {told}; {dict(places)}; {ends + 1} ends with the same bytes")


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_processes_that_ask_for_one_run_train_each_stage_once(tmp_path, count):
    made = [Process(tmp_path, *RUN, noted=tmp_path / "noted") for _ in range(count)]
    for process in made:
        process.done()
    begun = collections.Counter(
        line.split()[2] for line in (tmp_path / "noted").read_text().splitlines() if " begin " in line
    )
    assert begun == dict.fromkeys(stage_hashes(tmp_path / "runs" / "store"), 1)
    (run,) = folders(tmp_path / "runs")
    assert {row["stage"] for row in ledger(run)} < set(begun)


def test_a_process_that_dies_holding_a_lock_does_not_block_the_others(tmp_path):
    noted = tmp_path / "noted"
    first = Process(tmp_path, *RUN, noted=noted, commit=0.2)  # slow to commit: it is killed with the lock in its hand
    while not noted.exists() or "begin" not in noted.read_text():
        time.sleep(0.001)
    second = Process(tmp_path, *RUN, noted=noted)
    time.sleep(0.5)
    first.signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    second.done()
    lines = [line.split() for line in noted.read_text().splitlines()]
    assert len({process for process, _, _ in lines}) == 2
    assert collections.Counter(key for _, what, key in lines if what == "end") == dict.fromkeys(
        stage_hashes(tmp_path / "runs" / "store"), 1
    )


def test_a_wall_clock_that_jumps_changes_nothing(tmp_path):
    expected = left_alone(tmp_path / "alone", *RUN)
    (tmp_path / "jumping").mkdir()
    Process(tmp_path / "jumping", *RUN, clock=1e7).done()
    assert end_of(tmp_path / "jumping" / "runs") == expected


@pytest.fixture
def disk(tmp_path):
    """A disk of its own: `disk("size=2m")` mounts it, and mounts it anew with other options."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = []

    def mount(options: str) -> Path:
        given = ["mount", "-t", "tmpfs", "-o", ("remount," if mounted else "") + options, "tmpfs", str(folder)]
        if os.name != "posix" or subprocess.run(given, capture_output=True, check=False).returncode:
            pytest.skip("a disk of one's own takes the right to mount a tmpfs")
        mounted.append(folder)
        return folder

    yield mount
    if mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_quota_is_named_and_the_run_goes_on_without_it(tmp_path):
    """As a full disk, where nobody may mount one: the networks' files do not fit, the small ones do."""
    process = Process(tmp_path, *RUN, largest=8000)
    assert process.wait() == 1
    (line,) = process.errors.splitlines()
    assert "runs/store/" in line
    assert "File too large" in line
    (run,) = folders(tmp_path / "runs")
    assert (status(run)["state"], stage_hashes(tmp_path / "runs" / "store")) == ("failed", {})
    Process(tmp_path, *RUN).done()
    assert end_of(tmp_path / "runs") == left_alone(tmp_path / "alone", *RUN)


@pytest.mark.parametrize("size", [60, 120, 200, 280])
def test_a_full_disk_is_named_and_the_run_goes_on_once_there_is_room(tmp_path, disk, size):
    expected = left_alone(tmp_path / "alone", *RUN)
    folder = disk(f"size={size}k")
    process = Process(folder, *RUN)
    assert process.wait() == 1
    (line,) = process.errors.splitlines()
    assert "runs/" in line
    assert "No space left on device" in line
    before = stage_hashes(folder / "runs" / "store")
    shutil.copytree(folder / "runs", tmp_path / "elsewhere" / "runs")
    disk("size=4m")
    for place in (folder, tmp_path / "elsewhere"):
        process = Process(place, *RUN)
        process.done()
        assert end_of(place / "runs") == expected
        assert before.items() <= stage_hashes(place / "runs" / "store").items()


def test_a_read_only_disk_is_named_before_anything_trains_and_the_run_goes_on_elsewhere(tmp_path, disk):
    expected = left_alone(tmp_path / "alone", *RUN)
    folder, noted = disk("size=4m"), tmp_path / "noted"
    process = Process(folder, *RUN, noted=noted)
    while not noted.exists() or noted.read_text().count("end") < 3:
        time.sleep(0.001)
    process.signal(signal.SIGKILL)
    process.wait()
    disk("ro,size=4m")
    process = Process(folder, *RUN)
    assert process.wait() == 2
    (line,) = process.errors.splitlines()
    assert line.startswith("ltb: runs=runs: ")
    assert "is not a folder that can be written" in line
    shutil.copytree(folder / "runs", tmp_path / "elsewhere" / "runs")
    Process(tmp_path / "elsewhere", *RUN).done()
    assert end_of(tmp_path / "elsewhere" / "runs") == expected
