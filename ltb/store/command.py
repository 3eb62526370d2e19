"""``python -m ltb.store``: what the store of trained networks holds, whether it is whole, and what can be freed."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from ltb.core.arguments import Parser
from ltb.core.text import printable
from ltb.store import catalogue
from ltb.store.catalogue import Entry


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 something is damaged, 2 the command cannot be run."""
    parser = Parser(prog="python -m ltb.store", description=__doc__.split(": ", 1)[1])
    parser.add_argument("--dir", type=Path, default=Path("runs/store"), help="the store (default: runs/store)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("ls", help="every stage, oldest first")
    commands.add_parser("tree", help="who grew from whom")
    commands.add_parser("verify", help="hash everything again, and name what is damaged")
    show = commands.add_parser("show", help="all that is known of one stage")
    show.add_argument("key", help="its key, or the first letters of it")
    gc = commands.add_parser("gc", help="free space; says how much and asks first")
    gc.add_argument(
        "--unreferenced", action="store_true", help="stages that no run's ledger, and no stage of one, needs"
    )
    gc.add_argument(
        "--weights", action="store_true", help="trained weights; they are computed again when they are asked for"
    )
    gc.add_argument("--older", type=float, default=0.0, metavar="DAYS", help="only stages older than this")
    gc.add_argument("--runs", type=Path, help="where the runs are (default: the folder that the store is in)")
    gc.add_argument("--yes", action="store_true", help="do not ask")
    given = parser.parse_args(argv)
    # A pipe has no width: lines there are as long as they are.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 240)
    try:
        match given.command:
            case "ls":
                console.print(_table(catalogue.entries(given.dir)))
            case "tree":
                console.print(_tree(catalogue.entries(given.dir)))
            case "show":
                print(json.dumps(_one(catalogue.entries(given.dir), given.key).metadata, indent=2))
            case "verify":
                wrong = catalogue.verify(given.dir)
                print(
                    "\n".join(
                        [
                            *map(printable, wrong),
                            f"{len(catalogue.folders(given.dir))} stages, {len(wrong)} files damaged",
                        ]
                    )
                )
                return 1 if wrong else 0
            case "gc":
                return _gc(given)
    except ValueError as error:
        print(f"ltb: {printable(error)}", file=sys.stderr)
        return 2
    return 0


def _table(found: list[Entry]) -> Table:
    table = Table("key", "stage", "task", "seed", "density", "test", "bytes", "made by", box=None)
    told = catalogue.measured(found)
    for entry in found:
        made = entry.metadata["provenance"]
        cells = [entry.key, entry.metadata["label"], made.get("task", ""), made.get("seed", "")]
        cells += [f"{entry.density:.2%}" if entry.values is None else "", told.get(entry.key, "")]
        table.add_row(*(_text(cell) for cell in (*cells, f"{entry.bytes:,}", entry.metadata["run_id"])))
    return table


def _tree(found: list[Entry]) -> Tree:
    """Return networks below their sources, with the names of their measures; the others below their task and seed."""
    networks = [entry for entry in found if entry.values is None]
    root = Tree(f"{len(found)} stages")
    nodes: dict[str, Tree] = {}
    told, measures = catalogue.measured(found), _measures(found)
    # A source is older than what grew from it, but clocks jump: go by parents, not by age.
    waiting = list(networks)
    keys = {entry.key for entry in networks}
    while waiting:
        entry = next(e for e in waiting if (s := next(iter(e.parents), None)) not in keys or s in nodes)
        waiting.remove(entry)
        made = entry.metadata["provenance"]
        place = f"{made.get('task', '?')}, seed {made.get('seed', '?')}"
        source = next(iter(entry.parents), None)
        if source not in nodes and place not in nodes:
            nodes[place] = root.add(_text(place))
        parent = nodes[source] if source in nodes else nodes[place]
        named = [entry.metadata["label"], f"{entry.density:.2%}", told.get(entry.key, ""), entry.key[:8]]
        named += [f"({', '.join(measures[entry.key])})"] if entry.key in measures else []
        nodes[entry.key] = parent.add(_text("  ".join(filter(None, named))))
    return root


def _text(told: object) -> Text:
    """Text that rich shows as it is: what stages say of themselves is neither markup nor anything for a terminal to do."""
    return Text(printable(told))


def _measures(found: list[Entry]) -> dict[str, list[str]]:
    measures: dict[str, list[str]] = {}
    for entry in found:
        for parent in entry.parents if entry.values is not None else ():
            measures.setdefault(parent, []).append(entry.metadata["label"])
    return measures


def _one(found: list[Entry], key: str) -> Entry:
    matching = [entry for entry in found if entry.key.startswith(key)]
    if len(matching) != 1:
        raise ValueError(f"{key}: {len(matching)} of {len(found)} stages have a key that begins so")
    return matching[0]


def _gc(given: argparse.Namespace) -> int:
    found = [entry for entry in catalogue.entries(given.dir) if entry.age >= given.older]
    needed = catalogue.referred(catalogue.entries(given.dir), given.runs or given.dir.parent)
    whole = [entry for entry in found if given.unreferenced and entry.key not in needed]
    weights = [e for e in found if given.weights and e not in whole and catalogue.weights(e)]
    left = catalogue.leftovers(given.dir)
    files = [path for entry in whole for path in entry.folder.iterdir()] + [
        path for e in weights for path in catalogue.weights(e)
    ]
    files += [path for top in left for path in ([top] if top.is_file() else top.rglob("*"))]
    print(
        f"{len(whole)} stages that no run needs, the weights of {len(weights)} more, {len(left)} things that a kill left: "
        f"{catalogue.freed(files):,} bytes come free (what a run's folder links to stays there)"
    )
    if not (whole or weights or left):
        return 0
    if not given.yes and input("remove them? [y/N] ").strip().lower() not in ("y", "yes"):
        print("nothing was removed")
        return 0
    for entry in weights:
        catalogue.forget_weights(entry)
    for path in (*(entry.folder for entry in whole), *left):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
