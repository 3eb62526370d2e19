from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from ltb.records import ledger
from ltb.report.figures import curves, palette

METHODS = ["imp", "imp_rewind", "lr_rewind", "fine_tune", "one_shot", "random", "snip", "synflow"]


@pytest.fixture
def study(tmp_path, write_run):
    """Rows of `seeds` seeds of some methods, the later the worse."""

    def make(methods=("imp",), seeds=1, levels=4, control="none", **given):
        for m, method in enumerate(methods):
            for seed in range(seeds):
                write_run(
                    tmp_path / f"{given.get('task', 'toy')}-{method}-{control}-{seed}",
                    levels,
                    method=method,
                    control=control,
                    seed=seed,
                    run_id=f"{method}-{control}-{given.get('task', 'toy')}-s{seed}-abc",
                    accuracy=lambda level, m=m, seed=seed: 0.7 + 0.004 * seed - 0.01 * (m + 1) * level,
                    **given,
                )
        return ledger.read([tmp_path])

    return make


def layers(spec, kind):
    """All layers of a mark, with their rows."""
    found = []

    def visit(node):
        if isinstance(node, dict):
            if "mark" in node and node["mark"]["type"] == kind:
                found.append((node, spec["datasets"][node["data"]["name"]]))
            for value in node.values():
                visit(value)
        if isinstance(node, list):
            for value in node:
                visit(value)

    visit(spec)
    return found


def text(spec):
    return [" ".join([row["title"]["text"], *row["title"]["subtitle"]]) for row in _titled(spec)]


def _titled(spec):
    return [row if "title" in row else row["hconcat"][0] for row in spec["vconcat"]]


def test_the_density_axis_runs_from_100_percent_down_to_the_right(study):
    spec = curves.chart(study(levels=20)).to_dict()
    x = layers(spec, "line")[0][0]["encoding"]["x"]
    assert x["scale"]["type"] == "log"
    assert x["scale"]["reverse"] is True
    assert x["axis"]["format"] == "~%"
    assert x["axis"]["values"] == [0.02, 0.05, 0.1, 0.2, 0.5, 1.0]
    low, high = x["scale"]["domain"]
    assert 0 < low < 0.8**19 < 1 < high


def test_lines_are_means_and_points_are_seeds(study):
    rows = study(seeds=3)
    spec = curves.chart(rows).to_dict()
    _, means = layers(spec, "line")[0]
    assert [one["mean"] for one in means] == pytest.approx([0.704, 0.694, 0.684, 0.674])
    assert {one["n"] for one in means} == {3}
    seeds = next(
        data for layer, data in layers(spec, "point") if layer["encoding"].get("y", {}).get("field") == "value"
    )
    assert sorted(one["value"] for one in seeds) == pytest.approx(sorted(rows["test/accuracy"]))


@pytest.mark.parametrize(
    ("seeds", "said", "half"),
    [
        (1, "n = 1", None),
        (2, "Line: mean of n = 2 seeds. Band: minimum to maximum.", 0.002),
        (3, "Line: mean of n = 3 seeds. Band: 95 % t interval of the mean.", 4.302653 * 0.004 / 3**0.5),
    ],
)
def test_the_band_is_what_the_title_says(study, seeds, said, half):
    spec = curves.chart(study(seeds=seeds)).to_dict()
    assert said in text(spec)[0]
    drawn = layers(spec, "area")
    assert len(drawn) == (0 if half is None else 2)  # accuracy and the early-stop step
    bands = drawn[0][1] if drawn else []
    assert len(bands) == (0 if half is None else 4)
    for one in bands:
        assert (one["high"] - one["low"]) / 2 == pytest.approx(half, rel=1e-4)


def test_the_dense_band_is_mean_and_standard_deviation_over_seeds(study):
    spec = curves.chart(study(["imp", "one_shot"], seeds=3)).to_dict()
    (_, band), *others = layers(spec, "rect")
    assert not others  # in the accuracy panel only
    assert (band[0]["low"], band[0]["high"], band[0]["n"]) == (pytest.approx(0.7), pytest.approx(0.708), 3)
    assert "dense network, 70.4 ± 0.4 % (mean ± standard deviation, n = 3)" in text(spec)[0]


