"""What the store reads is what was written, by whom it says, from the parents that it says; else it is named and not used."""

import json
import logging
import os
import shutil
import struct

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ltb.common.errors import Damaged
from ltb.core import tensors
from ltb.core.chain import stages
from ltb.core.contracts import Progress
from ltb.core.loop import Loop, levels
from ltb.core.points import Point
from ltb.core.recipe import Recipe
from ltb.core.schedules import Geometric
from ltb.core.stages import Dense, Start
from ltb.store import catalogue
from ltb.store.checkpoint import CheckpointFile
from ltb.store.keys import Keys
from ltb.store.stage_files import STAGE, TRAINED, sealed
from ltb.store.store import Store
from tests.core.toy import Toy
from tests.training import small

RECIPE = Recipe(schedule=Geometric(0.3, 3), rewind_step="4it")


def run(folder, recipe=RECIPE):
    toy, store = Toy(), Store(folder, Keys({"seed": 0}), run_id="r")
    return store, toy, list(levels(recipe, toy, store))


def progress():
    def weights():
        return {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.bfloat16)}

    point = Point(weights(), 7, {"a/momentum": torch.full((2, 3), 0.5)})
    history = [{"step": 3, "val/loss": 0.25, "seconds": 0.1}, {"step": 7, "val/loss": 0.5, "seconds": 0.2}]
    return Progress(
        point, history, Point(weights(), 3), {4: Point(weights(), 4, {"a/momentum": torch.zeros(2, 3)})}, 0.2
    )


def told(found):
    """A progress as plain data."""
    points = {"point": found.point, "best": found.best, **found.snapshots}
    tensor = {
        name: (p.step, tensors.digest(p.weights), tensors.digest(p.optimizer or {})) for name, p in points.items()
    }
    return tensor, [dict(row) for row in found.history], found.seconds


def written(path, key="k"):
    CheckpointFile(path, key, 0).offer(progress)
    return path


@given(position=st.integers(0, 10**6), bit=st.integers(0, 7))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_bit_of_progress_is_named_and_set_aside_or_changes_nothing(tmp_path, caplog, position, bit):
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    caplog.clear()
    path = written(tmp_path / "k.safetensors")
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= 1 << bit
    path.write_bytes(content)
    found = CheckpointFile(path, "k", 0).load()
    if found is not None:
        assert told(found) == told(progress())
        return
    assert [str(path) in record.message for record in caplog.records] == [True]
    assert (tmp_path / "k.damaged-1").read_bytes() == bytes(content)
    assert not path.exists()


