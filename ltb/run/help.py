"""``--help`` with the comments of the configuration's files beside the settings, which Hydra leaves out."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

LINE = re.compile(r"^( *)([\w@.-]+):(?: |$)(.*)$")
COMMENT = re.compile(r"(?:^|\s)#\s+(.*)$")
SETTINGS = "== Settings"
WIDTH = 40  # a column from which comments stand, where lines are shorter

Comments = Mapping[tuple[str, ...], str]


def annotated(text: str, folders: Iterable[Path]) -> str:
    """Return Hydra's help with, beside each setting, what its file in one of the `folders` says of it."""
    head, found, settings = text.partition(SETTINGS)
    folders = [folder for folder in folders if folder.is_dir()]
    return head + found + "\n".join(_lines(settings.split("\n"), folders))


@contextmanager
def commented(arguments: Sequence[str], folders: Iterable[Path]) -> Iterator[None]:
    """Let what Hydra prints for ``--help`` be `annotated`."""
    if not {"--help", "-h"} & {*arguments}:
        yield
        return
    shown = io.StringIO()
    try:
        with redirect_stdout(shown):
            yield
    finally:  # Hydra exits
        print(annotated(shown.getvalue(), folders), end="", flush=True)


def _lines(lines: list[str], folders: list[Path]) -> Iterable[str]:
    known: dict[tuple[str, ...], str] = {}
    for folder in reversed(folders):
        known |= comments(folder / "train.yaml")
    for path, line, following in _paths(lines):
        if len(path) == 1:
            target = following.strip() if following.strip().startswith("_target_:") else ""
            known |= {(*path, *key): said for key, said in _of_section(path[0], target, folders).items()}
        said = known.get(path, "") if path else ""
        yield f"{line:<{WIDTH}} # {said}" if said else line


def _paths(lines: list[str]) -> Iterable[tuple[tuple[str, ...], str, str]]:
    """Yield each line with the path of the key that it has, () for none, and the line after it."""
    stack: list[tuple[int, str]] = []
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        match = LINE.match(line)
        if not match:
            yield (), line, following
            continue
        indent = len(match[1])
        stack = [(depth, key) for depth, key in stack if depth < indent] + [(indent, match[2])]
        yield tuple(key for _, key in stack), line, following


def _of_section(group: str, target: str, folders: list[Path]) -> Comments:
    """Return the comments of the option of a group that makes `target`; of all options where that says nothing."""
    files = [path for folder in folders for path in sorted((folder / group).glob("*.yaml"))]
    for path in files:
        if target and target in path.read_text(encoding="utf-8").split("\n"):
            return comments(path)
    return {} if target else {key: said for path in reversed(files) for key, said in comments(path).items()}


def comments(path: Path) -> Comments:
    """Return what a file of the configuration says beside its keys, by their paths."""
    if not path.is_file():
        return {}
    found = {}
    for key, line, _ in _paths(path.read_text(encoding="utf-8").split("\n")):
        said = COMMENT.search(line)
        if key and said:
            found[key] = said[1]
    return found
