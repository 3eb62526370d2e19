"""Which measures a command asks for, and where their numbers are kept."""

import pytest

from ltb.measures import Calibration, Overlap
from ltb.run.measuring import Asked, Joined, _failed


@pytest.mark.parametrize(
    ("given", "names", "settings"),
    [
        (["measure=overlap"], ["overlap"], ()),
        (["measure=overlap,bytes"], ["overlap", "bytes"], ()),
        (["measure=[overlap, bytes]"], ["overlap", "bytes"], ()),
        (["measure=overlap", "measure=bytes"], ["overlap", "bytes"], ()),
        (["measure=calibration", "measure.calibration.bins=3"], ["calibration"], ("measure.calibration.bins=3",)),
    ],
)
def test_what_is_asked(given, names, settings):
    asked = Asked.parse(given, None)
    assert (list(asked.files), asked.settings) == (names, settings)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ([], r"^measure=NAME is missing; there are bytes, calibration"),
        (["measure="], r"^measure=NAME is missing"),
        (["measure=[]"], r"^measure=NAME is missing"),
        (["measure=overlap,x"], r"^measure=x: there is no such measure; there are bytes"),
    ],
)
def test_what_is_no_measure_is_named(given, line):
    with pytest.raises(ValueError, match=line):
        Asked.parse(given, None)


def test_a_measure_of_the_users_own_is_found_in_their_folder(tmp_path):
    (tmp_path / "measure").mkdir()
    (tmp_path / "measure" / "mine.yaml").write_text("_target_: ltb.measures.Overlap\n")
    asked = Asked.parse(["measure=mine"], tmp_path)
    assert asked.measures({}) == [Overlap()]


def test_settings_are_those_of_the_command_within_the_runs_configuration():
    asked = Asked.parse(["measure=calibration", "measure.calibration.bins=3"], None)
    assert asked.measures({"seed": 1}) == [Calibration(bins=3)]
    with pytest.raises(ValueError, match=r"^measure.overlap: it was not asked for; measure=calibration$"):
        Asked.parse(["measure=calibration", "measure.overlap.x=1"], None).measures({})


class Shelf:
    """A store of some stages, by name."""

    def __init__(self, name, *stages):
        self.name, self.stages, self.put_there = name, stages, []

    def has(self, stage):
        return stage in self.stages

    def get(self, stage, again):
        return f"{stage} of {self.name}" if stage in self.stages else None

    def put(self, stage, result):
        self.put_there.append(stage)
        return result


def test_what_is_in_several_stores_is_read_where_it_is_and_what_is_new_is_kept_in_the_first():
    first, second = Shelf("first", "a"), Shelf("second", "a", "b")
    joined = Joined([first, second])
    assert [joined.has(stage) for stage in "abc"] == [True, True, False]
    assert [joined.get(stage, None) for stage in "abc"] == ["a of first", "b of second", None]
    joined.put("c", 1)
    assert (first.put_there, second.put_there) == (["c"], [])


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("level=1: no"), "ltb: run: level=1: no\n"),
        (KeyError("x"), "ltb: run: KeyError: 'x'\n"),
        (RuntimeError("two\nlines\x1b[2J"), "ltb: run: RuntimeError: two lines\\x1b[2J\n"),
    ],
)
def test_what_went_wrong_is_one_line(capsys, error, line):
    assert _failed("run", error) == 1
    assert capsys.readouterr().err == line
