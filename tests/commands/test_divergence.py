"""Losses that are NaN or infinite are said wherever a number of such a level is read, and may end a run."""

import json
import math

import pandas as pd
import pytest

from ltb.measure import main as measure
from ltb.report.command import main as report
from ltb.report.figures import curves
from ltb.store.stage_files import sealed
from tests.support.command import TINY, folders, ledger, stage_hashes, status

DENSE_DIVERGED = "the dense network diverged"
SAVE = curves.save  # the `command` fixture puts another in its place
# Random masks need no finite weights: the run goes on, and no level can be trained.
LOST = (*TINY, "method=random", "optimizer=sgd", "lr.base=1e30")
# The weights grow by a factor a step, and each level goes on where the one before it ended: level 2 is too far.
GROWING = (
    *TINY,
    "method=random",
    "prune_from=previous",
    "optimizer=sgd",
    "lr.base=30",
    "rewind=fine_tune",
    "rewind.length=8it",
)


class Mirror:
    """W&B's place: it notes what it is told."""

    def __init__(self, *_, **__):
        self.levels, self.summary = [], None
        Mirror.last = self

    def __getattr__(self, name):
        return lambda *_, **__: ""

    def level(self, row):
        self.levels.append(row)

    def finish(self, state, summary, error=None):
        self.summary = summary


@pytest.fixture
def mirrored(monkeypatch):
    monkeypatch.setattr("ltb.tracking.wandb_mirror.WandbMirror", Mirror)
    return "logger=wandb"


