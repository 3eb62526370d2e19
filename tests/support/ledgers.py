"""Writes run folders as ltb.train leaves them, with numbers that a test chooses."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import yaml

from ltb.records import identity
from ltb.run.settings import beside

PRUNABLE = 1000


def row(level: int, **given: object) -> dict[str, object]:
    """One level of a run with rate 0.2; anything can be overridden, None is an empty field."""
    remaining = round(PRUNABLE * 0.8**level)
    base: dict[str, object] = {
        "run_id": "imp-toy-s0-a1b2c3",
        "study": "study",
        "method": "imp",
        "control": "none",
        "draw": None,
        "task": "toy",
        "model": "mlp",
        "data": "mnist1d",
        "seed": 0,
        "level": level,
        "target_sparsity": 1 - 0.8**level,
        "sparsity": 1 - remaining / PRUNABLE,
        "density": remaining / PRUNABLE,
        "remaining": remaining,
        "prunable": PRUNABLE,
        "parameters": PRUNABLE + 20,
        "start_step": 0,
        "end_step": 2000,
        "train/loss": 0.5,
        "val/accuracy": 0.7,
        "val/loss": 0.9,
        "test/accuracy": 0.7,
        "test/loss": 0.95,
        "early_stop_step": 800,
        "early_stop_is_first": False,
        "early_stop_is_last": False,
        "test/accuracy_at_early_stop": 0.69,
        "collapsed_layers": "",
        "diverged": False,
        "search_steps": 2000 * level,
        "step_flops": 6.0e6,
        "seconds": 1.5,
        "reused": False,
        "stage": f"stage{level}",
    }
    return base | given


def write_run(
    folder: Path,
    levels: int = 3,
    *,
    accuracy: Callable[[int], float] = lambda level: 0.7 - 0.01 * level,
    state: str = "complete",
    error: str | None = None,
    metric: Mapping[str, str] | None = None,
    config: Mapping[str, object] | None = None,
    extra: Callable[[int], Mapping[str, object]] = lambda level: {},
    layers: Callable[[int], Mapping[str, tuple[int, int]]] | None = None,
    planned: int | None = None,
    **given: object,
) -> Path:
    """A run folder with `levels` finished levels of the run that `given` (columns of every row) describes.

    `layers`: what each layer keeps of how many weights at a level, for layers.csv, which is not there without it.
    """
    folder.mkdir(parents=True)
    run_id = f"{given.get('method', 'imp')}-toy-s{given.get('seed', 0)}-a1b2c3"
    given = {"run_id": run_id} | given
    control = given.get("control", "none")
    rows = [
        row(level)
        | {"test/accuracy": accuracy(level), "test/accuracy_at_early_stop": accuracy(level) - 0.005}
        | given
        | {"control": control if level else "none"}
        | extra(level)
        for level in range(levels)
    ]
    columns = list(rows[0]) if rows else list(row(0))
    with (folder / "levels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: "" if v is None else v for k, v in one.items()} for one in rows)
    if layers is not None:
        told = [f"{n},{name},{kept},{total}" for n in range(levels) for name, (kept, total) in layers(n).items()]
        (folder / "layers.csv").write_text("\n".join(["level,layer,kept,total", *told]) + "\n")
    status = {"state": state, "error": error, "run_id": given["run_id"], "levels_done": levels}
    status |= {"levels": levels if planned is None else planned}
    status |= {"metric": metric or {"name": "accuracy", "direction": "max"}}
    (folder / "status.json").write_text(json.dumps(status))
    settings = {"seed": given.get("seed", 0), **(config or {})}
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    identity.write(folder, {name: value for name, value in settings.items() if not beside(name)})
    return folder


def write_measures(folder: Path, measured: Sequence[tuple[int | None, str, str, float]]) -> None:
    """The measures.csv of a run: (level or None, measure, quantity, value), each of a stage of its own."""
    run_id = json.loads((folder / "status.json").read_text())["run_id"]
    with (folder / "measures.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["run_id", "level", "stage", "measure", "quantity", "value"])
        for i, (level, *rest) in enumerate(measured):
            writer.writerow([run_id, "" if level is None else level, f"stage{i}", *rest])
