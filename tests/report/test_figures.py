from __future__ import annotations

import json
import math

import altair as alt
import pandas as pd
import pytest

from ltb.analysis import findings
from ltb.report.figures import layerwise, panel, panels
from ltb.report.figures.marks import Tables
from ltb.report.figures.palette import paint, scales


@pytest.fixture
def drawn(tmp_path, write_run):
    """The figures of runs of which each level keeps as much of layer `a` as is told; all else is in layer `b`."""

    def make(methods=("imp", "one_shot"), seeds=3, levels=4, a=lambda level: round(400 * 0.6**level), **given):
        for m, method in enumerate(methods):
            for seed in range(seeds):
                write_run(
                    tmp_path / f"{method}{seed}",
                    levels,
                    method=method,
                    seed=seed,
                    run_id=f"{method}-s{seed}-abc",
                    accuracy=given.get("accuracy", lambda level, m=m, s=seed: 0.7 + 0.01 * s - 0.01 * (m + 1) * level),
                    layers=lambda level: {
                        "a.weight": (a(level), 400),
                        "b.weight": (round(1000 * 0.8**level) - a(level), 600),
                    },
                    **{key: value for key, value in given.items() if key != "accuracy"},
                )
        drawn, order = panels.panels(findings.read([tmp_path]))
        return {one.kind: one for one in drawn}, order

    return make


def rows(one, mark, live=False):
    """The rows that the first layer of a mark draws."""
    tables = Tables()
    layer = next(layer for layer in one.layers(tables, live) if layer["mark"]["type"] == mark)
    return tables[layer["data"]["name"]]


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_every_figure_keeps_to_the_schema_live_and_still(drawn, seeds):
    found, order = drawn(seeds=seeds)
    assert list(found) == ["value", "early_stop_step", "relative", "layers", "cost"]
    for one in found.values():
        alt.LayerChart.from_dict(json.loads(paint(one.live())))
        alt.VConcatChart.from_dict(json.loads(paint(panel.still([one, one], order))))


def test_relative_is_to_the_dense_network_of_the_same_run(drawn):
    found, _ = drawn(["imp"])
    line = rows(found["relative"], "line")
    assert [one["mean"] for one in line] == pytest.approx([0.0, -0.01, -0.02, -0.03])
    # Seeds differ in their dense networks alone: paired, there is no spread.
    assert [one["high"] - one["low"] for one in line] == pytest.approx([0, 0, 0, 0], abs=1e-9)
    assert line[0]["mean"] == 0.0


def test_above_0_is_better_also_for_an_error(drawn):
    metric = {"name": "mse", "direction": "min"}
    found, _ = drawn(["imp"], metric=metric, extra=lambda level: {"test/mse": 2.0 + level})
    assert [one["mean"] for one in rows(found["relative"], "line")] == [0.0, -1.0, -2.0, -3.0]
    assert "sign turned: lower is better" in found["relative"].caption


@pytest.mark.slow
def test_a_value_that_is_infinite_is_left_out_and_said(drawn, tmp_path):
    def run(level):
        return {"test/mse": math.inf if level == 3 else 1.0 + level}

    found, _ = drawn(["imp"], metric={"name": "mse", "direction": "min"}, extra=run)
    assert [one["mean"] for one in rows(found["value"], "line")] == [1.0, 2.0, 3.0]
    json.dumps(found["value"].live(), allow_nan=False)
    notes = findings.read([tmp_path]).notes
    assert "in 3 of 12 levels the metric is infinite (did training diverge?): the figures leave them out" in notes


def test_where_nothing_is_finite_the_rest_is_still_drawn(drawn):
    found, _ = drawn(["imp"], metric={"name": "mse", "direction": "min"}, extra=lambda level: {"test/mse": math.inf})
    assert list(found) == ["early_stop_step", "layers"]


def test_what_the_numbers_behind_a_figure_say(drawn):
    found, _ = drawn(["imp"])
    assert found["value"].heads == ["curve", "density", "n", "mean", "95 % interval"]
    assert found["value"].cells[1] == ["imp", "80 %", "3", "70.00 %", "67.52 to 72.48 %"]
    assert found["relative"].cells[1] == ["imp", "80 %", "3", "−1.00 points", "– (no spread)"]
    assert found["early_stop_step"].cells[1] == ["imp", "80 %", "3", "800", "– (no spread)"]


