from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltb.records.variants import differing, flatten, label, without_own_data

BASE = {"seed": 0, "lr": {"value": 0.1, "warmup": "0it"}, "data": {"name": "digits", "root": "a"}}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([{}, {}], ["", ""]),
        ([{"rate": 0.2}, {"rate": 0.5}, {"rate": 0.2}], ["rate=0.2", "rate=0.5", "rate=0.2"]),
        ([{}, {"rate": 0.5}], ["no rate", "rate=0.5"]),
        ([{"rate": None}, {"rate": 0.5}], ["rate=None", "rate=0.5"]),
        ([{"trainer": {"precision": "bf16"}}, {"trainer": {"precision": "32"}}],
         ["trainer.precision=bf16", "trainer.precision=32"]),
        ([{"lr": {"value": 0.1, "warmup": "0it"}}, {"lr": {"value": 0.2, "warmup": "5ep"}}],
         ["lr.value=0.1, lr.warmup=0it", "lr.value=0.2, lr.warmup=5ep"]),
    ],
)  # fmt: skip
def test_literal_cases(changes, expected):
    assert label([flatten(BASE | change) for change in changes]) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # what tells all apart, though more differs
        ([{"a.very.long.name": "x" * 30, "rate": 0.2}, {"a.very.long.name": "y" * 31, "rate": 0.5}], ["rate=0.2", "rate=0.5"]),
        ([{"widths": [100] * 20}, {"widths": [200] * 20}], None),
        ([{"w": "a" * 60 + "b" + "c" * 60}, {"w": "a" * 60 + "d" + "c" * 60}], None),
    ],
)  # fmt: skip
def test_long_differences_are_said_in_words(changes, expected):
    found = label([flatten(one) for one in changes])
    assert len(set(found)) == len(changes)
    assert all("=" in text and len(text) < 70 for text in found)
    assert expected is None or found == expected


@given(
    st.lists(st.dictionaries(st.sampled_from("abc"), st.sampled_from(["x", "y" * 50, "z" * 50, 1, "1"])), min_size=1)
)
def test_labels_are_equal_where_settings_are(settings):
    found = label(settings)
    for one, text in zip(settings, found, strict=True):
        for other, another in zip(settings, found, strict=True):
            assert (text == another) == (json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True))


def test_settings_that_copy_one_another_are_named_once():
    settings = [
        {"protocol": {"rate": r}, "schedule": {"rate": r}, "allocation": {"rates": {"a": r / 2}}} for r in (0.2, 0.4)
    ]
    assert differing([flatten(one) for one in settings]) == ["allocation.rates.a", "protocol.rate"]
    assert label([{"protocol.rate": r, "schedule.rate": r} for r in (0.2, 0.4)]) == [
        "protocol.rate=0.2",
        "protocol.rate=0.4",
    ]


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (("Magnitude", "Growth 0d1e" + "f" * 36), ["criterion=Magnitude", "criterion=Growth"]),
        (
            ("Growth aaaa", "Growth bbbb"),
            ["criterion=Growth, no. 1", "criterion=Growth, no. 2"],
        ),  # its source was edited
    ],
)
def test_a_class_is_named_without_its_source(classes, expected):
    assert label([{"criterion._target_": one} for one in classes]) == expected


def test_equal_texts_of_different_values_are_not_merged():
    found = label([{"x": 1}, {"x": "1"}])
    assert found[0] != found[1]


def test_flatten():
    assert flatten({"a": {"b": {"c": 1}, "d": [1, 2]}, "e": None}) == {"a.b.c": 1, "a.d": [1, 2], "e": None}


@pytest.mark.parametrize(
    ("splits", "dropped"),
    [
        ([(0, 0), (1, 1)], True),  # data.split_seed='${seed}'
        ([(0, 0), (1, 0)], False),
        ([(0, 0), (1, 1), (2, 0)], False),
        ([(0, 0)], False),  # one seed does not say which
        ([(0, None), (1, None)], False),
    ],
)
def test_a_split_that_goes_with_the_seed_is_a_part_of_what_a_seed_decides(splits, dropped):
    runs = {
        str(i): {"seed": seed, "rate": 1, "fingerprint": f"f{split}"}
        | ({} if split is None else {"data.split_seed": split})
        for i, (seed, split) in enumerate(splits)
    }
    kept = without_own_data(runs)
    assert kept == ({name: {"seed": one["seed"], "rate": 1} for name, one in runs.items()} if dropped else runs)


def test_how_far_a_curve_goes_is_not_what_names_it():
    embeddings = "prunable.embeddings_of_the_network"
    short, long = {"schedule.levels": 3, embeddings: True}, {"schedule.levels": 5, embeddings: None}
    assert label([short, long])[0] == f"{embeddings}=True"
    assert label([{"schedule.levels": 3}, {"schedule.levels": 5}])[0] == "schedule.levels=3"
