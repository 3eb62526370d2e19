"""Reading the measures of a run's finished levels beside the ledger, in long form: one number a line."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ltb.common import files
from ltb.common.errors import Damaged
from ltb.records import ledger
from ltb.records.schema import MEASURE, MEASURES


def read(folder: Path) -> pd.DataFrame:
    """Return the measures of the run in `folder`, columns and types of `schema.MEASURE`; no rows where it has none.

    `Damaged` names the file, and the line of what is not a level or a number.
    """
    path = folder / MEASURES
    if not files.there(path):
        return pd.DataFrame({name: pd.array([], dtype=kind) for name, kind in MEASURE.items()})  # type: ignore[call-overload]
    header, lines = files.rows(path, "table of measures")
    if header != list(MEASURE):
        raise Damaged(f"{path}: its header is not {','.join(MEASURE)}")
    ledger.check_widths(path, header, lines)
    found = pd.DataFrame(
        {name: ledger.column(path, name, [line[i] for line in lines], MEASURE[name]) for i, name in enumerate(header)}
    )
    again = found.duplicated(["run_id", "level", "stage", "measure", "quantity"]).to_numpy()
    if again.any():
        raise Damaged(f"{path}: line {2 + int(again.argmax())} measures what a line before it does")
    return found
