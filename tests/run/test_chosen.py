"""What a command chose is told from what its task chooses, read from the tasks' files."""

from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

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
        ("digits_lenet", "waves", "lenet", "classification", True, "digits_lenet@waves+lenet"),
        ("digits_lenet", "waves", "tiny", "mine", True, "digits_lenet@waves+tiny++mine"),
        ("digits_lenet", "digits", "lenet", "mine", False, "digits_lenet@digits++mine"),
        (DEFAULT, "digits", "lenet", "classification", True, DEFAULT),
        (DEFAULT, "waves", "lenet", "classification", True, "waves+lenet"),
        (DEFAULT, "digits", "lenet", "mine", True, "digits+lenet++mine"),
        (DEFAULT, "waves", "lenet", "mine", False, "waves++mine"),
    ],
)
def test_what_is_learned_names_the_task(task, data, model, module, has_model, expected):
    assert Chosen(task, data, model, module, USUAL, has_model).names["task"] == expected


# What the tasks' files choose, and how they are called, is so that names joined by an underscore would be the same.
NAMES = ("a", "b", "a_b", "b_a", "a_b_a")
TASKS = {
    DEFAULT: {"data": "a", "model": "b", "module": "a"},
    "a": {"data": "a", "model": "b", "module": "a"},
    "a_b": {"data": "a", "model": "b", "module": "alone"},
    "a_b_a": {"module": "a"},  # data and model are the command's
}


@given(*[st.tuples(st.sampled_from([*TASKS]), *[st.sampled_from(NAMES)] * 2, st.sampled_from((*NAMES, "alone")))] * 2)
@example((DEFAULT, "a", "a_b", "b"), (DEFAULT, "a_a", "b", "b"))
@example((DEFAULT, "a", "b", "b"), ("a_b", "a", "b", "alone"))
@example(("a", "a", "b_a", "a"), ("a", "a", "b", "b_a"))
@example(("a_b", "a", "b", "alone"), ("a_b", "a", "a_b", "alone"))
@example(("a_b_a", "a", "b", "a"), ("a_b_a", "b", "b", "a"))
def test_names_are_equal_exactly_where_the_choices_are(one, other):
    """A module called "alone" makes its own network: what is chosen as its model is nothing."""

    def name(task, data, model, module):
        return Chosen(task, data, model, module, TASKS[task], module != "alone").names["task"]

    def choice(task, data, model, module):
        return task, data, module, model if module != "alone" else None

    assert (name(*one) == name(*other)) == (choice(*one) == choice(*other))


def test_a_tasks_choices_are_those_of_its_file_and_of_what_it_builds_on(tmp_path):
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "first.yaml").write_text("defaults: [{/data: a}, {/model: b}, {override /module: c}]\n")
    (tmp_path / "task" / "second.yaml").write_text("defaults: [first, {override /model: d}, _self_]\n")
    assert of_task("second", [tmp_path / "nowhere", tmp_path]) == {"data": "a", "model": "d", "module": "c"}
    assert of_task("third", [tmp_path]) == {}
