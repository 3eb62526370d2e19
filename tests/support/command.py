"""Whole commands as a person types them: in this process, which spares each its seconds of imports, or in one of their own."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hydra._internal.hydra import Hydra
from PIL import Image

from ltb import train

# A network of 5,000 weights on 40 random examples: a level takes some hundredths of a second.
TINY = (
    "data=noise", "data.shape=[40]", "data.size=60", "data.val_size=20", "data.test_size=20", "protocol.batch_size=10",
    "model.widths=[16]", "training.length=8it", "protocol.rewind_step=3it", "schedule.levels=2", "logger=none", "progress=false",
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """All of stderr, which must be one line."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        return lines[0]


class Command:
    """Runs ``ltb-train ARGUMENTS`` in `folder`."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self._capture, self._monkeypatch = folder, capture, monkeypatch
        self.runs = folder / "runs"

    def own_model(self, module: str, source: str) -> tuple[str, ...]:
        """Write a user's file with the class Tiny and its ``model=tiny``, and return the arguments that choose it."""
        (self.folder / f"{module}.py").write_text(source)
        (self.folder / "conf" / "model").mkdir(parents=True)
        (self.folder / "conf" / "model" / "tiny.yaml").write_text(f"_target_: {module}.Tiny\n")
        self._monkeypatch.syspath_prepend(self.folder)
        return "--config-dir", "conf", "model=tiny"

    def __call__(self, *arguments: str) -> Result:
        self._capture.readouterr()
        with self._monkeypatch.context() as patch:
            patch.chdir(self.folder)
            patch.setattr(sys, "argv", ["ltb-train", *arguments])
            patch.setattr(sys, "path", list(sys.path))
            compose_once(arguments, patch.setattr)
            try:
                train.main()
                code = 0
            except SystemExit as ended:
                code = int(ended.code or 0)
        return Result(code, *self._capture.readouterr())

    def done(self, *arguments: str) -> Path:
        """Run a command that must succeed without a word on stderr; the run's folder."""
        before = {folder: (folder / "status.json").stat().st_mtime_ns for folder in folders(self.runs)}
        result = self(*arguments)
        assert (result.code, result.err) == (0, ""), result.err
        (made,) = (f for f in folders(self.runs) if before.get(f) != (f / "status.json").stat().st_mtime_ns)
        return made


def own_process(folder: Path, *arguments: str, **given: object) -> subprocess.Popen[str]:
    """The same in a process of its own, which can be killed."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
    command = [sys.executable, "-m", "ltb.train", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True, **given)  # type: ignore[call-overload,no-any-return]


def folders(runs: Path) -> list[Path]:
    """The folders of all runs."""
    return sorted(status.parent for status in runs.glob("*/status.json"))


def ledger(folder: Path) -> list[dict[str, str]]:
    """The rows of a run's ledger, as text."""
    with (folder / "levels.csv").open() as file:
        return list(csv.DictReader(file))


def status(folder: Path) -> dict[str, object]:
    """A run's status file."""
    found: dict[str, object] = json.loads((folder / "status.json").read_text())
    return found


def stage_hashes(store: Path) -> dict[str, dict[str, str]]:
    """The recorded SHA-256 of the files of every stage, which those that are there must have."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(store.glob("*/stage.json")):
        about = json.loads(path.read_text())
        found[path.parent.name] = about["sha256"]
        for name in about["kept"]:
            assert hashlib.sha256((path.parent / name).read_bytes()).hexdigest() == about["sha256"][name]
    return found


def without(rows: list[dict[str, str]], *columns: str) -> list[dict[str, str]]:
    """Rows without some columns."""
    return [{name: value for name, value in row.items() if name not in columns} for row in rows]


def blank_figures(patch: Callable[..., None]) -> None:
    """Figures cost a second a command, and most tests are not about them: a white point stands for each."""

    def save(rows: object, folder: Path) -> list[Path]:
        Image.new("RGB", (1, 1), "white").save(folder / "curves.png")
        return [folder / "curves.png"]

    patch("ltb.report.figures.curves.save", save)


def compose_once(arguments: Sequence[str], patch: Callable[..., object]) -> None:
    """Hydra composes the whole configuration once more to read `hydra.mode`, which these do not set: a third of a second."""
    if not any("experiment" in argument or "hydra.mode" in argument for argument in arguments):
        patch(Hydra, "get_mode", lambda *_, **given: None)
