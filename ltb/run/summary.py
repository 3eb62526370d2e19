"""The summary of a run, for W&B and the terminal: its dense network, and how far it can be pruned.

One run is one seed, which demonstrates nothing: what is demonstrated is of all finished runs beside it that differ in the seed
alone, at the time when this one ends.
"""

from __future__ import annotations

import glob
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ltb.analysis.sparsest import DENSE_DIVERGED, LEAST, STD, no_better_than_untrained, sparsest_matching
from ltb.common import files
from ltb.common.errors import Damaged
from ltb.common.text import printable
from ltb.records.schema import LEDGER, is_curve
from ltb.tracking.mirror import numbers

UNTRAINED = "dense_no_better_than_untrained"
FEW = f"fewer than {LEAST} seeds"


def of_seed(rows: Sequence[Mapping[str, Any]], metric: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dense network's value, the sparsest level that matches it in this one seed, and the tolerance.

    A level that diverged matches nothing; where the dense network did, a text that says so stands in the places of both. One
    seed has no standard deviation: where that is the tolerance, none matches. `UNTRAINED` says of a dense network that ended no
    better than it began what it has: what matches it need not be good.
    """
    name, tolerance = f"test/{metric['name']}", metric["tolerance"]
    valued = [row for row in rows if row.get(name) is not None]
    lost: dict[str, Any] = {"diverged_levels": sum(row["diverged"] for row in rows)}
    if not valued:
        return lost if rows else {}
    dense: Any = valued[0][name]
    values = [(row["sparsity"], row[name]) for row in valued if not row["diverged"]]
    found: Any = None
    if tolerance != STD:
        found = sparsest_matching(values, dense=dense, tolerance=tolerance, direction=metric["direction"])
    if valued[0]["diverged"]:
        dense = found = DENSE_DIVERGED
    elif worse := no_better_than_untrained(valued[0], metric["name"], metric["direction"]):
        lost = {UNTRAINED: worse, **lost}
    return {f"dense/{name}": dense, "sparsest_matching_sparsity": found, "matching_tolerance": tolerance, **lost}


def relative(rows: Sequence[Mapping[str, Any]], judge: tuple[str, str]) -> dict[str, float]:
    """Return by how much the last of a run's levels is better than its dense network, in the units of the metric of `judge`.

    `judge`: the metric and its direction. Above 0 is better, whichever that is; {} where one of the two has no finite value, or
    diverged.

    >>> dense, pruned = ({"test/error": value, "diverged": False} for value in (0.5, 0.75))
    >>> relative([dense, pruned], ("error", "min"))
    {'relative/error': -0.25}
    """
    metric, direction = judge
    ends = [rows[0], rows[-1]]
    dense, value = (row.get(f"test/{metric}") for row in ends)
    if any(row["diverged"] for row in ends) or not all(_finite(one) for one in (dense, value)):
        return {}
    return {f"relative/{metric}": (value - dense) * (1.0 if direction == "max" else -1.0) + 0.0}  # type: ignore[operator]


def _finite(value: Any) -> bool:
    return value is not None and math.isfinite(value)


def of_last(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the numbers that are no curve, as the last of a run's levels has them: its sizes and its cost. The seed is a setting.

    >>> of_last([{"level": 0, "seed": 1, "prunable": 100, "val/loss": 0.5, "task": "digits"}])
    {'level': 0, 'prunable': 100}
    """
    last = rows[-1] if rows else {}
    return {key: value for key, value in numbers(last).items() if key != "seed" and not is_curve(key)}


def demonstrated(folder: Path, seed: int) -> dict[str, Any]:
    """Return how far the runs that differ from that in `folder` in their seed alone are shown to match, and how many they are.

    demonstrated_matching_sparsity is 0 where no pruned level is, and a text where there are too few seeds or a file is damaged.
    """
    runs = [path for path in seeds(folder, seed) if _finished(path)]
    told = {"demonstrated_seeds": len(runs)}
    if len(runs) < LEAST:
        return {"demonstrated_matching_sparsity": FEW, **told}
    from ltb.analysis import matching, tolerances
    from ltb.records import ledger

    try:
        rows = ledger.read(runs)
        (tolerance,) = tolerances.of_tasks(rows).values()
        found = matching.table(rows, tolerance=tolerance.value)
    except (Damaged, OSError, ValueError) as error:
        return {"demonstrated_matching_sparsity": f"not known: {printable(error)}", **told}
    if len(found) != 1:  # curves that are not one, which a report says
        return {"demonstrated_matching_sparsity": "not known: the seeds are no one curve", **told}
    (one,) = found.to_dict("records")
    density = one["demonstrated_density"]
    return {
        "demonstrated_matching_sparsity": 0.0 if density != density else 1 - density,
        "demonstrated_seeds": one["n"],
    }


def lines(summary: Mapping[str, Any], *, pruned: bool = True) -> list[str]:
    """Return a run's summary as a terminal shows it: what is demonstrated, then what this one seed has; if levels are pruned.

    >>> print(lines({"demonstrated_matching_sparsity": FEW})[0])
    demonstrated to match dense: not known, fewer than 3 seeds
    >>> lines({"sparsest_matching_sparsity": 0.8, "matching_tolerance": 0.01})
    ['sparsest level within 0.01 of dense, in this seed: 80.00% removed']
    """
    said = []
    if pruned and "demonstrated_matching_sparsity" in summary:
        found = summary["demonstrated_matching_sparsity"]
        count = f" (n = {summary['demonstrated_seeds']})" if "demonstrated_seeds" in summary else ""
        told = (
            f"not known, {found}"
            if found == FEW
            else found
            if isinstance(found, str)
            else f"{found:.2%} removed{count}"
        )
        said.append(f"demonstrated to match dense: {told}")
    found = summary.get("sparsest_matching_sparsity")
    if pruned and found is not None:
        told = found if found == DENSE_DIVERGED else f"{found:.2%} removed"
        tolerance = summary["matching_tolerance"]
        within = "the tolerance" if tolerance == STD else f"{tolerance:g}"  # one seed has no standard deviation
        said.append(f"sparsest level within {within} of dense, in this seed: {told}")
    if UNTRAINED in summary:
        said.append(f"the dense network ends validation no better than untrained: {summary[UNTRAINED]}")
    return said


def seeds(folder: Path, seed: int) -> list[Path]:
    """Return the folder of a run and those beside it of the same settings and another seed, by their names.

    >>> seeds(Path("imp-toy-s0-a1b2c3"), 0)
    [PosixPath('imp-toy-s0-a1b2c3')]
    """
    head, _, settings = folder.name.rpartition(f"-s{seed}-")
    alike = folder.parent.glob(f"{glob.escape(head)}-s*-{glob.escape(settings[:6])}")
    of_seeds = re.compile(rf"{re.escape(head)}-s\d+-.*")
    others = sorted(path for path in alike if of_seeds.fullmatch(path.name) and f"-s{seed}-" not in path.name)
    return [folder, *others]


def _finished(folder: Path) -> bool:
    from ltb.records import ledger  # pandas: half a second of its import, spared until a run ends

    try:
        return files.there(folder / LEDGER) and ledger.status(folder).state == "complete"
    except Damaged:
        return False
