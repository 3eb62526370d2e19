from __future__ import annotations

import pandas as pd
import pytest

from ltb.common.errors import Damaged
from ltb.records import measured, record, schema

ROWS = [
    {"run_id": "a", "level": 0, "stage": "k0", "measure": "overlap", "quantity": "iou", "value": 1.0},
    {"run_id": "a", "level": 0, "stage": "k0", "measure": "overlap", "quantity": "iou/fc1.weight", "value": 0.25},
    {"run_id": "a", "level": None, "stage": "k0,k1", "measure": "barrier", "quantity": "height", "value": float("nan")},
]


def test_what_is_written_is_read_back_with_its_types(tmp_path):
    record.write_rows(tmp_path / schema.MEASURES, ROWS, schema.MEASURE)
    found = measured.read(tmp_path)
    assert {name: str(kind) for name, kind in found.dtypes.items()} == schema.MEASURE
    for wanted, row in zip(ROWS, found.to_dict("records"), strict=True):
        assert {k: None if pd.isna(v) else v for k, v in row.items()} == {
            k: None if pd.isna(v) else v for k, v in wanted.items()
        }


def test_a_run_without_measures_has_an_empty_table_of_the_same_types(tmp_path):
    found = measured.read(tmp_path)
    assert len(found) == 0
    assert {name: str(kind) for name, kind in found.dtypes.items()} == schema.MEASURE


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda text: "", "not a table of measures"),
        (lambda text: text[:-3], "ends in the middle of line 4"),
        (
            lambda text: text.replace("value", "number", 1),
            "its header is not run_id,level,stage,measure,quantity,value",
        ),
        (lambda text: text.replace(",iou,", ",iou,1,", 1), "line 2 has 7 fields instead of 6"),
        (lambda text: text.replace("0.25", "much"), "line 3, column value: 'much' is not a number"),
        (lambda text: text.replace("a,0,", "a,first,", 1), "line 2, column level: 'first' is not a whole number"),
        (lambda text: text + text.splitlines()[2] + "\n", "line 5 measures what a line before it does"),
    ],
)
def test_damage_is_named_in_one_line_with_its_file(tmp_path, change, text):
    path = tmp_path / schema.MEASURES
    record.write_rows(path, ROWS, schema.MEASURE)
    path.write_text(change(path.read_text()))
    with pytest.raises(Damaged) as error:
        measured.read(tmp_path)
    assert str(error.value).startswith(f"{path}: ")
    assert text in str(error.value)
    assert "\n" not in str(error.value)
