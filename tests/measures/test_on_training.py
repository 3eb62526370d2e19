"""Measures on a real Training, alone and through the loop; and one that a person wrote."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch

from ltb.core.contracts import Bench
from ltb.core.loop import Loop, Recent, levels
from ltb.core.measure import Evaluate, Measure
from ltb.core.recipe import Recipe
from ltb.core.results import Measurement, Result
from ltb.core.schedules import Explicit
from ltb.core.stages import Start
from ltb.measures import Calibration, GeneralisationGap, Overlap, PerClass, StepFlops, Untrained
from ltb.training import Training
from tests.training.small import Numbers, Regression, dense, training

RECIPE = Recipe(schedule=Explicit((0.5, 0.8)))


@pytest.fixture(scope="module")
def trained():
    one = training()
    return one, one.fit(dense(one))


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_calibration_and_accuracy_by_class_are_those_of_the_evaluation(trained, split):
    one, result = trained
    logged = one.evaluate(result.point, result.masks, [split])
    calibration = one.measure(Calibration(split=split), [result])
    assert calibration.values["nll"] == pytest.approx(logged[f"{split}/loss"], rel=1e-5)
    by_class = one.measure(PerClass(split=split), [result])
    matrix = by_class.tensors["confusion"]
    assert int(matrix.sum()) == int(calibration.tensors["count"].sum()) == {"train": 70, "val": 30, "test": 40}[split]
    assert int(matrix.diagonal().sum()) / int(matrix.sum()) == pytest.approx(logged[f"{split}/accuracy"])
    right = (calibration.tensors["accuracy"] * calibration.tensors["count"]).nansum()
    assert int(right.round()) == int(matrix.diagonal().sum())


def test_the_gap_is_that_of_two_evaluations(trained):
    one, result = trained
    values = one.measure(GeneralisationGap(), [result]).values
    logged = one.evaluate(result.point, result.masks, ["train", "test"])
    assert {name: value for name, value in values.items() if not name.startswith("gap/")} == logged
    assert values["gap/accuracy"] == logged["train/accuracy"] - logged["test/accuracy"]
    assert values["gap/loss"] == logged["train/loss"] - logged["test/loss"]


def test_step_flops_of_two_matrix_products(trained):
    one, result = trained
    # Two FLOPs a multiply-add; forward, the weights' gradient, and, in the second layer, the input's: batches of 10.
    assert one.measure(StepFlops(), [result]).values == {"step_flops": 2 * 10 * (2 * 6 * 9 + 3 * 9 * 3)}


def test_what_is_before_training_is_the_loss_or_the_metric_that_counts(trained):
    one, _ = trained
    start = Start(0)
    begun = Loop(one, Recent()).result(start)
    logged = one.evaluate(begun.point, begun.masks, ["val"])
    assert one.measure(Untrained(), [begun]).values == {"untrained/loss": logged["val/loss"]}
    other = Training(Regression, Numbers(), "5it", metric="mse", direction="min")
    begun = Loop(other, Recent()).result(start)
    logged = other.evaluate(begun.point, begun.masks, ["val"])
    assert other.measure(Untrained("mse"), [begun]).values == {"untrained/mse": logged["val/mse"]}
    assert other.measure(Untrained("nope"), [begun]).values == {}


def test_a_regression_is_not_measured_as_a_classification():
    one = Training(Regression, Numbers(), "5it", metric="mse", direction="min")
    result = one.fit(dense(one), evaluate=False)
    with pytest.raises(ValueError, match=r"^measure=calibration: labels must be int64"):
        one.measure(Calibration(), [result])


def test_each_level_of_the_loop_is_measured():
    measures = (Calibration(), PerClass(), GeneralisationGap(), StepFlops())
    found = list(levels(RECIPE, training(), measures=measures))
    assert len(found) == 3
    for level in found:
        assert set(level.measured) == {measure.name for measure in measures if not measure.ledger}
        assert 0 <= level.measured["calibration"]["ece"] <= level.measured["calibration"]["mce"] <= 1
        assert level.measured["calibration"]["nll"] == pytest.approx(level.metrics["test/loss"], rel=1e-5)
        assert level.measured["generalisation_gap"]["test/accuracy"] == level.metrics["test/accuracy"]
        assert sum(level.measured["per_class"][f"examples/class_{c}"] for c in range(3)) == 40
    assert len({level.metrics["step_flops"] for level in found}) == 1


def test_measuring_changes_no_number_of_the_run():
    bare, measured = (list(levels(RECIPE, training(), measures=m)) for m in ((), (Calibration(), PerClass())))
    for one, other in zip(bare, measured, strict=True):
        assert one.metrics == other.metrics
        for name, tensor in one.trained.point.weights.items():
            assert torch.equal(tensor, other.trained.point.weights[name])


def test_levels_of_one_run_overlap_as_their_densities_say():
    one = training()
    found = list(levels(RECIPE, one))
    values = one.measure(Overlap(), [level.trained for level in found]).values
    assert values["iou@0-1"] == found[1].density
    assert values["iou@1-2"] == pytest.approx(found[2].density / found[1].density)
    assert values["z@0-1"] is None  # the dense mask has no choice


def test_runs_of_two_seeds_overlap_about_as_chance_has_it():
    runs = [list(levels(RECIPE, training(seed)))[-1].trained for seed in (0, 1)]
    values = training().measure(Overlap(), runs).values
    assert 0 <= values["iou"] < 1
    assert abs(values["z"]) < 5


def test_a_network_trained_for_0_steps_has_metrics_like_any_other():
    one = training()
    fit = dense(one)
    nothing = one.fit(type(fit).of(fit.masks, fit.origin, fit.origin.step))
    assert nothing.stop == nothing.start == 0
    values = one.measure(Evaluate(), [nothing]).values
    assert values["early_stop_step"] == 0
    assert values["early_stop_is_last"]
    assert 0 <= values["test/accuracy"] == values["test/accuracy_at_early_stop"] <= 1
    assert one.measure(Calibration(), [nothing]).values["nll"] == pytest.approx(values["test/loss"], rel=1e-5)


@dataclass(frozen=True)
class LargestWeight(Measure):
    """A person's own measure: one class, and nothing else anywhere."""

    power: int = 1
    network = False

    def __call__(self, of: Sequence[Result], bench: Bench) -> Measurement:
        (result,) = of
        return Measurement({n: float(result.point.weights[n].abs().max() ** self.power) for n in bench.prunable})


def test_an_own_measure_needs_one_class():
    one = training()
    for level in levels(RECIPE, one, measures=(LargestWeight(power=2),)):
        weights = level.trained.point.weights
        assert level.measured["largest_weight(power=2)"] == {
            n: float(weights[n].abs().max() ** 2) for n in one.prunable
        }
