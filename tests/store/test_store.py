"""The store: whole or not at all, shared by key, and what is damaged is named, not used and not deleted."""

import errno
import json
import multiprocessing
import os
import shutil
from dataclasses import dataclass

import pytest
import torch

from ltb.common.errors import Damaged
from ltb.core import tensors
from ltb.core.chain import stages
from ltb.core.loop import Loop, levels
from ltb.core.measure import Measure
from ltb.core.recipe import Recipe
from ltb.core.results import Measurement
from ltb.core.rewind import LearningRate, Weights
from ltb.core.schedules import Geometric
from ltb.core.stages import Dense, Measured, Start
from ltb.store.keys import Keys
from ltb.store.store import STAGE, TICKET, TRAINED, Store
from tests.core.toy import Toy

RECIPE = Recipe(schedule=Geometric(0.3, 3), rewind_step="4it")


def run(folder, recipe=RECIPE, toy=None, settings=None):
    toy = toy or Toy()
    store = Store(folder, Keys(settings or {"seed": toy.seed}), run_id="r")
    return store, toy, list(levels(recipe, toy, store))


def trained(toy):
    return [(fit.origin.step, fit.stop) for fit in toy.fits if fit.stop]


def test_what_is_stored_comes_back_bit_for_bit_and_nothing_is_trained_twice(tmp_path):
    _, toy, first = run(tmp_path)
    assert trained(toy) == [(0, 20), (4, 20), (4, 20), (4, 20)]
    _, again, second = run(tmp_path)
    assert trained(again) == []
    for one, other in zip(first, second, strict=True):
        for kept in ("origin", "point"):
            assert tensors.digest(getattr(one.trained, kept).weights) == tensors.digest(
                getattr(other.trained, kept).weights
            )
        assert tensors.digest(one.trained.masks) == tensors.digest(other.trained.masks)
        assert one.metrics == other.metrics
    longer = Recipe(schedule=Geometric(0.3, 5), rewind_step="4it", method="longer")
    assert trained(run(tmp_path, longer)[1]) == [(4, 20), (4, 20)]


def test_another_rewind_step_replays_only_up_to_it(tmp_path):
    run(tmp_path)
    for step, replayed in (
        (7, (4, 7)),
        (2, (0, 2)),
        (9, (7, 9)),
        (3, (2, 3)),
    ):  # from the nearest earlier one that is there
        _, toy, found = run(tmp_path, Recipe(schedule=Geometric(0.3, 1), rewind_step=f"{step}it"))
        assert trained(toy) == [replayed, (step, 20)]
        _, _, alone = run(tmp_path / str(step), Recipe(schedule=Geometric(0.3, 1), rewind_step=f"{step}it"))
        assert tensors.digest(found[1].trained.point.weights) == tensors.digest(alone[1].trained.point.weights)


def test_a_run_cut_off_at_any_stage_ends_with_the_same_bytes(tmp_path):
    whole, _, expected = run(tmp_path / "whole")
    for left in range(5):
        folder = tmp_path / str(left)
        shutil.copytree(tmp_path / "whole", folder)
        for index, stage in enumerate((*stages(RECIPE, Toy().clock), Start(4))):
            if index >= left:
                shutil.rmtree(folder / whole.keys(stage))
        (folder / ".abandoned-by-a-kill").mkdir()
        _, _, found = run(folder)
        assert [tensors.digest(level.trained.point.weights) for level in found] == [
            tensors.digest(level.trained.point.weights) for level in expected
        ]


def test_the_optimizers_state_is_kept_where_a_rewind_will_ask_for_it(tmp_path):
    toys = []
    for rewind, expected in ((Weights("kept"), 4.0), (LearningRate("kept"), 20.0)):
        recipe = Recipe(schedule=Geometric(0.3, 2), rewind_step="4it", rewind=rewind)
        for _ in range(2):
            _, toy, (*_, last) = run(tmp_path, recipe)
            toys.append(toy)
            assert float(last.trained.origin.optimizer["a/momentum"][0, 0]) == expected
    # One dense network: it is the same whether its optimizer's state is asked for or not.
    assert [trained(toy).count((0, 20)) for toy in toys] == [1, 0, 0, 0]
    assert not [p for p in tmp_path.glob(".*") if p.name != ".locks"]


