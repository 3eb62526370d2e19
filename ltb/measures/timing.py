"""Times of calls that are compared with each other: alternating within one process, so that what disturbs one disturbs all."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

Call = Callable[[], Any]
Clock = Callable[[], float]  # seconds


@dataclass(frozen=True)
class Time:
    """Seconds a call: the median over rounds, and its 95 % interval, from `low` to `high`."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Time:
        """The interval is the distribution-free one: between order statistics, n/2 ∓ 0.98·√n (normal approximation).

        >>> Time.of([3.0, 1.0, 2.0, 5.0, 4.0, 9.0])
        Time(median=3.5, low=1.0, high=9.0)
        """
        ordered, n = sorted(seconds), len(seconds)
        first = max(0, math.floor(n / 2 - 0.98 * math.sqrt(n)))
        return cls(median(ordered), ordered[first], ordered[n - 1 - first])


def alternating(
    calls: Sequence[Call], rounds: int, least: float = 0.002, clock: Clock = time.perf_counter
) -> list[Time]:
    """Return the time of each call, in `rounds` rounds in which all take turns, each round beginning with another one.

    Each is warmed up first: called until 25 times `least` seconds are over, twice at least. A turn is as many calls as took
    `least` seconds then, one at least, so that the clock's own error is small. With `time.thread_time` as the clock it is what the
    calling thread computed: on a machine that others use, too, where a call needs no other thread.
    """
    repeats = [_warm(call, least, clock) for call in calls]
    found: list[list[float]] = [[] for _ in calls]
    for turn in range(rounds):
        for place in range(len(calls)):
            i = (place + turn) % len(calls)
            since = clock()
            for _ in range(repeats[i]):
                calls[i]()
            found[i].append((clock() - since) / repeats[i])
    return [Time.of(seconds) for seconds in found]


def _warm(call: Call, least: float, clock: Clock) -> int:
    """Return how many calls take `least` seconds, once it is warm."""
    call()
    count, since = 0, clock()
    while count == 0 or clock() - since < 25 * least:
        call()
        count += 1
    return max(1, math.ceil(least * count / (clock() - since)))
