"""Students: small dense networks of the task's own family, as large as its network is once it is pruned.

A student says what is counted; its width is found by `ltb.run.widths`, and the run is then that of a narrower model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar

from ltb.common.allowed import Count, Limits, settle
from ltb.core.contracts import Bench
from ltb.measures import bytes as storage
from ltb.measures import flops

Density = Annotated[float, Limits("above 0, to 1", above=0, below=1 + 1e-12)]


@dataclass(frozen=True, kw_only=True)
class Student(ABC):
    """The largest dense network whose `size` is within the `budget` of the task's network.

    density:  that to which the task's network is pruned, (0, 1], the same in each prunable parameter.
    argument: the argument of the model that is its width, a whole number or a list of them; None: its `width` or `widths`.
    multiple: of what widths are multiples, as where attention shares a width out among heads.
    """

    density: Density
    argument: str | None = None
    multiple: Count = 1
    unit: ClassVar[str]

    def __post_init__(self) -> None:
        settle(self, "student")

    @abstractmethod
    def budget(self, bench: Bench) -> tuple[float, str]:
        """Return what the pruned network of this bench takes, and what it is that takes so much."""

    @abstractmethod
    def size(self, bench: Bench) -> float:
        """Return what the dense network of this bench takes."""


@dataclass(frozen=True, kw_only=True)
class EqualBytes(Student):
    """No more bytes than the pruned network in the lossless storage format that takes the fewest, or in `format`.

    Bytes are those of `measure=bytes`, of all parameters and buffers in their own precision, float32 unless
    ``trainer.precision=64-true``. All of the student is dense; of the pruned network its prunable parameters are in the format, by
    the format's formula, an average over uniformly random masks of this density, and all else is dense.
    """

    format: str | None = None
    unit: ClassVar[str] = "bytes"

    def budget(self, bench: Bench) -> tuple[float, str]:
        found = storage.expected(bench.initial(), bench.prunable, self.density)
        name = min(found, key=found.__getitem__) if self.format is None else self.format
        if name not in found:
            raise ValueError(f"student.format={name!r}: null (the smallest) or one of {', '.join(found)}")
        return found[name], f"as {name} "

    def size(self, bench: Bench) -> float:
        return sum(tensor.numel() * tensor.element_size() for tensor in bench.initial().values())


@dataclass(frozen=True, kw_only=True)
class EqualFlops(Student):
    """No more FLOPs of an example forward than those of the pruned network in which a kept weight stands.

    They are ``forward`` and ``forward_kept`` of `measure=flops`: of matrix products and convolutions, a multiply-add as two.
    """

    unit: ClassVar[str] = "FLOPs"

    def budget(self, bench: Bench) -> tuple[float, str]:
        return flops.forward(bench, self.density, "student=equal_flops"), ""

    def size(self, bench: Bench) -> float:
        return flops.forward(bench, 1.0, "student=equal_flops")
