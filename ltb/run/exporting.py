"""A finished level, made again from its run's folder: as a module, and as a file for others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltb.common import files
from ltb.core import masks as m
from ltb.core import tensors
from ltb.core.contracts import network_of
from ltb.core.loop import Loop
from ltb.run.export_formats import FORMATS, Export, named
from ltb.run.measuring import again

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from ltb.core.results import Trained
    from ltb.run.setup import Setup

WHAT = ("trained", "ticket")
COMPACT = ("safetensors", "torch", "onnx")
SAME = 1e-4  # of the loss


def load(run: str | Path, level: int = -1, *, compact: bool = False) -> pl.LightningModule:
    """Return the module of a finished run with the trained, masked weights of a level, in evaluation mode.

    level: as in the run's ledger; -1, the last, by default. compact: without the units that are dead, which nothing reads or makes
    (`ltb.measures.Harvest`): a smaller network of the same outputs. Raises ValueError where the run or the level cannot be made
    again, and for a compact network that gives something else.
    """
    made, found = _finished(Path(run), level)
    module: Any = _compact(made, found) if compact else made.training.module(found.point, {})
    return module  # type: ignore[no-any-return]


def export(run: Path, level: int, what: str, form: str, out: Path, *, compact: bool = False) -> int:
    """Write the weights of a level, `what` of `WHAT`, to `out` in a format of `FORMATS`; the file's size in bytes.

    compact: as for `load`, of trained weights, in a format of `COMPACT`. Names are the network's own, which its `load_state_dict`
    takes. What was written is read back and compared. Raises ValueError where the level cannot be made again, and where the format
    needs a package that is not there.
    """
    kind = FORMATS[form]
    kind.check()
    if (known := named(out)) and form not in known:
        raise ValueError(f"{out}: a {out.suffix} file is --format {known[0]}, and --format is {form}")
    if not out.parent.is_dir():
        raise ValueError(f"{out}: its folder is not there")
    if compact and (what != "trained" or form not in COMPACT):
        raise ValueError(f"--compact: of --what trained, and --format {', '.join(COMPACT)}")
    made, found = _finished(run, level, ticket=what == "ticket")
    point = found.point if what == "trained" else found.origin
    batch = next(iter(made.training.batches("test")))
    if compact:
        module: Any = _compact(made, found).cpu()
        one = Export(module, tensors.weights_of(network_of(module)), {}, batch)
    else:
        module = made.training.module(point, {}).cpu()
        one = Export(module, point.weights, m.standing(found.masks, point.weights), batch)
    kind.write(out, one)
    files.open_up(out)
    if not kind.same(out, one):
        raise AssertionError(f"{out}: what was read back is not what was written")
    return out.stat().st_size


def _compact(made: Setup, found: Trained) -> Any:
    from ltb.measures.harvest import harvested, loss_difference

    small, _, _ = harvested(found, made.training, "--compact")
    apart = loss_difference(small, made.training.module(found.point, {}), made.training)
    if not apart <= SAME:  # NaN is neither
        raise ValueError(f"--compact: without its dead units the network's loss on the test set differs by {apart:.1%}")
    return small


def _finished(run: Path, level: int, *, ticket: bool = False) -> tuple[Setup, Trained]:
    if not run.is_dir():
        raise ValueError(f"{run}: there is no such run")
    made, rows = again(run)
    levels = [int(row["level"]) for row in rows]
    if level != -1 and level not in levels:
        raise ValueError(f"level {level} is not in the ledger of {run.name}; there are {levels[0]} to {levels[-1]}")
    stage = made.stages[levels[-1] if level == -1 else level]
    found: Any = Loop(made.training, made.store, trains=False).result(stage.ticketed if ticket else stage)
    return made, found
