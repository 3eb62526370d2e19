"""Optional packages: what asks for one that is not installed says in one line how to install it."""

from __future__ import annotations

from importlib.util import find_spec


def check(wanted_by: str, extra: str, *packages: str) -> None:
    """Raise ValueError, which names `wanted_by` and the `extra` of ltb that has them, where one of `packages` is not installed."""
    absent = [package for package in packages if find_spec(package) is None]
    if absent:
        raise ValueError(f"{wanted_by} needs {', '.join(absent)}: pip install 'ltb[{extra}]'")
