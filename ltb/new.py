"""``python -m ltb.new FOLDER``: a small project of your own that runs as it is, to be changed line by line.

Exit codes: 0 done, 2 it cannot be written.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from ltb.common.arguments import Parser
from ltb.common.text import printable

IGNORED = shutil.ignore_patterns("__pycache__", "runs", "report", ".*")


def templates() -> Path:
    """Return the folder of the templates, one folder a kind: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    return next(folder for folder in (package / "template", package.parent / "template") if folder.is_dir())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    kinds = sorted(folder.name for folder in templates().iterdir() if folder.is_dir())
    parser = Parser(prog="python -m ltb.new", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "folder", metavar="FOLDER", type=Path, help="the folder to write; it must not be there, or be empty"
    )
    parser.add_argument(
        "--kind", choices=kinds, default="classification", help="what is learned; default: classification"
    )
    given = parser.parse_args(argv)
    try:
        if given.folder.exists() and (not given.folder.is_dir() or any(given.folder.iterdir())):
            raise ValueError(f"{given.folder}: it is there already, and not empty")
        shutil.copytree(templates() / given.kind, given.folder, ignore=IGNORED, dirs_exist_ok=True)
    except (ValueError, OSError, shutil.Error) as error:
        print(f"ltb: {printable(error)}", file=sys.stderr)
        return 2
    page = (given.folder / "README.md").read_text(encoding="utf-8")
    commands = [line for line in page.splitlines() if line.startswith("    python")]
    print(printable(f"{given.folder}: a project of your own; its README.md goes on from here"))
    print("\n".join(["", printable(f"    cd {given.folder}"), *commands]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