def test_colour_is_never_alone_and_the_legend_runs_from_best_to_worst(study):
    spec = curves.chart(study(METHODS, seeds=2)).to_dict()
    line = layers(spec, "line")[0][0]["encoding"]
    point = next(layer["encoding"] for layer, _ in layers(spec, "point"))
    assert line["color"]["scale"]["domain"] == METHODS
    ranges = [channel["scale"]["range"] for channel in (line["color"], line["strokeDash"], point["shape"])]
    colours, dashes, shapes = ([str(value) for value in values] for values in ranges)
    assert len(set(colours)) == 8
    assert len(set(dashes)) > 1
    assert len(set(zip(colours, dashes, shapes, strict=True))) == len(METHODS)
    entries = layers(spec, "text")[0][1]
    assert [one["curve"] for one in entries] == [*METHODS, "dense network"]


def test_a_curve_keeps_its_colour_when_its_rank_changes(study, tmp_path):
    rows = study(["a", "b"], seeds=2)

    def colours(rows):
        scale = layers(curves.chart(rows).to_dict(), "line")[0][0]["encoding"]["color"]["scale"]
        return scale["domain"], dict(zip(scale["domain"], scale["range"], strict=True))

    order, before = colours(rows)
    worse = rows.assign(
        **{"test/accuracy": rows["test/accuracy"].where(rows["method"] != "a", rows["test/accuracy"] - 0.3)}
    )
    worse.loc[worse["level"] == 0, "test/accuracy"] = rows.loc[rows["level"] == 0, "test/accuracy"]
    flipped, after = colours(worse)
    assert order == ["a", "b"]
    assert flipped == ["b", "a"]
    assert before == after


def test_a_control_has_a_curve_of_its_own_from_the_dense_network_on(study):
    study(seeds=2)
    rows = study(seeds=2, control="reinit")
    means = layers(curves.chart(rows).to_dict(), "line")[0][1]
    by_curve = {name: [one["level"] for one in means if one["curve"] == name] for name in ("imp", "imp · reinit")}
    assert by_curve == {"imp": [0, 1, 2, 3], "imp · reinit": [0, 1, 2, 3]}


@pytest.mark.slow
def test_each_task_has_its_row_and_a_run_of_the_dense_network_alone_is_no_curve(study):
    study(["imp"], task="first")
    study(["imp"], task="second")
    rows = study(["dense"], levels=1, task="second")
    spec = curves.chart(rows).to_dict()
    assert [title.split()[0] for title in text(spec)] == ["first", "second"]
    assert layers(spec, "line")[0][0]["encoding"]["color"]["scale"]["domain"] == ["imp"]


def test_a_regression_metric_is_drawn_in_its_own_units(study):
    metric = {"name": "mse", "direction": "min"}
    nothing = {"test/accuracy": None, "test/accuracy_at_early_stop": None, "early_stop_step": None}
    rows = study(["imp"], seeds=2, metric=metric, extra=lambda level: nothing | {"test/mse": 2.0 + level})
    spec = curves.chart(rows).to_dict()
    (line, means), *others = layers(spec, "line")
    assert not others  # no early stop was recorded: one panel
    assert line["encoding"]["y"]["title"] == "Test mse"
    assert line["encoding"]["y"]["axis"]["format"] == "~g"
    assert [one["mean"] for one in means] == [2.0, 3.0, 4.0, 5.0]
    assert "dense network, 2 ± 0 (" in text(spec)[0]


def test_no_value_to_draw_is_said(study):
    with pytest.raises(ValueError, match="no finished level to draw"):
        curves.chart(study(levels=0))


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_files_are_a_picture_and_a_vector_figure(tmp_path, study, seeds):
    files = curves.save(study(["imp", "one_shot"], seeds=seeds), tmp_path / "new" / "folder")
    assert [file.name for file in files] == ["curves.png", "curves.svg", "curves.pdf"]
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == [
        "curves.pdf",
        "curves.png",
        "curves.svg",
    ]
    with Image.open(files[0]) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape[1] > 1600
    assert (pixels[0, 0] == 255).all()
    for look, *_ in palette.styles(["imp", "one_shot"]).values():  # drawn, not only specified
        colour = palette.LIGHT[look.removeprefix("var(--").removesuffix(")")]
        wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(pixels.astype(int) - wanted).sum(axis=2) < 12).sum() > 200
    svg = ET.parse(files[1]).getroot()
    words = {node.text for node in svg.iter("{http://www.w3.org/2000/svg}text")}
    assert {"Test accuracy", "Weights remaining (log scale)", "toy", "100%", "50%", "imp", "one_shot"} <= words
    assert "href" not in files[1].read_text()


def test_what_a_person_typed_is_text_in_the_figure(tmp_path, study):
    name = '<script>alert(1)</script> & "quotes"'
    files = curves.save(study(["imp"], task="t", model=name).assign(task=name), tmp_path)
    svg = ET.parse(files[1]).getroot()
    assert name in {node.text for node in svg.iter("{http://www.w3.org/2000/svg}text")}
