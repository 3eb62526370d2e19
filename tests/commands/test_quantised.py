"""Quantised runs from the command line: the chain is shared, bytes are those of codes, and what cannot be is one line."""

import csv

from tests.support.command import TINY, ledger


def measured(folder, quantity):
    with (folder / "measures.csv").open(newline="") as file:
        return [float(row["value"] or "nan") for row in csv.DictReader(file) if row["quantity"] == quantity]


def test_a_chain_is_shared_and_its_networks_take_a_byte_a_weight_and_less(command):
    plain = command.done(*TINY, "method=imp")
    whole = command.done(*TINY, "method=imp", "execution=int8", "measure=bytes")
    half = command.done(*TINY, "method=imp", "execution=int4", "execution.length=4it", "measure=bytes")
    few = command.done(*TINY, "method=imp", "execution=shared", "execution.bits=2", "measure=bytes")
    for folder, steps in ((whole, 0), (half, 4), (few, 0)):
        rows = ledger(folder)
        assert [row["remaining"] for row in rows] == [row["remaining"] for row in ledger(plain)]
        assert [(row["start_step"], row["end_step"]) for row in rows] == [("8", str(8 + steps))] * 3
        # What it cost to come to the ticket: the chain, its last network trained, too.
        assert [row["search_steps"] for row in rows] == ["8", "16", "24"]
    rest = measured(whole, "rest")[0]
    kept = [int(row["remaining"]) for row in ledger(plain)]
    assert measured(whole, "dense_codes") == [kept[0] + 4 * (16 + 10) + rest] * 3
    assert all(a < b for a, b in zip(measured(half, "bitmask_codes"), measured(whole, "bitmask_codes"), strict=True))
    assert all(a < b for a, b in zip(measured(few, "bitmask_codes"), measured(half, "bitmask_codes"), strict=True))
    for level in (0, 1, 2):  # the tickets are those of the chain
        name = f"tickets/level-{level:02d}.safetensors"
        assert all((folder / name).read_bytes() == (plain / name).read_bytes() for folder in (whole, half, few))
    again = command.done(*TINY, "method=imp", "execution=int8", "measure=bytes")
    assert again == whole


def test_the_dense_network_alone_may_be_quantised_and_a_setting_that_is_none_is_one_line(command):
    folder = command.done(*TINY, "method=dense", "schedule.levels=0", "execution=int8")
    assert [row["level"] for row in ledger(folder)] == ["0"]
    result = command(*TINY, "execution=int8", "execution.bits=8")
    assert (result.code, result.line.split(";")[0]) == (2, "ltb: execution.bits=8: there is no such setting")
    assert (
        command(*TINY, "execution=shared", "execution.bits=9").line == "ltb: execution.bits=9: a whole number, 1 to 8"
    )
