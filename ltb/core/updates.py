"""Hooks around each update of an optimizer, in any loop: under any trainer, with closures and mixed precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.optim import Optimizer


def around_updates(optimizer: Optimizer, before: Callable[[], None], after: Callable[[], None]) -> list[Any]:
    """Call `before` and `after` each step of `optimizer` from now on, with the gradients that it takes there; return the handles.

    A closure given to a step, which is how a trainer hands over forward and backward pass, is called first.
    """

    def enter(_: Optimizer, given: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        itself, closure = given[0], given[1] if len(given) > 1 else named.get("closure")
        if closure is None:
            before()
            return given, dict(named)
        with torch.enable_grad():
            found = closure()
        before()
        others = {name: value for name, value in named.items() if name != "closure"}
        return (itself, lambda: found), others

    return [optimizer.register_step_pre_hook(enter), optimizer.register_step_post_hook(lambda *_: after())]
