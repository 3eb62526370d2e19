from __future__ import annotations

import json
import math

import altair as alt
import pandas as pd
import pytest

from ltb.analysis import findings
from ltb.report.figures import panel, panels, spent
from ltb.report.figures.marks import Tables
from ltb.report.figures.palette import paint, scales
from ltb.report.figures.stops import shared, stops


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
                    **{key: value for key, value in given.items() if key not in ("accuracy", "curves")},
                )
        contents = findings.read([tmp_path], curves=given.get("curves", ()))
        return {one.kind: one for one in panels.panels(contents)}, contents.curves

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
        alt.VConcatChart.from_dict(json.loads(paint(panel.still([one, one], order).spec())))


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
    assert "line" not in {layer["mark"]["type"] for layer in one.layers(Tables(), True)}
    dots = rows(one, "point")
    assert [(row["stop"], row["short"], row["mean"]) for row in dots] == [
        *((0, "a", 0.6), (0, "b", pytest.approx(560 / 600, abs=1e-6))),
        *((1, "a", 0.36), (1, "b", pytest.approx(496 / 600, abs=1e-6))),
        *((2, "a", 0.215), (2, "b", pytest.approx(426 / 600, abs=1e-6))),
    ]
    assert [row["whole"] for row in rows(one, "rule")] == [0.8, 0.64, 0.512]


@pytest.mark.slow
def test_a_collapsed_layer_is_drawn_at_the_bottom_and_told_as_0(drawn):
    found, _ = drawn(["imp"], a=lambda level: 0 if level == 3 else 400)
    dots = rows(found["layers"], "point")
    assert [row["said"] for row in dots if row["short"] == "a"] == ["100 %", "100 %", "0 %"]
    tables = Tables()
    y = found["layers"].layers(tables, False)[0]["encoding"]["y"]
    assert y["scale"]["clamp"]
    assert 0 < y["scale"]["domain"][0] < 0.4


def test_levels_of_other_schedules_stand_at_the_nearest_density_or_nowhere():
    found = {"a": [0.8, 0.64, 0.512], "b": [0.72, 0.5, 0.1]}
    table = pd.DataFrame(
        [{"curve": c, "level": i + 1, "whole": d} for c, densities in found.items() for i, d in enumerate(densities)]
    )
    assert stops(table) == [0, 1, 2, 0, 2, None]


def test_cost_is_all_training_at_one_density_at_a_time_on_a_log_axis(drawn):
    found, _ = drawn(["imp"], extra=lambda level: {"search_steps": 2000 * level})
    one = found["cost"]
    assert one.stops == ["80 %", "64 %", "51.2 %"]
    assert [(row["stop"], row["total_steps"]) for row in rows(one, "point")] == [(0, 4000), (1, 6000), (2, 8000)]
    # To find it, with its own 2,000 steps, and the FLOPs of that, of 6e6 a step.
    assert one.heads[-3:] == ["search steps", "steps in all", "FLOPs in all"]
    assert one.cells[2][-3:] == ["4,000", "6,000", "3.60e+10"]
    layers = one.layers(Tables(), True)
    assert {layer["mark"]["type"] for layer in layers}.isdisjoint({"area", "line"})
    x = next(layer["encoding"]["x"] for layer in layers if layer["mark"]["type"] == "point")
    assert x["scale"]["type"] == "log"


def test_a_method_that_costs_nothing_to_find_is_beside_one_that_costs_much(drawn):
    """2,000 steps beside 8,000 are a third of the axis apart, wherever the origin is."""
    found, _ = drawn(extra=lambda level: {"search_steps": 0 if level < 2 else 6000})
    x = found["cost"].layers(Tables(), False)[1]["encoding"]["x"]
    assert x["scale"]["domain"] == [pytest.approx(1600), pytest.approx(10000)]
    assert x["axis"]["values"] == [2000, 5000, 10_000]


