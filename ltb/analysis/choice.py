"""The curves that a report is asked for: which ones, in which order, under which names.

A choice comes before all statistics: what is left out is in no comparison, no correction and no choice of a level, and is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import pandas as pd

from ltb.analysis import statistics


@dataclass(frozen=True)
class Choice:
    """Rows of the chosen curves alone, and what became of the others.

    rows: with `called`, the name of each one's curve; order: these names as they were asked for, () where none was; found: how
    many curves each task has in all; left_out: the names of those that were not chosen, by task.
    """

    rows: pd.DataFrame
    order: Sequence[str]
    found: Mapping[str, int]
    left_out: Mapping[str, Sequence[str]]

    @property
    def notes(self) -> list[str]:
        """A sentence a task on what was left out, and what that does to the statistics."""
        return [self._note(task, names) for task, names in self.left_out.items() if names]

    def _note(self, task: str, names: Sequence[str]) -> str:
        every, chosen = self.found[task], self.found[task] - len(names)
        if not chosen:
            return f"none of the {every} curves of {task} was chosen"
        family = (
            "; what is compared and corrected for together (Holm), the level and the reference are of the chosen ones alone: p "
            "means what it says only if these were chosen before any result was looked at"
        )
        return (
            f"{chosen} of {every} curves of {task} {'was' if chosen == 1 else 'were'} chosen, left out {_are(names)}"
            f"{family if chosen > 1 else ''}"
        )


def _are(names: Sequence[str]) -> str:
    return f"{'is' if len(names) == 1 else f'are {len(names)}:'} {', '.join(names)}"


def choose(rows: pd.DataFrame, asked: Sequence[str] = ()) -> Choice:
    """Return the rows (of `ledger.read`) of the curves that are `asked` for, each as CURVE or CURVE=NAME; all if none is.

    CURVE is a curve's name as reports have it (`statistics.name`; ` · ` may be typed as a hyphen), in each task that has it. Runs
    that `statistics.distinct` drops as copies are dropped. ValueError for a CURVE that is none, is asked for twice, or gets no
    name of its own.
    """
    if not asked or rows.empty:
        return Choice(rows, (), {}, {})
    runs = _runs(rows)
    names = _names(asked, sorted(set(runs["curve"])))
    own = runs.set_index("run_id")
    kept = rows[rows["run_id"].isin(own.index[own["curve"].isin(names)])]
    chosen = kept.assign(
        # With the label that tells runs of one seed apart, which may be the only one of them that is left.
        variant=kept["run_id"].map(own["variant"]).astype("str"),
        called=kept["run_id"].map(own["curve"]).map(names).astype("str"),
    )
    tasks = runs.groupby("task", sort=True)["curve"].agg(lambda curves: sorted(set(curves)))
    left_out = {str(task): [curve for curve in curves if curve not in names] for task, curves in tasks.items()}
    return Choice(
        chosen.reset_index(drop=True), list(names.values()), {str(k): len(v) for k, v in tasks.items()}, left_out
    )


def _runs(rows: pd.DataFrame) -> pd.DataFrame:
    """Return run_id, task, curve and variant of each run that has a part in its curve's means."""
    kept = ["run_id", "task", "curve", "variant"]
    known = statistics.named(statistics.distinct(rows)).drop_duplicates("run_id")[kept]
    # Several draws of a control are one run there, the first one's: the others belong to its curve.
    ends = rows.groupby("run_id", sort=False).last().reset_index()
    others = ends[~ends["run_id"].isin(known["run_id"]) & ends["draw"].notna()]
    first = ends.merge(known[["run_id", "curve", "variant"]].rename(columns={"variant": "label"}), on="run_id")
    drawn = others.merge(first, on=[*statistics.CURVE, "seed"], suffixes=("", "_first"))
    drawn = drawn[drawn["draw"] != drawn["draw_first"]].assign(variant=lambda table: table["label"])
    return pd.concat([known, drawn[kept]], ignore_index=True)


def _names(asked: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """Return the name of each curve that is asked for, in that order."""
    names: dict[str, str] = {}
    for text in asked:
        curve, name = _split(text, known)
        if curve in names:
            raise ValueError(f"curve={text!r}: {curve} is asked for twice")
        if not name.strip():
            raise ValueError(f"curve={text!r}: a name after the =")
        if name in names.values():
            raise ValueError(f"curve={text!r}: another curve is called {name}")
        names[curve] = name
    return names


def _split(text: str, known: Sequence[str]) -> tuple[str, str]:
    """Return the curve and the name of CURVE=NAME; the longest CURVE that there is, for its settings may hold a =."""
    heads = [text, *(text[:i] for i in range(len(text) - 1, -1, -1) if text[i] == "=")]
    for head in heads:
        if (curve := find(head, known)) is not None:
            return curve, text[len(head) + 1 :] if len(head) < len(text) else curve
    raise ValueError(f"curve={text!r}: no such curve; one of {', '.join(_nearest(heads, known))}")


def find(text: str, known: Iterable[str]) -> str | None:
    """Return the curve that is called so, or is with hyphens for dots; None if there is none.

    >>> find("imp-reinit", ["imp", "imp · reinit"])
    'imp · reinit'
    """
    known = list(known)
    return text if text in known else next((name for name in known if typed(name) == text), None)


def typed(name: str) -> str:
    """Return the name of a curve as a keyboard has it."""
    return name.replace(" · ", "-")


def _nearest(heads: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the curves, those first that are most like one of the texts."""

    def likeness(name: str) -> float:
        return max(SequenceMatcher(None, head, one).ratio() for head in heads for one in (name, typed(name)))

    return sorted(known, key=lambda name: (-likeness(name), name))
