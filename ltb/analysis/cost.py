"""The cost of a ticket: the training spent to find it, and that with its own fit, in steps and in FLOPs.

A step is one of the dense network in either case: masks save nothing in what is computed.
"""

from __future__ import annotations

import pandas as pd

from ltb.analysis import statistics

KEYS = [*statistics.CURVE, "curve", "level", "quantity", "direction"]
MEANS = ["target_sparsity", "sparsity", "density", "search_steps", "search_flops", "total_steps", "total_flops"]


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the cost of each level's ticket and its value, one row per curve and level; costs are means over seeds.

    Columns: task, method, control, variant, curve, level, quantity (test/<metric>), direction, target_sparsity,
    sparsity, density,

    - search_steps: iterations of training to obtain the ticket: its ancestors, each once, without its own fit; and what scoring
      costs, in such iterations, its own included
    - total_steps: search_steps and its own fit (end_step − start_step)
    - search_flops, total_flops: those times the FLOPs of a step of the dense network, forward and backward

    and n (seeds), mean, std, low, high (95 % t interval), min, max of the value, and diverged of all seeds, how many diverged there
    (they are in n and the mean, unless their value is NaN). Costs are NaN where the ledger is from before they were recorded.
    """
    levels = statistics.named(statistics.distinct(rows))
    levels = levels[levels["value"].notna() | levels["diverged"]]
    fit = (levels["end_step"] - levels["start_step"]).astype("float64")
    search, step = (levels[name].astype("float64") for name in ("search_steps", "step_flops"))
    levels = levels.assign(
        search_steps=search,
        total_steps=search + fit,
        search_flops=search * step,
        total_flops=(search + fit) * step,
    )
    groups = levels.groupby(KEYS, sort=True)
    table = groups[MEANS].mean().join(statistics.spread(groups["value"])).join(statistics.lost(groups))
    return table.reset_index()