def test_the_costs_first_stop_is_the_sparsest_that_all_curves_have():
    table = pd.DataFrame({"curve": ["a", "a", "a", "b", "b"], "stop": [0, 1, 2, 0, 1]})
    assert shared(table) == 1
    assert shared(table[table["stop"] > 1]) == 2
    assert shared(pd.DataFrame({"curve": ["a", "b"], "stop": [0, 2]})) == 2


def test_names_are_beside_marks_where_there_is_room():
    """Three far from each other have theirs, on a side that has room; of nine on one spot few have."""
    x = {"field": "total_steps", "scale": {"domain": [1000, 100_000]}}
    y = {"scale": {"domain": [0.0, 1.0]}}

    def named(*spots):
        drawn = pd.DataFrame(spots, columns=["curve", "total_steps", "mean"])
        tables = Tables()
        found = spent._labels(drawn, x, y, scales({name: name for name in drawn["curve"]}), tables)
        return {row["curve"]: layer["mark"].get("align") for layer in found for row in tables[layer["data"]["name"]]}

    assert named(("imp", 10_000, 0.5), ("end", 99_000, 0.5), ("snip", 2000, 0.1)) == {
        "imp": "left",
        "snip": "left",
        "end": "right",
    }
    crowd = named(*[(f"curve{i}", 10_000 + i, 0.5 + i / 10_000) for i in range(9)])
    assert 0 < len(crowd) <= 4


def test_without_layers_or_costs_there_are_no_such_figures(tmp_path, write_run):
    write_run(tmp_path / "a", extra=lambda level: {"search_steps": None})
    drawn = panels.panels(findings.read([tmp_path]))
    assert [one.kind for one in drawn] == ["value", "early_stop_step", "relative"]


def test_equal_tables_are_kept_once(drawn):
    found, _ = drawn()
    spec = found["value"].live()
    names = [layer["data"]["name"] for layer in spec["layer"]]
    assert len(spec["datasets"]) == len(set(names)) == 3 < len(names)


def test_a_colour_is_a_name_on_a_page_and_a_value_in_a_file():
    looks = scales({"imp": "imp"})
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
        alt.VConcatChart.from_dict(json.loads(paint(panel.still([one, one], order).spec())))
    assert "Ringed: levels that diverged" in found["value"].caption


def test_nothing_is_drawn_relative_to_a_dense_network_that_diverged(drawn):
    found, _ = drawn(["imp"], extra=lambda level: {"diverged": level == 0})
    assert "relative" not in found
    assert "The dense network diverged." in found["value"].caption


def test_curves_that_lie_on_each_other_are_listed_and_both_seen(drawn):
    found, _ = drawn(["imp", "imp_rewind", "one_shot"], accuracy=lambda level: 0.7 - 0.01 * level)
    for kind in ("value", "early_stop_step", "relative"):
        one = found[kind]
        assert one.caption.endswith("Equal at every density: imp, imp_rewind, one_shot.")
        tables = Tables()
        layer = next(layer for layer in one.layers(tables, False) if layer["mark"]["type"] == "line")
        assert "strokeWidth" not in layer["mark"]
        assert layer["encoding"]["strokeWidth"]["field"] == "width"
        widths = {row["curve"]: row["width"] for row in tables[layer["data"]["name"]]}
        # The first of the legend is widest and first drawn.
        assert list(widths.values()) == [8.0, 5.0, 2.0]


def test_another_name_and_another_order_leave_each_curve_its_look():
    curves = {"imp": "imp", "one_shot": "one_shot", "rigl": "rigl"}
    named = {"RigL, 3 rounds": "rigl", "imp": "one_shot", "IMP": "imp"}

    def looks(of):
        found = scales(of)
        ranges = zip(*(found[channel]["scale"]["range"] for channel in ("color", "dash", "shape")), strict=True)
        return dict(zip(found["color"]["scale"]["domain"], map(str, ranges), strict=True))

    plain, other = looks(curves), looks(named)
    assert list(other) == list(named)
    assert other == {called: plain[own] for called, own in named.items()}