def test_layers_are_in_the_networks_order_at_each_density(drawn):
    found, _ = drawn(["imp"])
    one = found["layers"]
    assert one.stops == ["80 %", "64 %", "51.2 %"]
    line = rows(one, "line")
    assert [(row["stop"], row["short"], row["mean"]) for row in line] == [
        *((0, "a", 0.6), (0, "b", pytest.approx(560 / 600, abs=1e-6))),
        *((1, "a", 0.36), (1, "b", pytest.approx(496 / 600, abs=1e-6))),
        *((2, "a", 0.215), (2, "b", pytest.approx(426 / 600, abs=1e-6))),
    ]
    assert [row["whole"] for row in rows(one, "rule")] == [0.8, 0.64, 0.512]


@pytest.mark.slow
def test_a_collapsed_layer_is_drawn_at_the_bottom_and_told_as_0(drawn):
    found, _ = drawn(["imp"], a=lambda level: 0 if level == 3 else 400)
    lines = rows(found["layers"], "line")
    assert [row["said"] for row in lines if row["short"] == "a"] == ["100 %", "100 %", "0 %"]
    tables = Tables()
    y = found["layers"].layers(tables, False)[0]["encoding"]["y"]
    assert y["scale"]["clamp"]
    assert 0 < y["scale"]["domain"][0] < 0.4


def test_levels_of_other_schedules_stand_at_the_nearest_density_or_nowhere():
    found = {"a": [0.8, 0.64, 0.512], "b": [0.72, 0.5, 0.1]}
    table = pd.DataFrame(
        [{"curve": c, "level": i + 1, "whole": d} for c, densities in found.items() for i, d in enumerate(densities)]
    )
    assert layerwise._stops(table) == [0, 1, 2, 0, 2, None]


def test_cost_is_in_steps_and_bars_not_bands(drawn):
    found, _ = drawn(["imp"], extra=lambda level: {"search_steps": 2000 * level})
    assert [one["search_steps"] for one in rows(found["cost"], "line")] == [0, 2000, 4000, 6000]
    assert found["cost"].cells[2][-2:] == ["4,000", "2.40e+10"]  # of 6e6 a step
    assert "area" not in {layer["mark"]["type"] for layer in found["cost"].layers(Tables(), True)}


def test_without_layers_or_costs_there_are_no_such_figures(tmp_path, write_run):
    write_run(tmp_path / "a", extra=lambda level: {"search_steps": None})
    drawn, _ = panels.panels(findings.read([tmp_path]))
    assert [one.kind for one in drawn] == ["value", "early_stop_step", "relative"]


def test_equal_tables_are_kept_once(drawn):
    found, _ = drawn()
    spec = found["value"].live()
    names = [layer["data"]["name"] for layer in spec["layer"]]
    assert len(spec["datasets"]) == len(set(names)) == 3 < len(names)


def test_a_colour_is_a_name_on_a_page_and_a_value_in_a_file():
    looks = scales(["imp"])
    assert looks["color"]["scale"]["range"] == ["var(--c0)"]
    assert json.loads(paint({"a": "var(--c0)", "b": "var(--nothing)", "c": ["var(--ink)", "x var(--c0)"]})) == {
        "a": "#0072B2",
        "b": "var(--nothing)",
        "c": ["#1a1a1a", "x var(--c0)"],
    }


@pytest.mark.slow
def test_means_that_hold_a_seed_that_diverged_are_ringed_and_said(drawn):
    found, order = drawn(["imp"], extra=lambda level: {"diverged": level == 2})
    for kind in ("value", "early_stop_step", "relative", "cost"):
        one = found[kind]
        for live in (False, True):
            tables = Tables()
            rings = [layer for layer in one.layers(tables, live) if layer["mark"].get("filled") is False]
            (ring,) = rings
            assert [row["level"] for row in tables[ring["data"]["name"]]] == [2]
        assert [cells[3].endswith("3 of 3 diverged)") for cells in one.cells] == [False, False, True, False]
        alt.LayerChart.from_dict(json.loads(paint(one.live())))
        alt.VConcatChart.from_dict(json.loads(paint(panel.still([one, one], order))))
    assert "Ringed: levels that diverged" in found["value"].caption


def test_nothing_is_drawn_relative_to_a_dense_network_that_diverged(drawn):
    found, _ = drawn(["imp"], extra=lambda level: {"diverged": level == 0})
    assert "relative" not in found
    assert "The dense network diverged." in found["value"].caption
