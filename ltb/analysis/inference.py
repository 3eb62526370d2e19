"""The tests and intervals of a report, on whole columns: Student's paired t, Welch's t, Holm's correction, seeds needed.

Which of the two t tests counts is chosen before the results are looked at: `paired` unless a command says `welch`. Pairing by
seed gains where the two values of a seed rise and fall together (their correlation is reported), and loses degrees of freedom
where they do not: n − 1 instead of up to 2 (n − 1).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri, stdtr, stdtrit

from ltb.analysis.sparsest import LEAST
from ltb.analysis.statistics import CONFIDENCE

PAIRED, WELCH = TESTS = ("paired", "welch")
POWER, MOST = 0.80, 10_000  # of seeds_needed: the chance to decide, and the number above which it says infinite

Floats = NDArray[np.float64]


def check(test: str) -> None:
    """Raise ValueError for what is no test."""
    if test not in TESTS:
        raise ValueError(f"test={test}: one of {', '.join(TESTS)}")


def compared(table: pd.DataFrame, *, test: str) -> pd.DataFrame:
    """Return `table` with low, high and p by the `test`, p_paired, p_welch, correlation and test (its name).

    Each row is two samples of `n` values of the same seeds: mean and std of their differences, std_a and std_b of their own.
    low and high are the 95 % interval of the mean difference (NaN for n < 2), so that low is the one-sided 97.5 % bound too; p is
    two-sided. Without any spread the interval is a point and p is 0, or 1 if the difference is 0. The correlation over seeds
    is that of the two values; NaN where one of them has no spread, or n < 3.
    """
    check(test)
    n = table["n"].to_numpy(dtype="float64")
    mean, std, a, b = (table[name].to_numpy(dtype="float64") for name in ("mean", "std", "std_a", "std_b"))
    degrees = np.maximum(n - 1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = {PAIRED: std / np.sqrt(n), WELCH: np.sqrt((a**2 + b**2) / n)}
        # Welch (1947) and Satterthwaite, for two samples of one size.
        of_welch = degrees * (a**2 + b**2) ** 2 / (a**4 + b**4)
        freedom = {PAIRED: degrees, WELCH: np.where(errors[WELCH] > 0, of_welch, degrees)}
        correlation = np.clip((a**2 + b**2 - std**2) / (2 * a * b), -1, 1)
        p = {name: _two_sided(mean, errors[name], freedom[name]) for name in TESTS}
    half = stdtrit(freedom[test], 0.5 + CONFIDENCE / 2) * errors[test]
    return table.assign(
        low=mean - half,
        high=mean + half,
        p=p[test],
        p_paired=p[PAIRED],
        p_welch=p[WELCH],
        correlation=np.where((n >= LEAST) & (a > 0) & (b > 0), correlation, np.nan),
        test=test,
    )


def _two_sided(mean: Floats, error: Floats, degrees: Floats) -> Floats:
    t = np.where((error == 0) & (mean == 0), 0.0, np.abs(mean) / error)
    found: Floats = 2 * stdtr(degrees, -t)
    return found


def holm(p: pd.Series) -> Floats:
    """Return Holm's (1979) p-values: the k-th smallest of m times m − k + 1, not below the one before it, at most 1; NaN for NaN.

    >>> holm(pd.Series([0.01, 0.04, 0.03])).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p.to_numpy(), kind="stable")  # NaN last
    m = int(p.notna().sum())
    adjusted = np.full(len(p), np.nan)
    steps = p.to_numpy()[order[:m]] * np.arange(m, 0, -1)
    adjusted[order[:m]] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def spread(table: pd.DataFrame, *, test: str) -> pd.Series:
    """Return the standard deviation that the standard error of the mean difference is made of, times √n."""
    return table["std"] if test == PAIRED else (table["std_a"] ** 2 + table["std_b"] ** 2) ** 0.5


def seeds_needed(mean: pd.Series, std: pd.Series, *, alpha: float | pd.Series = 1 - CONFIDENCE) -> pd.Series:
    """Return how many seeds a two-sided paired t test at `alpha` needs to find a difference with a probability of 80 %.

    The least n ≥ 3 with |mean| √n / std ≥ t(1 − alpha / 2, n−1) + t(0.8, n−1). It takes the true difference and spread to be those
    that were observed: a guess made after looking, not a power analysis. NaN without a difference or a spread; infinite
    above 10 000.

    >>> seeds_needed(pd.Series([0.01, 0.0]), pd.Series([0.01, 0.01])).to_list()
    [10.0, nan]
    """
    some = (std > 0) & (mean != 0)
    ratio = (std.where(some) / mean.where(some).abs()).to_numpy(dtype="float64")
    tail = np.broadcast_to(1 - np.asarray(alpha, dtype="float64") / 2, ratio.shape)
    need = np.maximum(np.ceil(((ndtri(tail) + ndtri(POWER)) * ratio) ** 2), LEAST)
    # Normal quantiles give a lower bound: those of t are larger, by less the more seeds. Count up from there.
    need = np.where(need > MOST, np.inf, need)
    while True:
        degrees = np.where(np.isfinite(need), need - 1, 1.0)
        short = np.isfinite(need) & ((stdtrit(degrees, tail) + stdtrit(degrees, POWER)) * ratio > np.sqrt(need))
        if not short.any():
            return pd.Series(need, index=mean.index)
        need = need + short
