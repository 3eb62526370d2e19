"""W&B as a mirror of the ledger: one W&B run per run, one log per level, and the training curves as they come.

Nothing depends on it. If W&B cannot start, one line says so before anything is trained; once it has started, what fails
is warned about once and training goes on, because the ledger already has it.

A run that is continued starts a new W&B run of the same id, and its caller replays the finished levels from the ledger:
so each level is there once, offline (where nothing can be resumed) as online (where it replaces what was there).
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ltb.common.errors import Unavailable
from ltb.tracking.mirror import Mirror, short

log = logging.getLogger(__name__)

MODES = ("auto", "online", "offline")
# Pattern → the metric it is drawn against. The first pattern that fits wins, and an axis is defined before its pattern.
# No summary= here: it would rename the columns that a table shows.
AXES = {"level/*": "level/sparsity", "train/*": "train/step", "val/*": "train/step"}


def resolve_mode(mode: str) -> str:
    """Return "online", "offline" or "disabled" for `mode`, without asking a server.

    "auto" is WANDB_MODE (or what `wandb offline` has set) if that says anything, else online if an API key is
    configured (WANDB_API_KEY, netrc, W&B's settings), else offline.
    """
    _check(mode)
    if mode != "auto":
        return mode
    said = os.environ.get("WANDB_MODE") or _setup().settings.mode
    said = {"dryrun": "offline", "run": "online"}.get(said, said)
    if said in ("offline", "disabled") or os.environ.get("WANDB_MODE"):
        return said
    return "online" if _logged_in() else "offline"


def _check(mode: str) -> None:
    if mode not in MODES:
        raise ValueError(f"logger.mode={mode!r}: must be one of {', '.join(MODES)}")


def _setup() -> Any:
    """Set up W&B in this process. The first set-up decides what it prints from then on: nothing."""
    import wandb

    return wandb.setup(settings=wandb.Settings(silent=True))


def _logged_in() -> bool:
    from wandb.sdk.lib import wbauth  # what W&B's own command line asks, without its prompt

    settings = _setup().settings
    keys = (os.environ.get("WANDB_API_KEY"), settings.api_key, settings.identity_token_file)
    return any(keys) or bool(wbauth.read_netrc_auth(host=settings.base_url))


class WandbMirror(Mirror):
    """The W&B run of one run. `Unavailable` (one line) if W&B does not start.

    run_id: readable, the same for the same run; W&B's id and part of its folder's name.
    folder: W&B writes into folder/wandb; `wandb leet folder/wandb` overlays all runs that share it.
    name, notes: what W&B shows of it, a line and a text.
    config: the whole resolved configuration. metric: the one that counts, in W&B's config if that has none of its own.
    """

    def __init__(
        self,
        run_id: str,
        *,
        folder: str | Path,
        project: str,
        entity: str | None = None,
        group: str | None = None,
        job_type: str | None = None,
        tags: Sequence[str] = (),
        name: str | None = None,
        notes: str | None = None,
        config: Mapping[str, Any],
        mode: str = "auto",
        metric: str = "accuracy",
    ) -> None:
        self._warned = False
        _check(mode)
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self._mode = resolve_mode(mode)
            self._run = self._start(
                id=run_id,
                dir=str(Path(folder).absolute()),  # its process may have been started in another folder
                project=project,
                entity=entity,
                group=group,
                job_type=job_type,
                tags=list(tags),
                name=name or run_id,
                notes=notes,
                config={"metric": metric, **config},
                mode=self._mode,
            )
            self._hint = self._how_to_see()
        except Exception as error:
            what = " ".join(str(error).split()) or type(error).__name__
            raise Unavailable(f"logger: W&B did not start ({what[:300]}); logger=none runs without it") from error

    def _start(self, **given: Any) -> Any:
        import wandb

        settings = wandb.Settings(silent=True, console="off", disable_code=True)
        _setup()  # silent before init, which would print where it found a key
        run = wandb.init(**given, settings=settings, reinit="create_new")
        for axis in dict.fromkeys(AXES.values()):
            run.define_metric(axis)
        for pattern, axis in AXES.items():
            run.define_metric(pattern, step_metric=axis)
        return run

    def figure(self, path: str | Path) -> None:
        """Log the curve so far as an image."""

        def image() -> None:
            import wandb

            self._run.log({"curves": wandb.Image(str(path))})

        self._safely("figure", image)

    def artifact(self, paths: Sequence[str | Path]) -> None:
        """Log files and folders (tickets, the ledger) as one artifact, at their places in their common folder."""

        def upload() -> None:
            import wandb

            name = re.sub(r"[^\w.-]", "-", f"run-{self._run.id}")  # what W&B takes
            artifact = wandb.Artifact(name, type="ltb-run")
            top = os.path.commonpath([Path(path).absolute().parent for path in paths])
            for path in map(Path, paths):
                add = artifact.add_dir if path.is_dir() else artifact.add_file
                add(str(path), name=path.absolute().relative_to(top).as_posix())
            self._run.log_artifact(artifact)

        self._safely("artifact", upload)

    def finish(self, state: str, summary: Mapping[str, Any], error: str | None = None) -> None:
        """End the W&B run with its summary; any state but "complete" shows as failed. Call it in a `finally`."""
        told = {**summary, "state": state} | ({"error": error} if error else {})
        self._safely("summary", lambda: self._run.summary.update(told))
        self._safely("finish", lambda: self._run.finish(exit_code=0 if state == "complete" else 1))

    def hint(self) -> str:
        """Return one line: how to see this run."""
        return self._hint

    def _how_to_see(self) -> str:
        if self._mode == "disabled":
            return "W&B: disabled by WANDB_MODE"
        if self._mode != "offline":
            return f"W&B: {self._run.url}"
        run = Path(self._run.settings.sync_dir)
        return f"W&B, offline: `wandb leet {short(run.parent)}` shows it here, `wandb sync {short(run)}` uploads it"

    def log(self, values: Mapping[str, int | float], step: int) -> None:
        # Never step=: it is one counter for all metrics, and a level's rewind would run it backwards.
        self._safely("log", lambda: self._run.log(dict(values)))

    def _safely(self, what: str, do: Callable[[], object]) -> None:
        try:
            do()
        except Exception as error:  # noqa: BLE001 (whatever W&B raises, the run is worth more)
            if not self._warned:
                log.warning("W&B: %s failed (%s); the run goes on, its ledger is complete", what, error)
            self._warned = True