def strict(path):
    def refuse(word):
        raise AssertionError(f"{path}: {word} is not JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def test_a_run_all_of_whose_levels_diverge(command, mirrored, capsys):
    result = command(*LOST, mirrored, "progress=true")
    assert result.code == 0
    (folder,) = folders(command.runs)
    rows = ledger(folder)
    assert [row["diverged"] for row in rows] == ["True"] * 3
    assert {row[name] for row in rows for name in ("train/loss", "val/loss", "test/loss")} == {"nan"}
    empty = ("early_stop_step", "early_stop_is_last", "test/accuracy_at_early_stop", "test/loss_at_early_stop")
    assert {row[name] for row in rows for name in empty} == {""}
    history = pd.read_csv(folder / "history.csv", keep_default_na=False, dtype="str")
    assert set(history.loc[history["step"] == "8", "val/loss"]) == {"nan"}
    told = result.err.splitlines()
    assert [line.endswith("no early stop, diverged") for line in told if line.startswith("level ")] == [True] * 3
    assert "3 of 3 levels diverged (loss nan or inf): levels 0, 1, 2" in told
    assert "sparsest level within 0.007 of dense, in this seed: the dense network diverged" in told
    assert [row["diverged"] for row in Mirror.last.levels] == [True] * 3
    summary = Mirror.last.summary
    assert summary["diverged_levels"] == 3
    assert summary["dense/test/accuracy"] == summary["sparsest_matching_sparsity"] == DENSE_DIVERGED
    stages = list((command.runs / "store").glob("*/stage.json"))
    values = [found["result"]["values"] for found in map(strict, stages) if found["label"] == "evaluate"]
    assert [one["val/loss"] for one in values] == ["nan"] * 3
    for path, about in zip(stages, map(strict, stages), strict=True):  # as stores from before have it
        if about["label"] == "evaluate":
            about["result"]["values"] |= {
                "early_stop_step": 1,
                "early_stop_is_last": False,
                "test/accuracy_at_early_stop": 0.1,
            }
        path.write_text(json.dumps(sealed(json.loads(json.dumps(about).replace('"nan"', "NaN")))))
    again = command.done(*LOST)  # everything is read from the store
    assert again == folder
    assert ledger(again) == rows
    assert report([str(command.runs), "--format", "text"]) == 0
    said = capsys.readouterr().out
    assert f"3 of 3 levels diverged (loss nan or inf): {folder.name} (levels 0, 1, 2)" in said
    assert DENSE_DIVERGED in said
    assert "(1 of 1 diverged)" in said


@pytest.mark.slow
def test_levels_that_can_be_trained_where_the_dense_network_cannot(command, mirrored, capsys):
    """Of one weight in 800 nothing can grow: that level ends with finite losses, and is compared with nothing all the same."""
    given = ("schedule=explicit", "schedule.sparsities=[0.2,0.99875]", "rewind_step=0it", "progress=true")
    result = command(*(part for part in LOST if not part.startswith("schedule")), mirrored, *given)
    assert result.code == 0
    assert [row["diverged"] for row in Mirror.last.levels] == [True, True, False]
    assert Mirror.last.summary["sparsest_matching_sparsity"] == DENSE_DIVERGED
    assert "2 of 3 levels diverged (loss nan or inf): levels 0, 1" in result.err.splitlines()
    (folder,) = folders(command.runs)
    assert math.isfinite(float(ledger(folder)[2]["val/loss"]))
    assert report([str(command.runs)]) == 0
    assert f"2 of 3 levels diverged (loss nan or inf): {folder.name} (levels 0, 1)" in capsys.readouterr().out
    page = (command.runs / "report.html").read_text()
    assert "Diverged: 2 of 3 levels, whose loss is nan or inf." in page
    assert f"{folder.name} (levels 0, 1)" in page
    assert DENSE_DIVERGED in page
    csv = {
        name: pd.read_csv(command.runs / name) for name in ("summary.csv", "matching.csv", "diverged.csv", "cost.csv")
    }
    assert csv["diverged.csv"]["level"].to_list() == [0, 1]
    assert csv["matching.csv"][["n", "dense_diverged"]].values.tolist() == [[0, 1]]
    assert csv["matching.csv"]["density"].isna().all()
    for name in ("summary.csv", "cost.csv"):
        its = csv[name].query("quantity == 'test/accuracy'")
        assert its["diverged"].to_list() == [1, 1, 0]


@pytest.mark.slow
def test_a_dense_network_that_learned_nothing_is_said_to_be_so_where_a_matching_level_is(command, mirrored, capsys):
    """Its numbers are finite: nothing diverged, and a level as bad as the dense network matches it."""
    given = ("schedule.levels=2", "training.length=200it", "protocol.learning_rate=1e9", "progress=true", mirrored)
    result = command(*given)
    assert result.code == 0
    (folder,) = folders(command.runs)
    row = ledger(folder)[0]
    assert row["diverged"] == "False"
    assert float(row["val/loss"]) > float(row["untrained/loss"])
    said = f"validation loss ended at {float(row['val/loss']):.4g}, and was {float(row['untrained/loss']):.4g} before any training"
    assert Mirror.last.summary["dense_no_better_than_untrained"] == said
    assert f"the dense network ends validation no better than untrained: {said}" in result.err.splitlines()
    assert report([str(command.runs), "--format", "text"]) == 0
    assert (
        f"in 1 of 1 runs the dense network ends validation no better than untrained: {folder.name} ({said})"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize("length", ["2it", "200it"])
def test_of_no_other_that_is_said(command, mirrored, length):
    assert command(*TINY, "method=imp", f"training.length={length}", mirrored).code == 0
    (folder,) = folders(command.runs)
    row = ledger(folder)[0]
    better = float(row["val/loss"]) < float(row["untrained/loss"])
    assert ("dense_no_better_than_untrained" in Mirror.last.summary) is not better


def test_a_level_that_diverges_matches_nothing(command, mirrored):
    assert command(*GROWING, mirrored, "metric.tolerance=1").code == 0
    levels, summary = Mirror.last.levels, Mirror.last.summary
    assert [row["diverged"] for row in levels] == [False, False, True]
    assert levels[0]["early_stop_step"] == 1
    # Within any tolerance: the last level would be the sparsest.
    assert summary["sparsest_matching_sparsity"] == pytest.approx(0.2)
    assert summary["diverged_levels"] == 1


def test_a_network_that_diverged_cannot_be_pruned_by_magnitude(command):
    result = command(*GROWING, "criterion=magnitude", "schedule.levels=3")
    (folder,) = folders(command.runs)
    assert result.code == 1
    assert result.line.startswith(
        f"ltb: {folder.name} failed: scores are NaN: the network that was to be pruned has diverged"
    )
    assert [row["diverged"] for row in ledger(folder)] == ["False", "False", "True"]


@pytest.mark.slow
def test_a_run_that_is_to_stop_ends_at_the_first_level_that_diverged(command, mirrored):
    marked = command.done(*GROWING, "schedule.levels=3")
    rows, stages = ledger(marked), stage_hashes(command.runs / "store")
    # The same run and the same stages, read from the store; and a fresh one.
    for more in ((), ("fresh=true",)):
        stop = (*GROWING, "schedule.levels=3", "training.on_divergence=stop", *more)
        result = command(*stop, mirrored)
        folder = max(folders(command.runs), key=lambda one: (one / "status.json").stat().st_mtime_ns)
        assert (result.code, result.line) == (
            1,
            f"ltb: {folder.name} failed: level 2 diverged (val/loss nan): training.on_divergence=stop",
        )
        assert folder == (command.runs / f"{marked.name}.2" if more else marked)
        assert status(folder)["state"] == "failed"
        assert "level 2 diverged (val/loss nan): training.on_divergence=stop" in status(folder)["error"]
        assert [row["diverged"] for row in ledger(folder)] == ["False", "False", "True"]
        assert [row["stage"] for row in ledger(folder)] == [row["stage"] for row in rows[:3]]
        assert Mirror.last.summary["diverged_levels"] == 1
        assert len(Mirror.last.levels) == 3
    assert stage_hashes(command.runs / "store") == stages


def test_a_run_without_a_finite_metric_is_complete_without_a_figure(command, monkeypatch):
    monkeypatch.setattr(curves, "save", SAVE)
    folder = command.done(*LOST, "metric.name=loss", "metric.direction=min")
    assert status(folder)["state"] == "complete"
    assert not (folder / "curves.png").exists()
    assert report([str(folder)]) == 2


@pytest.mark.slow
def test_measures_of_a_level_that_diverged_are_nan_and_no_empty_field(command, capsys):
    folder = command.done(*LOST, "measure=calibration")
    found = pd.read_csv(folder / "measures.csv", keep_default_na=False)
    assert set(found["value"]) == {"nan"}
    assert measure([str(command.runs), "measure=per_class"]) == 0
    again = pd.read_csv(folder / "measures.csv", keep_default_na=False)
    assert set(again.loc[again["measure"] == "calibration", "value"]) == {"nan"}
    assert report([str(command.runs), "--format", "text"]) == 0
    assert "(1 of 1 diverged)" in capsys.readouterr().out
