"""What the studies here share: differences paired by seed, with 95 % t intervals and Holm's correction; tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

LEAST = 3  # seeds for a verdict


def difference(name: str, a: pd.Series, b: pd.Series) -> dict[str, object]:
    """Return n, mean, low, high and p (two-sided paired t) of a − b, two columns by seed, over the seeds that both have."""
    values = (a - b).dropna().to_numpy()
    n = len(values)
    if n < 2:
        return {
            "comparison": name,
            "n": n,
            "mean": values.mean() if n else np.nan,
            "low": np.nan,
            "high": np.nan,
            "p": np.nan,
        }
    mean, error = values.mean(), values.std(ddof=1) / np.sqrt(n)
    half = stdtrit(n - 1, 0.975) * error
    p = 2 * stdtr(n - 1, -abs(mean) / error) if error else float(mean == 0)
    return {"comparison": name, "n": n, "mean": mean, "low": mean - half, "high": mean + half, "p": p}


def family(comparisons: Iterable[dict[str, object]]) -> pd.DataFrame:
    """Return the comparisons of one family with p_holm (Holm 1979) and a verdict: higher, lower or undecided, by p_holm < 0.05."""
    table = pd.DataFrame(comparisons)
    p = table["p"].where(table["n"] >= LEAST)
    order, m = np.argsort(p.to_numpy(), kind="stable"), int(p.notna().sum())
    adjusted = np.full(len(p), np.nan)
    adjusted[order[:m]] = np.minimum(np.maximum.accumulate(p.to_numpy()[order[:m]] * np.arange(m, 0, -1)), 1)
    sign = np.where(table["mean"] > 0, "higher", "lower")
    return table.assign(p_holm=adjusted, verdict=np.where(adjusted < 0.05, sign, "undecided"))


def markdown(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a table of texts."""
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, ["---"] * len(header), *lines])


def shown(table: pd.DataFrame) -> str:
    """Return a family as a table; the values are fractions and are shown in points of a hundred."""
    return markdown(
        ["difference", "points", "95 % interval", "n", "p (Holm)", "verdict"],
        [
            [
                str(row["comparison"]),
                f"{100 * row['mean']:+.1f}",
                f"{100 * row['low']:+.1f} to {100 * row['high']:+.1f}",
                str(row["n"]),
                f"{row['p_holm']:.3g}",
                str(row["verdict"]),
            ]
            for _, row in table.iterrows()
        ],
    )


def spread(values: pd.Series) -> str:
    """Return mean ± sample standard deviation, of fractions, in percent."""
    return f"{100 * values.mean():.1f} ± {100 * values.std():.1f}" if len(values) else "–"
