"""What `build` refuses before it calls anything, and what it makes."""

import re
from dataclasses import dataclass

import pytest
import torch
from torch.optim import SGD

from ltb.models.initialisers import GlorotNormal, Initialiser
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
        (
            {"box": {"size": 1}},
            "box={'size': 1}: it must have a _target_, the class to make; box=none takes no settings",
        ),
        (box(), "box: Box needs size"),
        (box(size="1"), "box.size='1': a whole number"),
        (box(size=1.5), "box.size=1.5: a whole number"),
        (box(size=True), "box.size=True: a whole number"),
        (box(size=None), "box.size=None: a whole number"),
        (box(size=1, scale="a"), "box.scale='a': a number"),
        (box(size=1, scale=True), "box.scale=True: a number"),
        (box(size=1, name=5), "box.name=5: a text"),
        (box(size=1, lid=1), "box.lid=1: true or false"),
        (box(size=1, sides=3), "box.sides=3: a list of whole numbers"),
        (box(size=1, limit="a"), "box.limit='a': a number or null"),
        (box(size=1, sise=2), "box.sise=2: Box has no such setting; the nearest is size"),
        (
            box(size=1, qqq=2),
            "box.qqq=2: Box has no such setting; there are size, scale, name, lid, sides, inner, limit",
        ),
        (box(size=1, scale=float("nan")), "box.scale=nan: a number"),
        (box(size=1, inner=float("inf")), "box.inner=inf: a finite value"),
        (box(size=1, inner={"any": [float("inf")]}), "box.inner.any[0]=inf: a finite value"),
        (
            box(size=1, _args_=[2]),
            "box._args_=[2]: Box has no such setting; there are size, scale, name, lid, sides, inner, limit",
        ),
        (box(size=1, _partial_=3), "box._partial_=3: true or false"),
        (box(size=1, inner={"_target_": f"{HERE}Box", "size": "2"}), "box.inner.size='2': a whole number"),
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
    with pytest.raises(ValueError, match=r"^optimizer.momentom=0.9: SGD has no such setting; the nearest is momentum$"):
        build({"optimizer": {**optimizer, "momentom": 0.9}}, "optimizer")


def test_a_partial_names_its_section_when_it_is_called():
    made = build({"optimizer": {"_target_": "torch.optim.SGD", "_partial_": True, "lr": -1.0}}, "optimizer")
    with pytest.raises(ValueError, match=r"^optimizer: Invalid learning rate: -1.0$"):
        made([torch.zeros(1, requires_grad=True)])


@dataclass(frozen=True)
class Pair:
    """Two lists, of which ltb knows that they are hashed."""

    sides: list
    inner: Initialiser | None = None


def test_a_partial_function_of_ones_own_keeps_what_it_binds(tmp_path, monkeypatch):
    (tmp_path / "bound.py").write_text(
        "import functools\nimport torch\n\nSmall = functools.partial(torch.nn.Linear, 3, bias=False)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    made = build({"model": {"_target_": "bound.Small", "out_features": 2}}, "model")
    assert made.weight.shape == (2, 3)
    assert made.bias is None


def test_lists_of_a_frozen_dataclass_are_tuples():
    made = build({"pair": {"_target_": f"{HERE}Pair", "sides": [1, [2, 3]]}}, "pair")
    assert (made, hash(made) is None) == (Pair((1, (2, 3))), False)


def test_what_a_section_makes_is_what_is_wanted():
    there = {"_target_": f"{HERE}Pair", "sides": [], "inner": {"_target_": "ltb.models.initialisers.GlorotNormal"}}
    assert build({"pair": there}, "pair").inner == GlorotNormal()
    wrong = {"_target_": f"{HERE}Box", "size": 1}
    said = f"pair.inner._target_={HERE}Box: a section with a _target_ that makes Initialiser or null"
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        build({"pair": {**there, "inner": wrong}}, "pair")
    with pytest.raises(ValueError, match="a section with a _target_ that makes Box"):
        build({"pair": there}, "pair", Box)


def test_what_makes_something_makes_it_once():
    """A second one would draw other numbers."""
    made.clear()
    build({"box": {"_target_": f"{HERE}Choosy", "inner": {"_target_": f"{HERE}Noted"}}}, "box")
    assert len(made) == 1


made = []


class Noted(Box):
    def __init__(self):
        made.append(self)


class Choosy:
    def __init__(self, inner: Noted | Box | str | None = None):
        pass


def test_an_error_is_told_by_the_section_that_was_written():
    """module.network is ${model}."""
    model = {"_target_": f"{HERE}Box", "size": 1, "name": "broken"}
    with pytest.raises(ValueError, match=r"^model: 'a mistake"):
        build({"model": model, "module": {"_target_": f"{HERE}Choosy", "inner": model}}, "module")
