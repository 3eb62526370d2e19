from __future__ import annotations

import json

import pytest

from ltb.common.errors import Damaged
from ltb.records import identity, ledger


def test_what_is_written_is_read_back_under_dotted_keys(tmp_path):
    identity.write(tmp_path, {"seed": 3, "criterion": {"_target_": "Magnitude", "rounds": 1}, "rates": (0.1, 0.2)})
    assert identity.read(tmp_path) == {
        "seed": 3, "criterion._target_": "Magnitude", "criterion.rounds": 1, "rates": [0.1, 0.2],
    }  # fmt: skip
    assert identity.read(tmp_path / "elsewhere") is None


def test_the_key_is_of_the_settings_whatever_their_order(tmp_path):
    given = [{"a": 1, "b": {"c": 2}}, {"b": {"c": 2}, "a": 1}, {"a": 1, "b.c": 2}, {"a": 1, "b": {"c": 3}}]
    keys = [identity.write(tmp_path, one) for one in given]
    assert keys[0] == keys[1] == keys[2] != keys[3]
    assert json.loads((tmp_path / "identity.json").read_text())["key"] == keys[3]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", "[" * 100_000, '{"settings": [1]}', '{"settings": null}', b"\xff"]
)
def test_damage_is_named_in_one_line_with_its_file(tmp_path, text):
    path = tmp_path / "identity.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(Damaged, match=f"^{path}: not a run's identity [^\n]*$"):
        identity.read(tmp_path)


def make(folder, write_run, identities):
    """A run of one method for each of `identities`, whose configurations differ in `x` and in nuisances."""
    for i, settings in enumerate(identities):
        config = {"x": i, "threads": i, "seed": i}
        run = write_run(folder / str(i), seed=i, run_id=f"imp-s{i}", config=config)
        identity.write(run, settings)
    return ledger.read([folder])["variant"].drop_duplicates().to_list()


def test_runs_are_told_apart_by_their_identities(tmp_path, write_run):
    same = [{"seed": i, "rate": 0.2} for i in range(3)]
    assert make(tmp_path / "same", write_run, same) == [""]  # the configurations' `x` decides nothing
    threads = [{"seed": i, "threads": threads} for i, threads in enumerate((1, 1, 2))]
    assert make(tmp_path / "threads", write_run, threads) == ["threads=1", "threads=2"]


def test_a_configuration_without_an_identity_is_named(tmp_path, write_run):
    run = write_run(tmp_path / "run")
    (run / "identity.json").unlink()
    with pytest.raises(
        Damaged, match=f"^{run}/identity.json is missing, so what tells its run from others is not known"
    ):
        ledger.read([tmp_path])