def edited(path, change):
    """A safetensors file whose header is changed: valid, but not what was written."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    about = json.loads(header["__metadata__"]["ltb"])
    change(header, about)
    header["__metadata__"]["ltb"] = json.dumps(about)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])


CHANGES = {
    "another step": lambda header, about: about.update(step=6),
    "another best step": lambda header, about: about.update(best_step=7),
    "a row of the history less": lambda header, about: about["history"].pop(),
    "another value in the history": lambda header, about: about["history"][0].update({"val/loss": 0.75}),
    "a snapshot less": lambda header, about: about["snapshots"].pop(),
    "another stage": lambda header, about: about.update(stage="other"),
    "no digest": lambda header, about: about.pop("digest"),
    "the optimizer's state renamed": lambda header, about: header.update(
        {"x": header.pop("optimizer/a/momentum")},
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_progress_that_is_whole_but_not_what_was_written_is_named_and_set_aside(tmp_path, caplog, change):
    path = written(tmp_path / "k.safetensors")
    edited(path, lambda header, about: None)
    assert told(CheckpointFile(path, "k", 0).load()) == told(progress())
    edited(path, CHANGES[change])
    assert CheckpointFile(path, "k", 0).load() is None
    assert str(path) in caplog.text


def test_progress_of_another_stage_is_not_used(tmp_path, caplog):
    path = written(tmp_path / "k.safetensors", "k")
    os.rename(path, tmp_path / "other.safetensors")
    assert CheckpointFile(tmp_path / "other.safetensors", "other", 0).load() is None
    assert "it is of stage k" in caplog.text


class Killed(Exception):
    pass


class KilledAt(CheckpointFile):
    """Progress that is kept at each evaluation, until the process is killed at the third."""

    count = 0

    def offer(self, progress):
        super().offer(progress)
        self.count += 1
        if self.count == 3:
            raise Killed


def training(metric, direction):
    return small.training(
        length="25it",
        evaluate_every="5it",
        metric=metric,
        direction=direction,
        optimizer="sgd",
        lr=small.Constant(base=0.5),
    )


class WithoutLoss(small.Classification):
    """Logs two metrics and no val/loss, so that the one that counts decides where training should have stopped."""

    def log_dict(self, values, **given):
        super().log_dict({name: value for name, value in values.items() if name != "val/loss"}, **given)

    def log(self, name, value, **given):
        if name != "val/loss":
            super().log(name, value, **given)


def test_progress_kept_under_one_metric_goes_on_under_another_to_the_early_stop_of_that(tmp_path, monkeypatch):
    monkeypatch.setattr(small, "Classification", WithoutLoss)
    judges = [("accuracy", "max"), ("accuracy", "min")]
    alone = {judge: small_fit(judge, None) for judge in judges}
    steps = {judge: None if found.best is None else found.best.step for judge, found in alone.items()}
    assert len(set(steps.values())) == 2
    for before in judges:
        for after in judges:
            path = tmp_path / f"{before[1]}-{after[1]}.safetensors"
            with pytest.raises(Killed):
                small_fit(before, KilledAt(path, "k", 0))
            found = small_fit(after, CheckpointFile(path, "k", 0))
            assert small.digest(found) == small.digest(alone[after])
            assert (None if found.best is None else found.best.step) == steps[after]
            if found.best is not None:
                assert tensors.digest(found.best.weights) == tensors.digest(alone[after].best.weights)


def small_fit(judge, checkpoints):
    of = training(*judge)
    return of.fit(small.dense(of), checkpoints=checkpoints)


def test_damaged_progress_is_said_once_and_training_ends_with_the_same_bytes(tmp_path, caplog):
    of, expected = training("accuracy", "max"), small_fit(("accuracy", "max"), None)
    path = tmp_path / "k.safetensors"
    with pytest.raises(Killed):
        of.fit(small.dense(of), checkpoints=KilledAt(path, "k", 0))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    found = of.fit(small.dense(of), checkpoints=CheckpointFile(path, "k", 0))
    assert small.digest(found) == small.digest(expected)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "\n" not in caplog.records[0].message


@pytest.mark.parametrize("change", ["metric", "sparsity", "parents", "seconds"])
def test_metadata_that_are_whole_but_not_what_was_written_are_named(tmp_path, change):
    store, _, found = run(tmp_path)
    path = store.path(found[1].stage) / STAGE
    metadata = json.loads(path.read_text())
    changed = {
        "metric": {"result": metadata["result"] | {"stop": 19}},
        "sparsity": {"target": 0.9},
        "parents": {"parents": {}},
        "seconds": {"seconds": 12.0},
    }[change]
    path.write_text(json.dumps(metadata | changed, indent=1))
    (line,) = catalogue.verify(tmp_path)
    assert str(path) in line
    with pytest.raises(Damaged, match=STAGE):
        run(tmp_path)


def test_a_flipped_bit_anywhere_in_metadata_is_found_or_changes_nothing(tmp_path):
    store, _, _ = run(tmp_path, Recipe(schedule=Geometric(0.3, 0)))
    path = store.path(Dense()) / STAGE
    whole, before = path.read_bytes(), json.loads(path.read_text())

    @given(st.integers(0, len(whole) - 1), st.integers(0, 7))
    @settings(max_examples=300)
    def flip(position, bit):
        content = bytearray(whole)
        content[position] ^= 1 << bit
        path.write_bytes(content)
        wrong = catalogue.verify(tmp_path)
        assert str(path) in "".join(wrong) or json.loads(path.read_text()) == before

    flip()


def swap(one, other):
    aside = one.with_name(".aside")
    os.rename(one, aside)
    os.rename(other, one)
    os.rename(aside, other)


@pytest.mark.parametrize("what", ["", STAGE, TRAINED])
def test_what_was_swapped_between_two_stages_is_named_and_nothing_is_trained_from_it(tmp_path, what):
    store, _, found = run(tmp_path)
    one, other = (store.path(found[level].stage) for level in (2, 3))
    swap(one / what if what else one, other / what if what else other)
    wrong = catalogue.verify(tmp_path)
    assert [sum(str(path) in line for line in wrong) for path in (one, other)] == [1, 1]
    with pytest.raises(Damaged, match=f"{one.name}|{other.name}"):
        run(tmp_path, Recipe(schedule=Geometric(0.3, 4), rewind_step="4it"))


def test_a_child_of_another_parent_than_the_one_that_is_there_is_named(tmp_path):
    store, _, found = run(tmp_path)

    class Otherwise(Toy):
        """As by another version of torch."""

        def initial(self, purpose="init"):
            return {name: weight + 1 for name, weight in super().initial(purpose).items()}

    shutil.rmtree(store.path(Dense()))
    run(tmp_path)  # the same bytes once more: the children grew from them
    assert catalogue.verify(tmp_path) == []
    shutil.rmtree(store.path(Dense()))
    Loop(Otherwise(), Store(tmp_path, Keys({"seed": 0}))).result(Dense())
    wrong = catalogue.verify(tmp_path)
    child = store.path(found[1].stage)
    assert any(str(child) in line and store.keys(Dense()) in line for line in wrong)
    with pytest.raises(Damaged, match="did not grow from what is in"):
        run(tmp_path)


def test_freed_weights_leave_metadata_whole(tmp_path):
    store, _, _ = run(tmp_path)
    for entry in catalogue.entries(tmp_path):
        catalogue.forget_weights(entry)
    assert not store.path(Dense()).joinpath(TRAINED).exists()
    assert catalogue.verify(tmp_path) == []
    toy = run(tmp_path, Recipe(schedule=Geometric(0.3, 4), rewind_step="4it"))[1]
    assert toy.fits
    assert catalogue.verify(tmp_path) == []


def test_a_circle_of_parents_is_named_by_the_tree(tmp_path, capsys):
    from ltb.store import command

    store, _, found = run(tmp_path)
    first, second = (store.path(level.stage) for level in found[1:3])
    for folder, other in ((first, second), (second, first)):
        metadata = json.loads((folder / STAGE).read_text())
        content = {name: value for name, value in metadata.items() if name != "digest"}
        (folder / STAGE).write_text(json.dumps(sealed(content | {"parents": {other.name: None}})))
    assert command.main(["--dir", str(tmp_path), "tree"]) == 2
    assert "it grew from a stage that grew from it" in capsys.readouterr().err


def test_the_nearest_start_is_found_without_reading_other_stages(tmp_path, monkeypatch):
    store, _, _ = run(tmp_path)
    read = []
    real = Store.nearest.__globals__["read_metadata"]
    monkeypatch.setitem(Store.nearest.__globals__, "read_metadata", lambda folder: read.append(folder) or real(folder))
    assert store.nearest(Start(9), 9).stop == 4
    assert read == [store.path(Start(4))]
    assert store.nearest(Start(4), 4) is None
    assert Store(tmp_path, Keys({"seed": 1})).nearest(Start(9), 9) is None


@pytest.mark.parametrize("mask", [0o002, 0o022, 0o077])
def test_files_and_folders_follow_the_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        store, _, _ = run(tmp_path / "store")
        CheckpointFile(tmp_path / "store" / ".progress" / "k.safetensors", "k", 0).offer(progress)
        store.register(tmp_path / "run", stages(RECIPE, Toy().clock))
    finally:
        os.umask(before)
    modes = {path: path.stat().st_mode & 0o777 for path in (tmp_path / "store").rglob("*")}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o777 & ~mask}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o666 & ~mask}


def test_a_folder_without_metadata_is_named_before_its_stage_is_computed(tmp_path):
    store = Store(tmp_path, Keys({"seed": 0}))
    store.path(Dense()).mkdir()
    toy = Toy()
    with pytest.raises(Damaged, match=r"is there without its stage\.json"):
        list(levels(RECIPE, toy, store))
    assert toy.fits == []