@pytest.mark.parametrize("name", [TICKET, TRAINED, STAGE])
@pytest.mark.parametrize("how", ["truncated", "flipped", "emptied", "foreign", "missing"])
def test_a_damaged_file_is_named_never_used_and_never_deleted(tmp_path, name, how):
    store, _, _ = run(tmp_path)
    path = store.path(Dense()) / name
    content = path.read_bytes()
    damaged = {
        "truncated": content[:-9],
        "flipped": content[:40] + bytes([content[40] ^ 255]) + content[41:],
        "emptied": b"",
        "foreign": b"\x80\x04not what it was",
        "missing": None,
    }[how]
    path.unlink() if damaged is None else path.write_bytes(damaged)
    from_it = Recipe(schedule=Geometric(0.5, 1))  # a new level that grows from the damaged stage
    with pytest.raises(Damaged, match=name if (name, how) != (STAGE, "missing") else "without its stage.json"):
        run(tmp_path, from_it)
    if name != STAGE:
        with pytest.raises(Damaged, match=name):
            store.link(Dense(), name, tmp_path / "linked")
    assert damaged is None or path.read_bytes() == damaged


@pytest.mark.parametrize("written", ["stage", "store"])
def test_a_store_of_another_version_takes_no_run(tmp_path, written):
    """Its stages have other keys, so none of them is ever asked for."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / STAGE).write_text("{")
    folder = tmp_path / "0123456789abcdef0123"
    folder.mkdir()
    (folder / STAGE).write_text(json.dumps({"version": 1, "key": folder.name}))
    if written == "store":
        (tmp_path / ".version").write_text("1\n")
        shutil.rmtree(folder)
    before = sorted(tmp_path.rglob("*"))
    store = Store(tmp_path, Keys({"seed": 0}))
    with pytest.raises(ValueError, match=r"it has version 1, and this version of ltb has 2: use another store.dir$"):
        store.register(tmp_path / "run", [Dense()])
    assert sorted(tmp_path.rglob("*")) == before


def test_a_store_of_this_version_says_so_from_its_first_run_on(tmp_path):
    for _ in range(2):
        store, _, _ = run(tmp_path)
        store.register(tmp_path / "run", [Dense()])
        assert (tmp_path / ".version").read_text() == "2\n"


def test_a_store_of_a_newer_version_is_not_read(tmp_path):
    store, _, _ = run(tmp_path)
    path = store.path(Dense()) / STAGE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 99}))
    with pytest.raises(Damaged, match="has version 99; this version of ltb reads version 2"):
        run(tmp_path)


def test_a_failed_fit_leaves_nothing_behind(tmp_path):
    class Broken(Toy):
        def fit(self, fit, **given):
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        run(tmp_path, toy=Broken())
    assert [path.name for path in tmp_path.iterdir()] == [".locks"]


def _worker(folder, queue):
    toy = Toy()
    run(folder, toy=toy)
    queue.put(len(trained(toy)))


def test_processes_that_want_the_same_run_train_each_stage_once(tmp_path):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    workers = [context.Process(target=_worker, args=(tmp_path, queue)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert sum(queue.get(timeout=5) for _ in workers) == 4


def test_links_put_the_same_bytes_into_a_run_folder(tmp_path):
    store, _, _ = run(tmp_path / "store")
    target = tmp_path / "level-00.safetensors"
    for _ in range(2):
        store.link(Dense(), TRAINED, target)
        assert target.samefile(store.path(Dense()) / TRAINED)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["level-00.safetensors", "store"]


@pytest.mark.parametrize("there", [False, True])
def test_without_links_there_are_copies_and_another_file_is_replaced(tmp_path, monkeypatch, there):
    store, _, _ = run(tmp_path / "store")
    target = tmp_path / "level-00.safetensors"
    if there:
        target.write_bytes(b"of another run")

    def none(*given):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", none)
    store.link(Dense(), TRAINED, target)
    assert target.read_bytes() == (store.path(Dense()) / TRAINED).read_bytes()
    assert not target.samefile(store.path(Dense()) / TRAINED)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["level-00.safetensors", "store"]


@pytest.mark.parametrize("keep", ["tickets", "ledger"])
def test_what_is_not_kept_is_computed_again_to_the_same_bytes(tmp_path, keep):
    _, _, expected = run(tmp_path / "all")
    store = Store(tmp_path / keep, Keys({"seed": 0}), keep=keep)
    first = [level.metrics for level in levels(RECIPE, Toy(), store)]
    stage = stages(RECIPE, Toy().clock)[2]
    assert sorted(path.name for path in store.path(stage).iterdir()) == [
        "stage.json",
        *["ticket.safetensors"] * (keep == "tickets"),
    ]
    toy = Toy()
    again = Store(tmp_path / keep, Keys({"seed": 0}), keep=keep)
    found = list(levels(RECIPE, toy, again))
    assert [level.metrics for level in found] == first
    assert [level.density for level in found] == [level.density for level in expected]
    assert trained(toy) == []
    assert tensors.digest(found[3].trained.point.weights) == tensors.digest(expected[3].trained.point.weights)
    assert trained(toy)[-1] == (4, 20)
    assert not list((tmp_path / keep).glob(".again-*"))


def test_computing_again_to_other_bytes_is_said_not_used(tmp_path):
    store = Store(tmp_path, Keys({"seed": 0}), keep="ledger")
    list(levels(RECIPE, Toy(), store))

    class Drifted(Toy):
        def initial(self, purpose="init"):
            return {name: weight + 1 for name, weight in super().initial(purpose).items()}

    *_, last = levels(RECIPE, Drifted(), Store(tmp_path, Keys({"seed": 0}), keep="ledger"))
    with pytest.raises(Damaged, match="computing it again gave other bytes"):
        _ = last.trained.point


def test_an_unwritable_store_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"store.dir=.*file"):
        run(tmp_path / "file")
    with pytest.raises(ValueError, match=r"store.keep='some': one of all, tickets, ledger"):
        Store(tmp_path, Keys({}), keep="some")


def test_masks_in_the_store_take_one_bit_a_weight(tmp_path):
    store, _, found = run(tmp_path)
    from safetensors.torch import load_file

    packed = load_file(store.path(found[1].stage) / TICKET)
    assert packed["mask/a"].dtype == torch.uint8
    assert packed["mask/a"].numel() == 3


def test_what_a_run_calls_its_settings_is_not_in_the_bytes(tmp_path):
    """Two names of one setting: what one run left out, the other computes again to the same hashes."""
    list(levels(RECIPE, Toy(), Store(tmp_path, Keys({"seed": 0}), {"model": "mlp"}, keep="ledger")))
    other = Store(tmp_path, Keys({"seed": 0}), {"model": "lenet"}, run_id="other", keep="ledger")
    *_, last = levels(RECIPE, Toy(), other)
    assert last.trained.point.step == 20


@pytest.mark.parametrize("keep", ["all", "tickets", "ledger"])
@pytest.mark.parametrize("recipe", [RECIPE, Recipe(schedule=Geometric(0.2, 7), rewind_step="4it", prune_from="dense")])
def test_within_a_run_nothing_is_trained_twice_whatever_is_kept(tmp_path, keep, recipe):
    toy = Toy()
    list(levels(recipe, toy, Store(tmp_path, Keys({"seed": 0}), keep=keep)))
    assert trained(toy) == [(0, 20)] + [(4, 20)] * (len(recipe.schedule.targets) - 1)


@dataclass(frozen=True)
class Diagonal(Measure):
    """A measure with a tensor."""

    def __call__(self, of, bench):
        return Measurement({"trace": 1.0}, {"diagonal": of[0].point.weights["a"].diagonal().clone()})


@pytest.mark.parametrize("keep", ["all", "ledger"])
def test_a_measures_numbers_need_no_tensor_and_its_tensors_are_computed_again_on_demand(tmp_path, keep):
    expected = None
    for index in range(3):
        toy = Toy()
        store = Store(tmp_path, Keys({"seed": 0}), keep=keep)
        found = Loop(toy, store).result(Measured((Dense(),), Diagonal()))
        assert found.values == {"trace": 1.0}
        assert trained(toy) == ([(0, 20)] if index == 0 else [])
        expected = found.tensors["diagonal"] if expected is None else expected
        assert torch.equal(found.tensors["diagonal"], expected)
        assert trained(toy) == ([(0, 20)] if index == 0 or keep == "ledger" else [])


def test_the_nearest_start_is_never_in_a_folder_that_is_being_written(tmp_path):
    store, _, _ = run(tmp_path)
    assert store.nearest(Start(5), 5).stop == 4
    store.path(Start(4)).rename(tmp_path / f".{store.keys(Start(4))}-abcd")
    assert store.nearest(Start(5), 5) is None
