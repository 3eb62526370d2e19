"""The size, the heading and the legend of a figure in a file, from the file."""

import io
import xml.etree.ElementTree as ET

import pytest
from PIL import Image, ImageChops

from ltb.records import ledger
from ltb.report.figures import curves
from ltb.report.figures.sheet import Sheet


@pytest.fixture
def figure(tmp_path, write_run):
    def make(*methods, tasks=("toy",), order=()):
        for task in tasks:
            for method in methods:
                folder = tmp_path / f"{task}-{method}"
                write_run(folder, 4, task=task, method=method, run_id=f"{method}-{task}-s0-abc")
        return curves.figure(ledger.read([tmp_path]), order)

    return make


def texts(svg):
    return ["".join(node.itertext()) for node in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def ends(svg):
    """Width and height of an SVG."""
    root = ET.fromstring(svg)
    return float(root.get("width")), float(root.get("height"))


def ink(svg):
    """The box of all that is not white, in points."""
    image = Image.open(io.BytesIO(curves.pictures(svg, "x")["x.png"]))
    assert image.getextrema()[3] == (255, 255)  # the ground is everywhere
    box = ImageChops.difference(image.convert("RGB"), Image.new("RGB", image.size, "white")).getbbox()
    return [one / 2 for one in box]


@pytest.mark.parametrize("size", [(468, 300), (1000, 400), (320, 620)])
def test_a_figure_has_the_size_that_was_asked_for_and_nothing_is_cut_off(figure, size):
    svg = figure("imp", "one_shot").svg(Sheet(size))
    assert ends(svg) == size
    left, top, right, bottom = ink(svg)
    assert min(left, top) > 8
    assert right < size[0] - 8
    assert size[1] / 2 < bottom < size[1] - 8
    assert {"imp", "one_shot", "toy"} <= set(texts(svg))


def test_a_size_without_room_is_refused_with_one_that_has(figure):
    made = figure("imp")
    with pytest.raises(ValueError, match=r"^size=200x100: at least [\d.]+x[\d.]+ for the curves$") as refused:
        made.svg(Sheet((200, 100)))
    width, height = map(float, str(refused.value).split()[3].split("x"))
    assert ends(made.svg(Sheet((width, height)))) == (width, height)


@pytest.mark.parametrize(
    ("title", "tasks", "there", "not_there"),
    [
        (None, ("toy",), {"toy"}, set()),
        ("IMP & <b>co</b>", ("toy",), {"IMP & <b>co</b>"}, {"toy"}),
        ("A", ("toy", "other"), {"A · toy", "A · other"}, {"toy", "other"}),
        ("", ("toy",), {"imp"}, {"toy"}),
    ],
)
def test_the_heading(figure, title, tasks, there, not_there):
    found = set(texts(figure("imp", tasks=tasks).svg(Sheet(title=title))))
    assert there <= found
    assert not_there.isdisjoint(found)
    assert any("One seed" in text for text in found) == (title != "")


def test_the_caption_is_left_to_the_paper_where_a_size_is_asked_for(figure):
    assert not any("One seed" in text for text in texts(figure("imp").svg(Sheet((468, 300)))))


def test_the_legend_has_the_order_that_was_asked_for(figure):
    names = ["snip", "imp", "one_shot"]
    found = texts(figure(*sorted(names), order=names).svg())
    assert [text for text in found if text in names] == names


@pytest.mark.parametrize(("curves", "rows"), [(1, 1), (11, 1), (20, 2)])
def test_a_long_legend_is_below(figure, curves, rows):
    assert len(figure(*[f"method{i:02d}" for i in range(curves)]).spec()["vconcat"]) == rows


def test_a_legend_below_has_columns(figure):
    many = figure(*[f"method{i:02d}" for i in range(20)]).spec()
    places = many["datasets"][many["vconcat"][1]["layer"][0]["data"]["name"]]
    assert len({one["left"] for one in places}) > 1
    assert max(one["row"] for one in places) < 10
