"""What `build` refuses before it calls anything, and what it makes."""

import re
from dataclasses import dataclass

import pytest
from torch.optim import SGD

from ltb.run.build import build

HERE = f"{__name__}."


@dataclass
class Box:
    """A small class with an argument of each kind."""

    size: int
    scale: float = 1.0
    name: str = "box"
    lid: bool = False
    sides: tuple[int, ...] | list[int] = ()
    inner: object = None
    limit: float | None = None

    def __post_init__(self):
        if self.size < 0:
            raise ValueError(f"box.size={self.size}:\n0 or more")
        if self.name == "broken":
            raise KeyError("a mistake\nof its own")


def box(**given):
    return {"box": {"_target_": f"{HERE}Box", **given}}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, None),
        ({"box": None}, None),
        ({"box": {}}, None),
        (box(size=1), Box(1)),
        (box(size=1, scale=2), Box(1, 2)),
        (box(size=1, scale=0.5, name="b", lid=True, sides=[1, 2], limit=None), Box(1, 0.5, "b", True, [1, 2])),
        (box(size=1, inner={"_target_": f"{HERE}Box", "size": 2}), Box(1, inner=Box(2))),
        (box(size=1, inner={"any": [1, "b"]}), Box(1, inner={"any": [1, "b"]})),
    ],
)
def test_what_is_made(config, expected):
    assert build(config, "box") == expected


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"box": 3}, "box=3: it must have a _target_, the class to make"),
        ({"box": "Box"}, "box='Box': it must have a _target_, the class to make"),
        ({"box": {"size": 1}}, "box={'size': 1}: it must have a _target_, the class to make"),
        (box(), "box: Box needs size"),
        (box(size="1"), "box.size='1': a whole number is wanted"),
        (box(size=1.5), "box.size=1.5: a whole number is wanted"),
        (box(size=True), "box.size=True: a whole number is wanted"),
        (box(size=None), "box.size=None: a whole number is wanted"),
        (box(size=1, scale="a"), "box.scale='a': a number is wanted"),
        (box(size=1, scale=True), "box.scale=True: a number is wanted"),
        (box(size=1, name=5), "box.name=5: a text is wanted"),
        (box(size=1, lid=1), "box.lid=1: true or false is wanted"),
        (box(size=1, sides=3), "box.sides=3: a list is wanted"),
        (box(size=1, limit="a"), "box.limit='a': a number or null is wanted"),
        (
            box(size=1, sise=2),
            "box.sise: Box has no such setting; it takes size, scale, name, lid, sides, inner, limit",
        ),
        (box(size=1, inner={"_target_": f"{HERE}Box", "size": "2"}), "box.inner.size='2': a whole number is wanted"),
        (box(size=1, inner=[{"_target_": f"{HERE}Box"}]), "box.inner[0]: Box needs size"),
        (box(size=-1), "box.size=-1: 0 or more"),
        (box(size=1, name="broken"), "box: 'a mistake\\nof its own'"),
    ],
)
def test_what_is_refused(config, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        build(config, "box")


@pytest.mark.parametrize("target", ["nowhere.Box", f"{HERE}Nope", "ltb.core.criteria.Nope"])
def test_a_class_that_is_not_there(target):
    with pytest.raises(ValueError, match=rf"^box\._target_={target}: .*"):
        build({"box": {"_target_": target}}, "box")


def test_a_partial_is_checked_before_its_first_call():
    optimizer = {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.1}
    made = build({"optimizer": optimizer}, "optimizer")
    assert (made.func, made.keywords) == (SGD, {"lr": 0.1})
    with pytest.raises(ValueError, match=r"^optimizer.momentom: SGD has no such setting; it takes .*momentum"):
        build({"optimizer": {**optimizer, "momentom": 0.9}}, "optimizer")


def test_what_is_given_is_not_missing():
    assert build(box(name="b"), "box", size=4) == Box(4, name="b")
