"""The global random generators, seeded and put back: networks are initialised, and dropout draws, from them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy
import torch


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed torch's generators of the CPU and of `device`.

    torch.manual_seed is 100 times slower where CUDA is built in but not used: it records a stack trace for later.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)


def seed_all(seed: int) -> None:
    """Seed the global generators of Python, numpy and torch: of the CPU, and of the GPU where this process uses one."""
    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    # A worker forked from a process that uses a GPU does not use it.
    used = torch.cuda.is_initialized()
    seed_generators(seed, torch.device("cuda", torch.cuda.current_device()) if used else torch.device("cpu"))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Start the generators of Python, numpy and torch (CPU) from `seed` within the block, and restore them after it."""
    python, legacy, state = random.getstate(), numpy.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        numpy.random.set_state(legacy)
        torch.set_rng_state(state)
