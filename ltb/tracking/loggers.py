"""Loggers beside W&B, one a class: each is a choice that starts a `Mirror` of one run, with the names that W&B has."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ltb.common.allowed import Text
from ltb.common.errors import Unavailable
from ltb.records.record import write_rows
from ltb.records.variants import flatten
from ltb.tracking.mirror import Mirror, short


@dataclass(frozen=True, kw_only=True)
class Logger(ABC):
    """A place where runs are logged."""

    @abstractmethod
    def start(self, run_id: str, study: str, config: Mapping[str, Any]) -> Mirror:
        """Begin the log of a run anew: its finished levels are replayed. `Unavailable`, one line, where that cannot be."""


@dataclass(frozen=True, kw_only=True)
class Csv(Logger):
    """A table a run, ``folder/RUN.csv``: a line an evaluation and a line a level, a column a name."""

    folder: Text

    def start(self, run_id: str, study: str, config: Mapping[str, Any]) -> Mirror:
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        return _Table(Path(self.folder) / f"{run_id}.csv")


class _Table(Mirror):
    def __init__(self, path: Path) -> None:
        self._path, self._rows = path, list[Mapping[str, Any]]()

    def log(self, values: Mapping[str, int | float], step: int) -> None:
        self._rows.append(values)

    def level(self, row: Mapping[str, Any]) -> None:
        super().level(row)
        write_rows(self._path, self._rows)

    def finish(self, state: str, summary: Mapping[str, Any], error: str | None = None) -> None:
        write_rows(self._path, self._rows)

    def hint(self) -> str:
        return f"table   {short(self._path)}"


@dataclass(frozen=True, kw_only=True)
class TensorBoard(Logger):
    """An event file a run, ``folder/RUN``; levels are at their index."""

    folder: Text

    def start(self, run_id: str, study: str, config: Mapping[str, Any]) -> Mirror:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise Unavailable("logger=tensorboard is not installed: pip install 'ltb[tensorboard]'") from error
        folder = Path(self.folder) / run_id
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        writer = SummaryWriter(str(folder))
        writer.add_text("config", f"```yaml\n{yaml.safe_dump(dict(config), sort_keys=False)}\n```")
        return _Events(writer, Path(self.folder))


class _Events(Mirror):
    def __init__(self, writer: Any, folder: Path) -> None:
        self._writer, self._folder = writer, folder

    def log(self, values: Mapping[str, int | float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def finish(self, state: str, summary: Mapping[str, Any], error: str | None = None) -> None:
        told = {**summary, "state": state} | ({"error": error} if error else {})
        self._writer.add_text("summary", f"```yaml\n{yaml.safe_dump(told, sort_keys=False)}\n```")
        self._writer.close()

    def hint(self) -> str:
        return f"TensorBoard: `tensorboard --logdir {short(self._folder)}`"


@dataclass(frozen=True, kw_only=True)
class MLflow(Logger):
    """A run of an MLflow experiment, by default the study, at `uri`: a server, or a folder; levels are at their index."""

    uri: Text
    experiment: Text | None = None

    def start(self, run_id: str, study: str, config: Mapping[str, Any]) -> Mirror:
        try:
            from mlflow.tracking import MlflowClient
        except ImportError as error:
            raise Unavailable("logger=mlflow is not installed: pip install 'ltb[mlflow]'") from error
        folder = None if "://" in self.uri else Path(self.uri)
        if folder:  # from 3.7 on MLflow wants a database, whose packages its small client lacks
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        try:
            client = MlflowClient(folder.absolute().as_uri() if folder else self.uri)
            name = self.experiment or study
            known = client.get_experiment_by_name(name)
            experiment = known.experiment_id if known else client.create_experiment(name)
            run = client.create_run(experiment, run_name=run_id).info.run_id
            for key, value in flatten(config).items():
                client.log_param(run, key, str(value)[:500])
        except Exception as error:
            what = " ".join(str(error).split()) or type(error).__name__
            raise Unavailable(f"logger: MLflow did not start ({what[:300]})") from error
        return _Run(client, run, short(folder) if folder else self.uri)


class _Run(Mirror):
    def __init__(self, client: Any, run: str, where: str) -> None:
        self._client, self._run, self._where = client, run, where

    def log(self, values: Mapping[str, int | float], step: int) -> None:
        for name, value in values.items():
            self._client.log_metric(self._run, name, value, step=step)

    def finish(self, state: str, summary: Mapping[str, Any], error: str | None = None) -> None:
        for name, value in ({**summary, "state": state} | ({"error": error} if error else {})).items():
            self._client.set_tag(self._run, name, str(value))
        self._client.set_terminated(self._run, "FINISHED" if state == "complete" else "FAILED")

    def hint(self) -> str:
        return f"MLflow: `mlflow ui --backend-store-uri {self._where}`"
