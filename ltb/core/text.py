"""Texts that come from files and from the user, made fit to be shown. Needs no torch."""

from __future__ import annotations


def printable(text: object) -> str:
    r"""Return a text in one line that does nothing but show: what a terminal would act on is written as an escape.

    Those are the characters that `str.isprintable` says no to: control characters (ANSI escapes, line breaks), marks that turn
    the direction of writing, characters of no width, bytes of a file's name that are not UTF-8.

    >>> printable("imp\x1b[2J\r\n")
    'imp\\x1b[2J\\r\\n'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text))
