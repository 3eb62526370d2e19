"""Run folders as ltb.train leaves them, for the tests of what reads them."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LEDGERS = runpy.run_path(str(Path(__file__).with_name("ledgers.py")))


@pytest.fixture
def write_run() -> Callable[..., Path]:
    return LEDGERS["write_run"]  # type: ignore[no-any-return]


@pytest.fixture
def row() -> Callable[..., dict[str, Any]]:
    return LEDGERS["row"]  # type: ignore[no-any-return]
