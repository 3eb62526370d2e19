import csv
import io
import json
import math

import pytest
import torch

from ltb.common import files
from ltb.core.loop import levels
from ltb.core.recipe import Recipe
from ltb.core.schedules import Explicit
from ltb.records import measured, record
from tests.core.toy import Toy

IDENTITY = {
    "run_id": "imp-toy-s0-abc123", "study": "toy", "method": "imp", "task": "toy", "model": "none", "data": "none", "seed": 0,
}  # fmt: skip


def test_a_row_says_what_was_kept_and_measured():
    dense, level = levels(Recipe(schedule=Explicit((0.75,)), rewind_step="4it"), Toy())
    row = record.level_row(level, IDENTITY, parameters=38, search_steps=10, stage="key", reused=False)
    assert tuple(row) == tuple(record.COLUMNS)
    kept = sum(int(mask.sum()) for mask in level.trained.masks.values())
    assert (row["remaining"], row["prunable"], row["parameters"]) == (kept, 32, 38) == (8, 32, 38)
    assert (row["sparsity"], row["density"], row["target_sparsity"]) == (0.75, 0.25, 0.75)
    assert (row["start_step"], row["end_step"], row["test/accuracy"]) == (4, 20, 0.5)
    assert record.level_row(dense, IDENTITY, 38, 0, "key", True)["density"] == 1
    empty = {name: torch.zeros_like(mask) for name, mask in level.trained.masks.items()}
    collapsed = type(level)(1, 0.9, level.stage, type(level.trained)(empty, level.trained.origin, level.trained.point))
    assert record.level_row(collapsed, IDENTITY, 38, 0, "k", False)["collapsed_layers"] == "a;b"


def test_rows_of_other_metrics_get_columns_behind_the_schema(tmp_path):
    path = tmp_path / "levels.csv"
    record.write_rows(
        path, [{"level": 0, "test/mse": 0.5, "train/loss": None}, {"level": 1, "x": "a,b\n"}], ("level", "seed")
    )
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    assert list(rows[0]) == ["level", "seed", "test/mse", "train/loss", "x"]
    assert rows[0]["train/loss"] == "" == rows[1]["seed"]
    assert rows[1]["x"] == "a,b\n"
    assert float(rows[0]["test/mse"]) == 0.5


@pytest.mark.parametrize(("value", "text"), [(math.nan, "nan"), (math.inf, "inf"), (-math.inf, "-inf"), (None, "")])
def test_a_cell_is_empty_for_a_number_that_does_not_exist_alone(tmp_path, value, text):
    path = tmp_path / record.MEASURES
    record.merge_measures(tmp_path, record.quantity_rows("r", 0, "key", "a", {"x": value}))
    record.merge_measures(tmp_path, record.quantity_rows("r", 0, "key", "b", {"x": 1.0}))  # reads what is there
    assert [row["value"] for row in record.read_rows(path)] == [text, "1.0"]
    (found, _) = measured.read(tmp_path)["value"]
    assert math.isnan(found) if text in ("nan", "") else found == value


def test_json_that_only_python_reads_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        record.write_json(tmp_path / "status.json", {"value": math.nan})


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "status.json"
    record.write_json(path, {"state": "running"})
    with pytest.raises(UnicodeEncodeError):
        files.write(path, "\ud800")
    assert json.loads(path.read_text()) == {"state": "running"}
    assert [p.name for p in tmp_path.iterdir()] == ["status.json"]


def test_measures_are_replaced_by_name_and_others_stay(tmp_path):
    rows = {name: record.quantity_rows("r", 0, "key", name, {"x": value}) for name, value in (("a", 1), ("b", 2))}
    record.merge_measures(tmp_path, rows["a"])
    record.merge_measures(tmp_path, rows["b"])
    record.merge_measures(tmp_path, record.quantity_rows("r", 0, "key", "b", {"x": 3}))
    found = record.read_rows(tmp_path / record.MEASURES)
    assert [(row["measure"], row["value"]) for row in found] == [("a", "1"), ("b", "3")]
