"""A run's setup: what a resolved configuration comes to, made and checked before anything is trained or written."""

from __future__ import annotations

import fnmatch
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.utilities.exceptions import MisconfigurationException  # type: ignore[attr-defined]

from ltb.common import files
from ltb.common.errors import Damaged
from ltb.common.text import check_inert
from ltb.core.chain import asked, stages
from ltb.core.masks import ones
from ltb.core.measure import Evaluate, Measure
from ltb.core.points import Fit, Point
from ltb.core.pruning import parts
from ltb.core.recipe import Recipe
from ltb.core.results import Spent
from ltb.core.stage import Stage, missing
from ltb.core.stages import Measured
from ltb.records.schema import LEDGER
from ltb.run import compose, identity, provenance, settings
from ltb.run.build import Config
from ltb.run.chosen import without_rates
from ltb.run.compose import measures, recipe, trainer
from ltb.run.secrets import Secrets
from ltb.store.keys import Keys, canonical, digest
from ltb.store.references import ledger_stages
from ltb.store.store import Store
from ltb.training import Training


@dataclass(frozen=True, eq=False)
class Setup:
    """One recipe, one seed, one task, in one folder, with the store of its stages.

    row:     the columns that are the same in every row of its ledger: run_id, study, method, task, model, data, seed.
    decides: what decides its numbers, as people read it: the settings that keys are made of, and the recipe.
    """

    config: Config
    recipe: Recipe
    training: Training
    stages: tuple[Stage, ...]
    measures: tuple[Measure, ...]
    store: Store
    folder: Path
    row: Mapping[str, Any]
    decides: Mapping[str, Any]

    @property
    def secrets(self) -> Secrets:
        """The secrets among its settings, which are written nowhere."""
        return Secrets.of(self.config)

    @property
    def written(self) -> Config:
        """The configuration as files and W&B get it, without secrets."""
        found: Config = self.secrets.mask(self.config)
        return found

    @property
    def run_id(self) -> str:
        """The run's name, which is its folder's."""
        return str(self.row["run_id"])

    @property
    def label(self) -> str:
        """Method and control, as figures name them: ``imp-reinit``."""
        return _label(self.recipe, self.row["method"])

    @property
    def title(self) -> str:
        """The run's name for people: ``imp · reinit, mnist1d_mlp, seed 0 (802ca7)``; the letters are its settings'."""
        control = f" · {self.recipe.control.name}" if self.recipe.control else ""
        letters = self.run_id.rpartition("-")[2]
        return f"{self.row['method']}{control}, {self.row['task']}, seed {self.row['seed']} ({letters})"

    def missing(self) -> list[Stage]:
        """The stages that are to be trained."""
        return missing(self.wanted, self.store.has)

    @property
    def wanted(self) -> tuple[Stage, ...]:
        """The stage of each level, and the measures that look at the dense run on its way."""
        clock = self.training.clock
        drawing = [measure for measure in self.measures if measure.drawn_at(clock)]
        return *self.stages, *(one for each in drawing for one in asked(each, self.stages, clock).values())

    def begun(self) -> Setup:
        """Return the setup in the folder that its run is to work in, which its store knows from now on.

        A fresh run's is made here, a new one for each of several that begin at once. Says how many levels of a run that was
        finished before are not in the store.
        """
        made = self._in_new_folder() if self.config["fresh"] else self
        made.store.register(made.folder, made.stages)
        _tell_absent(made.folder / LEDGER, made.store)
        return made

    def _in_new_folder(self) -> Setup:
        for folder in _names(Path(self.config["runs"]), re.sub(r"\.\d+$", "", self.run_id)):
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                continue
            return replace(
                self,
                folder=folder,
                store=self.store.elsewhere(folder / "store", folder.name),
                row={**self.row, "run_id": folder.name},
            )
        raise AssertionError("there is always a further name")

    def check_one_step(self) -> None:
        """Take one step of what the recipe asks, and ask its measures of it, where anything is to be trained or measured.

        Both are thrown away: what cannot work fails at once, before a run is begun.
        """
        metric, direction = self.training.judge
        evaluations = [Measured((stage,), Evaluate(metric=metric, direction=direction)) for stage in self.stages]  # type: ignore[arg-type]
        if self.missing() or not all(map(self.store.has, evaluations)):
            with _one_line("a step of training fails"):
                self.training.check_one_step(self.recipe)
        self._check_measures()

    def _check_measures(self) -> None:
        """Ask the measures that look at each level alone, one minibatch of each split, of a fit of one step."""
        to_do = []
        for measure in self.measures:
            of_levels = [one for one in asked(measure, self.stages, self.training.clock).values() if len(one.of) == 1]
            if not measure.ledger and not all(map(self.store.has, of_levels)):
                to_do.append(measure)
        if not to_do:
            return
        bench = self.training.of_first_minibatches()
        initial = bench.initial()
        with _one_line("a step of training fails"):
            trained = bench.fit(Fit(ones(initial, bench.prunable), Point(initial, 0), 1))
        for measure in to_do:
            with _one_line(f"measure={measure.name}: it fails"):
                bench.measure(measure.prepared(lambda: [Spent(trained, 1)]), [trained])


@contextmanager
def _one_line(what: str) -> Iterator[None]:
    """Make any error a ValueError whose text is one line."""
    try:
        yield
    except MisconfigurationException as error:
        raise ValueError(f"trainer: {' '.join(str(error).split())}") from error
    except (ValueError, Damaged):
        raise
    except Exception as error:
        said = " ".join(str(error).split())
        raise ValueError(f"{what}: {type(error).__name__}: {said} ({_place(error)})") from error


