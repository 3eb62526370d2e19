"""``python -m ltb.store``: what the store of trained networks holds, whether it is whole, what can be freed; runs to and fro."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from ltb.common.arguments import Parser
from ltb.common.errors import Damaged
from ltb.common.text import printable
from ltb.store import archive, catalogue, references
from ltb.store.catalogue import Entry
from ltb.store.stage_files import STAGE, text


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
    gc.add_argument(
        "--removed",
        action="store_true",
        help="with --unreferenced: runs whose folders were removed need nothing; without it they may have been moved",
    )
    gc.add_argument("--yes", action="store_true", help="do not ask; without a terminal nothing is removed otherwise")
    export = commands.add_parser("export", help="a run with all that it needs, in one tar file")
    export.add_argument("run", type=Path, help="the run's folder")
    export.add_argument("file", type=Path, help="the file that is made")
    imported = commands.add_parser("import", help="put an exported run, checked, with its stages into a store")
    imported.add_argument("file", type=Path, help="what export made")
    imported.add_argument("--store", type=Path, dest="dir", default=argparse.SUPPRESS, help="the store, as --dir")
    imported.add_argument(
        "--runs", type=Path, help="where the run's folder goes (default: the folder that the store is in)"
    )
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
                print(text(_one(catalogue.entries(given.dir), given.key).metadata))
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
            case "export":
                stages, own = archive.pack(given.dir, given.run, given.file)
                print(
                    f"{given.file}: {stages} stages and {own} files of the run's own, {given.file.stat().st_size:,} bytes"
                )
            case "import":
                run, came, there = archive.unpack(given.dir, given.runs or given.dir.parent, given.file)
                print(printable(f"{run}: {came} stages came into {given.dir}, {there} were there"))
    except (ValueError, OSError) as error:
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
        ready = (e for e in waiting if (s := next(iter(e.parents), None)) not in keys or s in nodes)
        entry = next(ready, None)
        if entry is None:
            raise Damaged(f"{waiting[0].folder / STAGE}: it grew from a stage that grew from it")
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


def _free(given: argparse.Namespace, *, told: bool = True) -> tuple[list[Entry], list[Entry], list[Path]]:
    """Return the stages that can be removed, those that can lose their weights, and what kills left.

    Raises ValueError where it is not known what is in use. What stays for want of knowledge is `told`.
    """
    every = catalogue.entries(given.dir)
    old = [entry for entry in every if entry.age >= given.older]
    # Of a run that goes on, what is young: one that was killed says for ever that it is running.
    busy = catalogue.closure(every, references.running(given.dir))
    old = [entry for entry in old if entry.age >= 1 or entry.key not in busy]
    whole = _unneeded(given, every, old, told=told) if given.unreferenced else []
    weights = [entry for entry in old if given.weights and entry not in whole and catalogue.weights(entry)]
    return whole, weights, catalogue.leftovers(given.dir)


def _unneeded(given: argparse.Namespace, every: list[Entry], old: list[Entry], *, told: bool) -> list[Entry]:
    in_use = references.references(given.dir, given.runs or given.dir.parent, removed=given.removed)
    needed = catalogue.closure(every, in_use.needed)
    unneeded = [entry for entry in old if entry.key not in needed]
    whole = [entry for entry in unneeded if entry.metadata["run_id"] in in_use.known]
    stay = len(unneeded) - len(whole)
    lines = [f"{stay} stages stay: the runs that made them are not known here (--runs says where runs are)"] * (
        stay > 0
    )
    lines += [f"{folder} is not where it was, and its stages stay" for folder in in_use.lost]
    if not given.removed:
        lines += [f"{folder} was removed or moved, and its stages stay; --removed frees them" for folder in in_use.gone]
    if told and lines:
        print("\n".join(lines))
    return whole


def _gc(given: argparse.Namespace) -> int:
    whole, weights, left = _free(given)
    paths = [path for entry in whole for path in entry.folder.iterdir()]
    paths += [path for entry in weights for path in catalogue.weights(entry)]
    paths += [path for top in left for path in ([top] if top.is_file() else top.rglob("*"))]
    print(
        f"{len(whole)} stages that no run needs, the weights of {len(weights)} more, {len(left)} things that a kill left: "
        f"{catalogue.freed(paths):,} bytes come free (what a run's folder links to stays there)"
    )
    if not (whole or weights or left):
        return 0
    if not given.yes and not sys.stdin.isatty():
        print("nothing was removed: --yes does it")
        return 0
    if not given.yes and input("remove them? [y/N] ").strip().lower() not in ("y", "yes"):
        print("nothing was removed")
        return 0
    # A run may have begun while we asked: what it needs now stays.
    keys = {entry.key for entry in (*whole, *weights)}
    whole, weights, left = _free(given, told=False)
    for entry in weights:
        if entry.key in keys:
            catalogue.forget_weights(entry)
    for path in (*(entry.folder for entry in whole if entry.key in keys), *left):
        catalogue.remove(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
