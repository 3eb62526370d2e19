"""Accuracies and differences with intervals over seeds and test examples, from which examples each level classifies right.

An interval over seeds takes the test set as given, and says nothing of other examples; here both are drawn: seeds and
examples are crossed, for every seed is tested on the same ones. A hierarchical bootstrap would draw both anew many times; the
variance that it estimates is at hand in closed form, from the two-way analysis of variance, and few seeds ask for a t
quantile, which its percentiles lack.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from ltb.analysis import statistics
from ltb.common import files
from ltb.common.errors import Damaged
from ltb.records.schema import measured_file

MEASURE = "correctness"
DENSE = "dense"  # what is subtracted: the run's own dense network
COLUMNS = [
    *("task", "quantity", "a", "b", "level", "density", "n", "examples"),
    *("mean", "low", "high", "low_examples", "high_examples"),
]
Bits = NDArray[np.bool_]


def table(rows: pd.DataFrame, headline: pd.DataFrame) -> pd.DataFrame:
    """Return intervals over seeds, and over seeds and examples, for the runs of `rows` that have `measure=correctness`.

    `rows` are of `ledger.read`. A row per curve and level for its accuracy (b is ""), one for its difference to the runs' own
    dense networks (b is "dense"), one for each comparison of the `headline` (of `paired.headline`; b is the
    reference): a − b, in the accuracy of the test split.
    Columns: task, quantity (test/accuracy), a, b, level and density (of a, means over seeds), n (seeds), examples, mean, low
    and high (95 % t over seeds, paired), low_examples, high_examples (95 % over both, see `interval`); NaN for one seed.
    Levels that diverged are left out. `Damaged` names a file that is none.
    """
    levels = statistics.named(statistics.distinct(rows))
    levels = levels[~levels["diverged"] & (levels["folder"] != "")]
    found = {folder: Path(str(folder)) / measured_file(MEASURE, 0).parent for folder in levels["folder"].unique()}
    levels = levels[levels["folder"].map({folder: files.there(path) for folder, path in found.items()}).astype("bool")]
    bits = {
        (str(task), str(curve), int(level), int(seed)): read(path)
        for task, curve, level, seed, folder in zip(
            *(levels[name] for name in ("task", "curve", "level", "seed", "folder")), strict=True
        )
        if files.there(path := Path(str(folder)) / measured_file(MEASURE, int(level)))
    }
    if not bits:
        return pd.DataFrame(columns=COLUMNS)
    density = levels.groupby(["task", "curve", "level"])["density"].mean()
    seeds: dict[tuple[str, str, int], dict[int, Bits]] = {}
    for (task, curve, level, seed), right in bits.items():
        seeds.setdefault((task, curve, level), {})[seed] = right
    told = []
    for (task, curve, level), its in sorted(seeds.items()):
        place = {"task": task, "a": curve, "level": level, "density": density[task, curve, level]}
        told.append(place | {"b": ""} | _told(its, {}))
        dense = seeds.get((task, curve, 0), {})
        told += [place | {"b": DENSE} | _told(its, dense)] if level and its.keys() & dense.keys() else []
    for one in headline.to_dict("records"):
        a, b = (seeds.get((one["task"], one[side], one[f"level_{side}"]), {}) for side in "ab")
        place = {"task": one["task"], "a": one["a"], "level": one["level_a"], "density": one["density_a"]}
        told += [place | {"b": one["b"]} | _told(a, b)] if a.keys() & b.keys() else []
    return pd.DataFrame(told).assign(quantity="test/accuracy")[COLUMNS]


def _told(a: Mapping[int, Bits], b: Mapping[int, Bits]) -> dict[str, Any]:
    """Return the intervals of a − b over the seeds of both, or of a alone where b is empty."""
    shared = [seed for seed in a if seed in b] if b else list(a)
    right = _crossed(a[seed] for seed in shared).astype("float32")
    if b:
        right -= _crossed(b[seed] for seed in shared)
    n, examples = right.shape
    return {"n": n, "examples": examples, **interval(right)}


def _crossed(each: Iterable[Bits]) -> Bits:
    every = list(each)
    if len({len(one) for one in every}) > 1:
        raise ValueError("measure=correctness: the seeds of a curve were tested on different numbers of examples")
    return np.stack(every)


def interval(values: NDArray[Any]) -> dict[str, float]:
    """Return the mean of (seeds, examples), its 95 % interval over seeds, and that over seeds and examples, both crossed at random.

    The variance of the mean is (MS_seeds + max(MS_examples − MS_rest, 0)) / (n m), with the mean squares of a two-way analysis of
    variance without replication; its degrees of freedom are Satterthwaite's (1946). No interval is narrower than that over seeds.
    """
    n, m = values.shape
    mean = float(values.mean(dtype="float64"))
    if n < 2 or m < 2:
        return {"mean": mean, **dict.fromkeys(("low", "high", "low_examples", "high_examples"), np.nan)}
    by_seed, by_example = (values.mean(axis, dtype="float64") - mean for axis in (1, 0))
    all_squares = float((values.astype("float64") ** 2).sum()) - n * m * mean**2
    seeds, examples = m * float(by_seed @ by_seed), n * float(by_example @ by_example)
    rest = max(all_squares - seeds - examples, 0.0) / ((n - 1) * (m - 1))
    seeds, examples = seeds / (n - 1), examples / (m - 1)
    drawn = max(examples - rest, 0.0)
    parts = seeds**2 / (n - 1) + (examples**2 / (m - 1) + rest**2 / ((n - 1) * (m - 1)) if drawn else 0.0)
    freedom = (seeds + drawn) ** 2 / parts if parts else 1.0
    tail = 0.5 + statistics.CONFIDENCE / 2
    alone = stdtrit(n - 1, tail) * np.sqrt(seeds / (n * m))
    both = max(stdtrit(freedom, tail) * np.sqrt((seeds + drawn) / (n * m)), alone)
    ends = {"low": mean - alone, "high": mean + alone, "low_examples": mean - both, "high_examples": mean + both}
    return {"mean": mean, **{name: float(end) for name, end in ends.items()}}


def read(path: Path) -> Bits:
    """Return which examples are right, from the file that a level of a run has of `measure=correctness`."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    content = files.read(path, "measure's tensors")
    try:
        tensors = load(content)
        (count,) = tensors["examples"].tolist()
        packed = tensors["correct"]
        if packed.dtype != np.uint8 or packed.shape != (-(-count // 8),):
            raise ValueError(f"{packed.shape} bytes for {count} examples")
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise Damaged(f"{path}: not a table of right and wrong examples ({str(error).splitlines()[0]})") from None
    return np.unpackbits(packed, count=count).astype("bool")
