"""Names that come from anywhere do nothing but show."""

import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st

from ltb.common.text import FORMULA, inert, printable, printable_lines

ANY = st.text(st.characters())  # surrogates too: bytes of a file's name that are not UTF-8


@given(ANY)
@example("\x1b[31m\r\n\x00\x7f\x9b\u202e\u2066\u200b\u2028\ufeff\udcff")
def test_what_is_printed_is_one_line_that_moves_no_cursor_and_can_be_encoded(text):
    shown = printable(text)
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert len(shown.splitlines()) <= 1
    shown.encode("utf-8")
    assert printable(shown) == shown


@given(ANY)
def test_lines_stay_lines(text):
    assert printable_lines(text).split("\n") == [printable(line) for line in text.split("\n")]


@given(st.text("abcäß漢0 =-+@[]/\\'\"\u00a0", min_size=1))
def test_what_shows_already_stays_as_it_is(text):
    assert printable(text) == text


@given(ANY)
def test_no_text_in_a_table_for_people_begins_as_a_formula(text):
    assert not inert(text).startswith(FORMULA)
    assert inert(text).removeprefix("'" if text.startswith(FORMULA) else "") == text
