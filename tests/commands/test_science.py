"""What the field knows, found again by real training on real data: minutes each, so they are marked slow."""

import statistics
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from experiments.fit_cost import fit_cost
from ltb.core.chain import stages
from ltb.core.controls import Reinit, Shuffle
from ltb.core.loop import Loop
from ltb.core.measure import Evaluate
from ltb.core.stages import Measured
from ltb.run.run import Run
from ltb.run.setup import setup
from ltb.train import conf

SEEDS = (0, 1, 2)
DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def run_of(tmp_path, *overrides):
    with initialize_config_dir(conf(), version_base="1.3"):
        composed = compose(
            "train", [f"runs={tmp_path}", "logger=none", "progress=false", *overrides], return_hydra_config=True
        )
    HydraConfig.instance().set_config(composed)
    choices = composed.hydra.runtime.choices
    OmegaConf.set_struct(composed, False)
    del composed["hydra"]
    names = {key: choices[key] for key in ("task", "model", "data")}
    return Run(setup(OmegaConf.to_container(composed, resolve=True), names))


@pytest.mark.slow
def test_on_mnist_1d_at_5_percent_imp_beats_one_shot_reinit_shuffle_and_random(tmp_path):
    """Means of three seeds at the default task's last level; the field's order, with the margins left to the seeds."""
    found = {}
    for seed in SEEDS:
        accuracies = {}
        for name, overrides in {
            "imp": [],
            "imp_rewind": [],
            "one_shot": ["schedule=explicit", "schedule.sparsities=[0.956019534]"],
            "random": ["schedule=explicit", "schedule.sparsities=[0.95]"],
        }.items():
            run = run_of(tmp_path, f"+experiment={name}", f"seed={seed}", *overrides)
            accuracies[name] = run()[-1]["test/accuracy"]
            if name == "imp":
                # A control needs its own last level only; the chain is in the store.
                for control in (Reinit(), Shuffle()):
                    made = run.setup
                    last = stages(replace(made.recipe, control=control), made.training.clock)[-1]
                    measured = Loop(made.training, made.store).result(Measured((last,), Evaluate()))
                    accuracies[control.name] = measured.values["test/accuracy"]
        for name, accuracy in accuracies.items():
            found.setdefault(name, []).append(accuracy)
    mean = {name: statistics.mean(values) for name, values in found.items()}
    print(mean)
    for method in ("imp", "imp_rewind"):
        for other in ("one_shot", "reinit", "shuffle", "random"):
            assert mean[method] > mean[other], mean
    assert mean["one_shot"] > mean["shuffle"] > mean["random"], mean
    assert mean["reinit"] > mean["shuffle"], mean


@pytest.mark.slow
@pytest.mark.skipif(
    not DEBIAN.is_dir(), reason="Fashion-MNIST is not here: Debian's package dataset-fashion-mnist has it"
)
def test_fashion_lenet_learns_the_real_data(tmp_path):
    rows = run_of(tmp_path, "+experiment=imp", "task=fashion_lenet", "schedule.levels=3")()
    print([(row["density"], row["test/accuracy"]) for row in rows])
    assert rows[0]["test/accuracy"] >= 0.875
    assert all(row["test/accuracy"] >= 0.87 for row in rows)
    assert [round(100 * row["density"], 2) for row in rows] == [100.0, 80.04, 64.06, 51.28]


@pytest.mark.slow
def test_a_step_of_fit_costs_about_what_a_hand_written_loop_costs():
    """A bound with room for a busy machine; experiments/fit_cost has the measurement."""
    torch.set_num_threads(1)
    ratio = fit_cost.compare(
        partial(torch.optim.Adam, lr=1.2e-3, fused=True), repeats=7, steps=200, batch=128, density=0.2
    ).ratio
    assert ratio <= 1.2
