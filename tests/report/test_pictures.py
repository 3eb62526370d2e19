"""Pictures of tickets show the tickets' own numbers, read back from the charts; and each of them can be drawn."""

import base64
import io

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from ltb.analysis import paired
from ltb.report.figures import pictures

MASK = torch.tensor([[True, False, False, True], [False, False, True, True]])


def table(chart):
    """The one table of a chart."""
    (rows,) = chart.to_dict()["datasets"].values()
    return rows


def pixels(chart):
    (image,) = table(chart)
    url = image["url"]
    assert url.startswith("data:image/png;base64,")
    return np.array(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))


@pytest.mark.parametrize(
    ("mask", "shown"),
    [
        (MASK, MASK),
        (MASK.T, MASK),  # the longer side lies across
        (MASK.reshape(2, 1, 2, 2), MASK),
        (torch.ones(3, 3, dtype=torch.bool), torch.ones(3, 3, dtype=torch.bool)),
    ],
)
def test_a_masks_picture_has_a_pixel_for_each_weight(mask, shown):
    assert (pixels(pictures.mask(mask)) == np.where(shown, pictures.KEPT, pictures.PRUNED)).all()


def test_a_masks_picture_says_how_much_is_kept_and_which_way_it_lies():
    chart = pictures.mask(MASK.T, "fc1.weight").to_dict()
    assert chart["title"] == {"text": "fc1.weight", "subtitle": "4 of 8 weights (50.0%)"}
    assert (chart["encoding"]["x"]["title"], chart["encoding"]["y"]["title"]) == ("unit", "input")
    assert (chart["width"], chart["height"]) == (32, 16)


def test_a_mask_of_one_dimension_has_no_picture():
    with pytest.raises(ValueError, match=r"^a mask of shape \(4,\): two dimensions or more have a picture$"):
        pictures.mask(MASK[0])


@pytest.mark.parametrize(
    ("shape", "kept"),
    [((4,), [[1, 0, 1, 2]]), ((1, 2, 2), [[1, 0], [1, 2]]), ((2, 1, 2), [[2, 2]])],
)
def test_what_each_input_keeps_is_laid_out_as_the_data_are(shape, kept):
    found = np.zeros_like(kept)
    for one in table(pictures.inputs(MASK, shape)):
        found[one["row"], one["column"]] = one["kept"]
    assert found.tolist() == kept


def test_inputs_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"^shape=\(3, 3\): has 9 entries, the mask is \(2, 4\)$"):
        pictures.inputs(MASK, (3, 3))


def test_weights_are_those_kept_in_shared_bins():
    before = torch.tensor([[1.0, 9.0, 9.0, 1.0], [9.0, 9.0, 2.0, 3.0]])  # 9 is what was pruned
    masks = {"a": MASK, "nothing": torch.zeros(2, 2, dtype=torch.bool)}
    none = torch.ones(2, 2)
    moments = {"before": {"a": before, "nothing": none}, "after": {"a": before - 1, "nothing": none}}
    rows = pd.DataFrame(table(pictures.weights(moments, masks)))
    assert set(rows["layer"]) == {"a"}
    assert rows.groupby("moment")["weights"].sum().to_dict() == {"before": 4, "after": 4}
    assert (rows["left"].min(), rows["right"].max()) == (0.0, 3.0)
    for moment, values in {"before": [1, 1, 2, 3], "after": [0, 0, 1, 2]}.items():
        its = rows[(rows["moment"] == moment) & (rows["weights"] > 0)]
        for value in set(values):
            last = its["right"] == rows["right"].max()  # the last bin holds its right end too
            holds = (its["left"] <= value + 1e-6) & ((value < its["right"] - 1e-6) | (last & (value <= its["right"])))
            assert its.loc[holds, "weights"].sum() == values.count(value)


def test_no_weight_kept_has_no_picture():
    with pytest.raises(ValueError, match=r"^no layer keeps a weight$"):
        pictures.weights({"before": {"a": torch.ones(2, 2)}}, {"a": torch.zeros(2, 2, dtype=torch.bool)})


def parts():
    """Two seeds of one curve; the second layer loses everything at the last level."""
    rows = []
    for seed, shift in ((0, 0.0), (1, 0.1)):
        for level, density in enumerate((1.0, 0.5, 0.25)):
            for layer, share in (("fc1.weight", density - shift * (level > 0)), ("fc2.weight", density * (level < 2))):
                rows.append({"curve": "imp", "seed": seed, "level": level, "density": density, "layer": layer})
                rows[-1]["layer_density"] = share
    return pd.DataFrame(rows)


def test_layers_are_means_over_seeds_and_a_layer_without_weights_has_no_point():
    drawn = {(one["layer"], one["level"]): one["layer_density"] for one in table(pictures.layers(parts()))}
    assert drawn == {
        ("fc1.weight", 0): 1.0, ("fc1.weight", 1): 0.45, ("fc1.weight", 2): 0.2, ("fc2.weight", 0): 1.0, ("fc2.weight", 1): 0.5,
    }  # fmt: skip


def compared(row):
    """Two methods that differ by a clear 10 points, and one by an unclear one, over three seeds."""
    values = {"imp": (0.70, 0.71, 0.72), "random": (0.60, 0.61, 0.621), "same": (0.72, 0.69, 0.73)}
    rows = [
        row(
            level,
            run_id=f"{method}-toy-s{seed}-a1b2c3",
            method=method,
            seed=seed,
            **{"test/accuracy": value if level else 0.75},
        )
        for method, its in values.items()
        for seed, value in enumerate(its)
        for level in (0, 1)
    ]
    frame = pd.DataFrame(rows)
    return paired.headline(frame.astype({"control": "str"}), reference="imp")


def test_differences_are_in_points_with_their_interval_and_verdict(row):
    headline = compared(row)
    drawn = {one["pair"]: one for one in table(pictures.differences(headline))}
    assert list(drawn) == ["random − imp  (n = 3)", "same − imp  (n = 3)"]
    for one, (_, wanted) in zip(drawn.values(), headline.iterrows(), strict=True):
        for name in ("low", "mean", "high"):
            assert one[name] == pytest.approx(100 * wanted[name], rel=1e-5)
    assert [one["decided"] for one in drawn.values()] == [True, False]


@pytest.mark.parametrize("name", ["mask", "inputs", "weights", "layers", "differences"])
def test_each_picture_is_drawn(name, row):
    weight = {"a": torch.linspace(-1, 1, 8).reshape(2, 4)}
    charts = {
        "mask": lambda: pictures.mask(MASK),
        "inputs": lambda: pictures.inputs(MASK, (2, 2)),
        "weights": lambda: pictures.weights({"before": weight, "after": weight}, {"a": MASK}),
        "layers": lambda: pictures.layers(parts()),
        "differences": lambda: pictures.differences(compared(row)),
    }
    file = io.BytesIO()
    charts[name]().save(file, format="png")
    image = np.array(Image.open(file).convert("L"))
    assert image.shape > (20, 20)
    assert (image < 128).sum() > 50  # ink
