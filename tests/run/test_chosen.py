"""What a command chose is told from what its task chooses, read from the tasks' files."""

from pathlib import Path

import pytest
import yaml

from ltb.run.chosen import DEFAULT, Chosen, of_task
from ltb.run.conf import conf

USUAL = {"data": "digits", "model": "lenet", "module": "classification"}


def test_the_default_task_is_that_of_the_settings_file():
    settings = yaml.safe_load((Path(conf()) / "train.yaml").read_text())
    assert {"task": DEFAULT} in settings["defaults"]


@pytest.mark.parametrize(
    ("task", "data", "model", "module", "has_model", "expected"),
    [
        ("digits_lenet", "digits", "lenet", "classification", True, "digits_lenet"),
        ("digits_lenet", "waves", "lenet", "classification", True, "digits_lenet_waves"),
        ("digits_lenet", "waves", "tiny", "mine", True, "digits_lenet_waves_tiny_mine"),
        ("digits_lenet", "digits", "lenet", "mine", False, "digits_lenet_mine"),
        (DEFAULT, "digits", "lenet", "classification", True, DEFAULT),
        (DEFAULT, "waves", "lenet", "classification", True, "waves_lenet"),
        (DEFAULT, "digits", "lenet", "mine", True, "digits_lenet_mine"),
        (DEFAULT, "waves", "lenet", "mine", False, "waves_mine"),
    ],
)
def test_what_is_learned_names_the_task(task, data, model, module, has_model, expected):
    assert Chosen(task, data, model, module, USUAL, has_model).names["task"] == expected


def test_a_tasks_choices_are_those_of_its_file_and_of_what_it_builds_on(tmp_path):
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "first.yaml").write_text("defaults: [{/data: a}, {/model: b}, {override /module: c}]\n")
    (tmp_path / "task" / "second.yaml").write_text("defaults: [first, {override /model: d}, _self_]\n")
    assert of_task("second", [tmp_path / "nowhere", tmp_path]) == {"data": "a", "model": "d", "module": "c"}
    assert of_task("third", [tmp_path]) == {}
