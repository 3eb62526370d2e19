"""The parser of ltb's own commands: a mistake is one line on stderr and exit code 2, without the usage."""

from __future__ import annotations

import argparse
from typing import NoReturn

from ltb.common.text import printable


class Parser(argparse.ArgumentParser):
    """Do as argparse's does."""

    def error(self, message: str) -> NoReturn:
        """Called by argparse for arguments that do not fit."""
        self.exit(2, f"{self.prog}: {printable(message)} (--help says more)\n")
