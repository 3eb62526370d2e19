"""Texts that come from files and from the user, made fit to be shown: on a terminal, a page, a spreadsheet. Needs no torch."""

from __future__ import annotations

from unicodedata import category

# What a spreadsheet takes for the beginning of a formula (OWASP, CSV injection), full-width signs too.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def printable(text: object) -> str:
    r"""Return a text in one line that does nothing but show: what a terminal would act on is written as an escape.

    Those are control characters (ANSI escapes, line breaks), marks that turn the direction of writing or have no width, and
    bytes of a file's name that are not UTF-8.

    >>> printable("imp\x1b[2J\r\n")
    'imp\\x1b[2J\\r\\n'
    """
    return "".join(_escaped(c) if category(c)[0] == "C" or category(c) in ("Zl", "Zp") else c for c in str(text))


def printable_lines(text: object) -> str:
    """Return a text as `printable` does, with its line breaks: for tracebacks, and for pages, where they are spaces."""
    return "\n".join(map(printable, str(text).split("\n")))


def inert(text: str) -> str:
    """Return a text that a spreadsheet shows and does not compute: one that looks like a formula begins with an apostrophe.

    For tables made for people, which ltb does not read back; in those of runs there are no such names, see `check_inert`.

    >>> inert("=1+1"), inert("imp")
    ("'=1+1", 'imp')
    """
    return f"'{text}" if text.startswith(FORMULA) else text


def check_inert(key: str, name: str) -> None:
    """Raise ValueError for a name that would be a formula in the tables of a run's folder, which ltb reads back as they are."""
    if name.startswith(FORMULA):
        raise ValueError(f"{key}={name!r}: a name that begins with {name[0]!r} is a formula to spreadsheets")


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
