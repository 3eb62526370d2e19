"""A curve has one look, in whichever figure it is; no two of a figure look alike."""

from hypothesis import given
from hypothesis import strategies as st

from ltb.report.figures.palette import COLOURS, LOOKS, USUAL, styles

NAMES = st.lists(st.one_of(st.sampled_from(USUAL), st.text(max_size=12)), unique=True, max_size=LOOKS)


@given(NAMES, st.randoms())
def test_no_two_curves_of_a_figure_look_alike_and_their_order_decides_nothing(names, random):
    found = styles(names)
    assert len(set(map(str, found.values()))) == len(names)
    random.shuffle(names)
    assert styles(names) == found


@given(NAMES)
def test_the_usual_methods_look_the_same_in_every_figure(names):
    every = styles(USUAL)
    assert len({colour for colour, *_ in every.values()}) == len(COLOURS)
    assert {name: look for name, look in styles(names).items() if name in USUAL} == {
        name: every[name] for name in names if name in USUAL
    }


@given(NAMES)
def test_a_colour_is_shared_only_where_there_are_more_curves_than_colours(names):
    assert len({colour for colour, *_ in styles(names).values()}) == min(len(names), len(COLOURS))


def test_another_curve_keeps_its_look_where_nothing_stands_in_its_way():
    assert styles(["rigl"])["rigl"] == styles(["rigl", "zzz"])["rigl"]
