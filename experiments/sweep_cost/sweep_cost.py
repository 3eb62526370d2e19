"""What a sweep costs: one process against two, the stages trained against those named, and the start of a finished run.

    python experiments/sweep_cost/sweep_cost.py FOLDER [--repeats 3]

Each repetition runs the same sweep with Hydra's basic launcher and with joblib (two jobs, one thread each, as in one), in
turn, each in an empty folder below FOLDER; then a run of it again, all of whose stages are in the store.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SWEEP = ("method=imp,imp_rewind,lr_rewind,one_shot", "seed=0,1", "schedule.levels=6", "logger=none", "progress=false")
JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
RUN = ("method=imp_rewind", "seed=0", "schedule.levels=6", "logger=none")


def timed(folder: Path, *arguments: str) -> float:
    """Seconds that ``python -m ltb.train ARGUMENTS`` takes in `folder`."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "ltb.train", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    return time.perf_counter() - begun


def end(runs: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Every ledger without its timings, and every stage's hashes."""
    ledgers = {}
    for path in sorted(runs.glob("*/levels.csv")):
        with path.open() as file:
            rows = list(csv.DictReader(file))
        ledgers[path.parent.name] = [{k: v for k, v in row.items() if k not in ("seconds", "reused")} for row in rows]
    stages = {}
    for path in sorted(runs.glob("store/*/stage.json")):
        stages[path.parent.name] = {
            name: hashlib.sha256((path.parent / name).read_bytes()).hexdigest()
            for name in json.loads(path.read_text())["kept"]
        }
    return ledgers, stages


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    times: dict[str, list[float]] = {"basic": [], "joblib": [], "again": []}
    for number in range(given.repeats):
        ends = []
        for name, launcher in (("basic", ()), ("joblib", JOBLIB)):
            folder = given.folder / f"{name}-{number}"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            times[name].append(timed(folder, "-m", *SWEEP, *launcher))
            ends.append(end(folder / "runs"))
        assert ends[0] == ends[1], "the two launchers differ"
        times["again"] += [timed(folder, *RUN) for _ in range(2)]
        print({name: [round(one, 1) for one in found] for name, found in times.items()}, flush=True)
    ledgers, stages = ends[0]
    named = sum(map(len, ledgers.values()))
    ratios = [one / two for one, two in zip(times["basic"], times["joblib"], strict=True)]
    print(
        f"{len(ledgers)} runs, {named} levels named, {len(stages)} stages trained; the same ledgers and hashes from both"
    )
    print(
        f"basic {statistics.median(times['basic']):.1f} s, joblib {statistics.median(times['joblib']):.1f} s (medians)"
    )
    print(f"ratios {', '.join(f'{ratio:.2f}' for ratio in ratios)}; median {statistics.median(ratios):.2f}")
    print(f"a finished run again: {statistics.median(times['again']):.1f} s (median of {len(times['again'])})")


if __name__ == "__main__":
    main()
