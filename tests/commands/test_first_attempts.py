"""What a person types first with an own network, data or module: it works, and the run is called what it is."""

import csv
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.command import TINY, ledger

OWN = ("--config-dir", str(Path(__file__).parents[1] / "own"), "logger=none", "plan=true", "training.length=12it")
MSE = ("metric.name=mse", "metric.direction=min")


@pytest.fixture
def own(command):
    sys.modules.pop("mine", None)
    yield command
    sys.modules.pop("mine", None)


@pytest.mark.parametrize(
    ("typed", "called"),
    [
        ("model=tiny data=waves", "imp-waves+tiny-s0-"),  # the default task's rates are of its own network's layers
        ("module=alone data=bare", "imp-bare++alone-s0-"),  # no model, and data without a shape
        ("module=regression data=sine model=tiny", "imp-sine+tiny++regression-s0-"),
        ("data=digits", "imp-digits+mlp-s0-"),
        ("task=digits_lenet data=digits model=lenet_300_100", "imp-digits_lenet-s0-"),
        ("task=digits_lenet model=tiny", "imp-digits_lenet@digits+tiny-s0-"),
    ],
)
def test_what_was_exchanged_names_the_run(own, typed, called):
    result = own(*OWN, "protocol.batch_size=20", *MSE[: 2 * ("module" in typed)], *typed.split())
    assert (result.code, result.err) == (0, "")
    assert called in result.out


def test_an_option_whose_name_joins_others_is_refused(own):
    file = own.folder / "conf" / "data"
    file.mkdir(parents=True)
    (file / "a+b.yaml").write_text((Path(__file__).parents[2] / "conf" / "data" / "digits.yaml").read_text())
    result = own("--config-dir", str(file.parent), "plan=true", "data=a+b")
    assert result.code == 2
    assert result.line == "ltb: data=a+b: a name without + and @, which join what was exchanged"


@pytest.mark.parametrize("typed", ["protocol.layer_rates={}", "protocol.layer_rates=null", "~protocol.layer_rates"])
def test_layers_without_rates_of_their_own(own, typed):
    result = own(*TINY, "plan=true", typed)
    assert (result.code, result.err) == (0, "")
    assert "imp-noise+mlp-s0-" in result.out


def test_rates_that_are_typed_must_be_of_a_layer(own):
    result = own(*OWN, "protocol.batch_size=20", "model=tiny", "data=waves", "+protocol.layer_rates.inner=half")
    assert result.code == 2
    assert "'inner' matches no prunable parameter; there are hidden.weight, output.weight; " in result.line


def test_a_shape_that_data_do_not_say_is_asked_for_in_one_line(own):
    result = own(*OWN, *MSE, "protocol.batch_size=20", "module=regression", "model=tiny", "data=bare")
    assert result.code == 2
    assert result.line.startswith("ltb: model.shape: it is taken from data.shape, which is not set; give data.shape, ")


@pytest.mark.parametrize(
    ("asked", "own_things"),
    [
        ("model=tiny", "network and takes no model"),
        ("+model.width=3", "network and takes no model"),
        ("lr=cosine", "learning rates and takes no lr"),
        ("lr.base=0.1", "learning rates and takes no lr"),
        ("optimizer=sgd", "optimizer and takes no optimizer"),
    ],
)
def test_what_the_module_does_not_take_is_refused(own, asked, own_things):
    result = own(*OWN[:3], "module=alone", "data=bare", asked)
    assert (result.code, result.line) == (2, f"ltb: {asked}: module=alone makes its own {own_things}")


def test_the_ledger_and_its_settings_say_so_too(own):
    folder = own.done(*OWN[:3], "module=alone", "data=bare", "protocol.batch_size=20", *MSE, "training.length=12it",
                      "schedule.levels=1", "progress=false")  # fmt: skip
    row = ledger(folder)[1]
    assert [row[name] for name in ("study", "task", "model", "data")] == ["bare++alone", "bare++alone", "alone", "bare"]
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    assert "model" not in settings
    assert "task=mnist1d_mlp" in settings["metric"]["tolerance_reason"]


def test_several_loggers_further_metrics_and_callbacks_at_once(own):
    given = ("logger=[csv,none]", "callbacks=[learning_rate,gradient_norms,timer]", "metrics=[f1,top_k]", "lr=onecycle")
    folder = own.done(*[one for one in TINY if not one.startswith("logger")], *given, "optimizer=nadam")
    rows = list(csv.DictReader((own.runs / "csv" / f"{folder.name}.csv").read_text().splitlines()))
    assert [float(row["level/test/f1"]) for row in rows if row["level/sparsity"]] == [
        float(row["test/f1"]) for row in ledger(folder)
    ]
    steps = [row for row in rows if row["train/step"]]
    assert {"train/learning_rate", "train/gradient_norm", "train/steps_per_second", "val/top_k"} <= set(steps[0])
    assert all(float(row["train/gradient_norm"]) > 0 for row in steps)
    assert not (own.runs / "wandb").exists()


def test_a_label_names_the_curve_and_nothing_else(own):
    one = own.done(*TINY)
    stages = [row["stage"] for row in ledger(one)]
    other = own.done(*TINY, "label='IMP, by hand'")
    assert one == other
    assert {row["method"] for row in ledger(other)} == {"IMP, by hand"}
    assert [row["stage"] for row in ledger(other)] == stages
