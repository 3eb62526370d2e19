"""Files of the store in a run's folder: links to the same bytes, copies where links are not to be had."""

from __future__ import annotations

from pathlib import Path

from ltb.core.measure import Measure
from ltb.core.stage import Stage
from ltb.records.schema import measured_file
from ltb.store.stage_files import MEASURED, TICKET, TRAINED
from ltb.store.store import Store

FILES = ((TICKET, "tickets"), (TRAINED, "trained"))  # of a stage, and the run's folder that links to them


def level(store: Store, stage: Stage, index: int, folder: Path) -> None:
    """Put the ticket and the trained weights of a level into the run's `folder`."""
    for name, kind in FILES:
        store.link(stage.ticketed if name == TICKET else stage, name, folder / kind / f"level-{index:02d}.safetensors")


def measured(store: Store, measure: Measure, stage: Stage, index: int, folder: Path) -> None:
    """Put the tensors that a measure of a level left, if any, into the run's `folder`."""
    store.link(stage, MEASURED, folder / measured_file(measure.label, index))
