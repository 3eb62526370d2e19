from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from ltb.core.contracts import Progress
from ltb.core.points import Point
from ltb.store.checkpoint import CheckpointFile
from ltb.store.finite import as_numbers
from ltb.store.stage_files import FIELDS, STAGE, VERSION, read_metadata, sealed, text

ROWS = st.dictionaries(st.sampled_from(["step", "val/loss", "test/f1"]), st.none() | st.integers(0, 9) | st.floats())


def metadata(**result):
    return sealed(dict.fromkeys(FIELDS) | {"version": VERSION, "kept": [], "sha256": {}, "result": result})


def strict(content):
    """JSON as any reader but Python's reads it."""

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    return json.loads(content, parse_constant=refuse)


@given(ROWS, st.lists(ROWS))
def test_a_stage_is_valid_json_and_read_back_as_it_was(values, history):
    told = metadata(values=values), metadata(start=0, stop=1, counts={}, early_stop_step=1, history=history)
    for one in told:
        strict(text(one))
    assert repr(as_numbers(strict(text(told[0]))["result"]["values"])) == repr(values)
    found = [as_numbers(row) for row in strict(text(told[1]))["result"]["history"]]
    assert repr(found) == repr(history)


@pytest.mark.parametrize("written", [text, lambda content: json.dumps(content, indent=1)])  # as now, and as before
def test_a_stage_with_nan_is_read_whoever_wrote_it(tmp_path, written):
    history = [{"step": 1, "val/loss": math.nan}, {"step": 2, "val/loss": -math.inf}]
    content = metadata(start=0, stop=2, counts={}, early_stop_step=1, history=history)
    content = sealed({**content, "key": tmp_path.name})
    (tmp_path / STAGE).write_text(written(content))
    found = read_metadata(tmp_path)
    assert repr(found) == repr(content)
    assert repr(found["result"]["history"]) == repr(history)
    (tmp_path / STAGE).write_text(text(found))  # as where weights are freed
    assert repr(read_metadata(tmp_path)) == repr(content)


def test_finite_metadata_is_written_as_before():
    content = metadata(
        start=0, stop=1, counts={"w": [3, 4]}, early_stop_step=1, history=[{"step": 1, "val/loss": 1e-300}]
    )
    assert text(content) == json.dumps(content, indent=1)


def test_progress_of_a_fit_that_diverged_is_valid_json_and_read_back_as_it_was(tmp_path):
    path, (point, best) = tmp_path / "k.safetensors", (Point({"a": torch.ones(2)}, step) for step in (7, 3))
    history = [{"step": 3, "val/loss": math.nan}, {"step": 7, "val/loss": math.inf}]
    CheckpointFile(path, "k", 0).offer(lambda: Progress(point, history, best, {}, 0.2))
    with safe_open(path, framework="pt") as file:
        strict(file.metadata()["ltb"])
    assert repr(CheckpointFile(path, "k", 0).load().history) == repr(history)
