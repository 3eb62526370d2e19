"""Errors that are the user's to mend: each is one line that names the setting, its value and what is allowed."""

from __future__ import annotations


class Unavailable(ValueError):
    """Something outside the configuration (a dataset, a package, a folder) that cannot be had; the text says what to do."""


class Damaged(ValueError):
    """A file that does not hold what it must; the text names the file. It is neither used nor deleted."""


class Diverged(ValueError):
    """A level whose loss is NaN or infinite, in a run that was to end there."""


class NotKept(ValueError):
    """A network that would have to be trained, asked of what trains nothing."""
