"""Random seeds as a function of what they are for, so that no draw depends on how many were made before it."""

from __future__ import annotations

import hashlib


def derive(seed: int, purpose: str, *index: int | str) -> int:
    """A 63-bit seed for one purpose, e.g. ``derive(0, "order", 3)`` for the batch order of epoch 3.

    A pure function of its arguments (SHA-256), the same on every machine and in every process.

    >>> derive(0, "order", 3) == derive(0, "order", 3), derive(0, "order", 3) == derive(0, "order", 4)
    (True, False)
    """
    text = "/".join([str(seed), purpose, *map(str, index)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