def _place(error: Exception) -> str:
    """Return where an error arose: the innermost line that is no installed package's, if there is one."""
    frames = traceback.extract_tb(error.__traceback__)
    frame = ([one for one in frames if "site-packages" not in one.filename] or frames)[-1]
    return f"{os.path.relpath(frame.filename)}:{frame.lineno}; HYDRA_FULL_ERROR=1 shows the whole trace"


def setup(config: Config, names: Mapping[str, str], *, foreign: Collection[str] = ()) -> Setup:
    """Return the setup of a resolved configuration; `names` says what was chosen for task, model and data.

    foreign: patterns of layer rates that are another network's; those that match nothing in this one are left out. Raises
    ValueError, in one line that names the key, for a configuration that cannot be run.
    """
    assert not config.get("student"), "its width is found before: ltb.run.widths"
    config = compose.check(settings.check(config))
    seed = config["seed"]
    torch.set_num_threads(config["threads"])
    made = recipe(config)
    further = measures(config)
    arguments, device = trainer(config["trainer"])
    training = compose.training(config, compose.source(config, device), arguments, device)
    unmatched = {pattern for pattern in foreign if not fnmatch.filter(training.prunable, pattern)}
    if unmatched:
        config = without_rates(config, unmatched)
        made = recipe(config)
    wanted = stages(made, training.clock)
    made.check_network(parts(made.allocation, training), training.clock)
    for measure in further:
        measure.drawn_at(training.clock)  # it may be that the run is too short for it
    decides = identity.settings(config, training, arguments)
    keys = Keys(decides, {"machine": provenance.machine(training.device), "threads": config["threads"]})
    # The same letters for every seed of one experiment: what is run, without the seed.
    of_any_seed = Keys({**decides, "seed": None, "initialisation": None}, seedless=True)
    settled = digest([[of_any_seed(stage) for stage in wanted], made.schedule.targets])
    run_id = f"{_label(made, made.method)}-{names['task'].replace('/', '-')}-s{seed}-{settled[:6]}"
    folder, store = _folders(config, run_id, {keys(stage) for stage in wanted})
    secrets = Secrets.of(config)
    row = {
        "run_id": folder.name,
        "study": secrets.mask(config["study"]) or names["task"],
        "method": secrets.mask(config.get("label") or made.method),
        "task": names["task"],
        "model": names["model"],
        "data": names["data"],
        "seed": seed,
    }
    for key in ("study", "method", "task", "model", "data"):
        check_inert(key, row[key])
    for name in training.prunable:
        check_inert("module: a parameter", name)
    kept = Store(
        store,
        keys,
        {name: row[name] for name in ("task", "model", "data", "seed")},
        made=provenance.made(training.device, training.source.fingerprint, arguments),
        run_id=folder.name,
        keep=config["store"]["keep"],
        optimizer=made.rewind.source_state,
        checkpoint_every=config["store"]["checkpoint_every"],
    )
    # Without what follows from the seed: runs of one experiment are told apart by it.
    choices = canonical({**vars(made), "method": None}, lambda stage: stage.label, seedless=True)
    recorded = identity.readable({**decides, "initialisation": None, **choices})
    recorded = secrets.mask(recorded, distinct=True)
    return Setup(config, made, training, wanted, further, kept, folder, row, recorded)


def _label(made: Recipe, method: str) -> str:
    return method + (f"-{made.control.name}" if made.control else "")


def _folders(config: Config, run_id: str, keys: set[str]) -> tuple[Path, Path]:
    """The run's folder, a new one with a store of its own if it is to be fresh, and its store's. Neither is made yet.

    `keys` are those of its levels.
    """
    runs, store = Path(config["runs"]), Path(config["store"]["dir"])
    folder = next(folder for folder in _names(runs, run_id) if not _of_others(folder / LEDGER, keys))
    if config["fresh"]:
        folder = next(folder for folder in _names(runs, run_id) if not files.there(folder))
        store = folder / "store"
    check_writable(runs, "runs")
    check_writable(store, "store.dir")
    return folder, store


def _names(runs: Path, run_id: str) -> Iterator[Path]:
    """The folders that a fresh run may have, in turn."""
    yield runs / run_id
    for number in count(2):
        yield runs / f"{run_id}.{number}"


def _of_others(ledger: Path, keys: set[str]) -> bool:
    """Return whether a folder has finished levels of other networks: those that the same settings gave with another initialisation.

    So it is when a file of weights was replaced. What it gave is not overwritten.
    """
    try:
        return ledger.is_file() and not set(ledger_stages(ledger)) <= keys
    except Damaged:
        return False  # it is named, and written again


def _tell_absent(ledger: Path, store: Store) -> None:
    if not files.there(ledger):
        return
    if ledger.is_dir():
        raise Damaged(f"{ledger}: a folder is where the ledger is to be written")
    try:
        finished = ledger_stages(ledger)
    except Damaged as error:
        print(f"ltb: {error}; it is written again", file=sys.stderr)
        return
    absent = [key for key in finished if not files.there(store.folder / key)]
    if absent:
        print(
            f"ltb: {len(absent)} of {len(finished)} finished levels are not in the store {store.folder}; they are trained again",
            file=sys.stderr,
        )


def check_writable(folder: Path, key: str) -> None:
    """Raise ValueError unless the folder, or the nearest one above it that exists, can be written."""
    nearest = folder.absolute()
    while not nearest.exists():
        nearest = nearest.parent
    try:
        # Tried, for what the system allows is not all that decides (a full disk, /proc).
        tempfile.TemporaryDirectory(dir=nearest, prefix=".ltb-").cleanup()
    except OSError as error:
        raise ValueError(f"{key}={folder}: {nearest} is not a folder that can be written ({error.strerror})") from None
