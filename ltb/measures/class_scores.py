"""The scores that measures of classifiers read: a trained network's class scores beside the labels, a minibatch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ltb.core.contracts import Bench
from ltb.core.results import Result


def class_scores(result: Result, bench: Bench, split: str, measure: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the scores, float64 (batch, classes), and labels, int64 (batch,), of each minibatch of `split`, on the CPU.

    The network is that at the end of the fit. Its scores are what the module returns when it is called, usually logits,
    in the precision of its weights: without autocast, also where an evaluation has it. Raises ValueError, naming
    `measure`, for batches that are not (x, y) with y int64 of shape (batch,) in 0..classes-1, for outputs that are not
    floating point of shape (batch, classes) with 2 classes or more, for a module that fails when it is called, and for a
    split without examples.
    """
    module, classes = bench.module(result.point, {}), None
    for batch in bench.batches(split):
        x, labels = _pair(batch, measure)
        scores = _called(module, x, measure)
        _check_scores(scores, labels, classes, measure)
        classes = scores.shape[1]
        # To the CPU first: not every device has float64.
        yield scores.detach().cpu().double(), _checked_labels(labels.cpu(), classes, measure)
    if classes is None:
        raise ValueError(f"measure={measure}: the {split} split has no examples")


def _called(module: Any, x: Any, measure: str) -> Any:
    try:
        with torch.no_grad():
            return module(x)
    except Exception as error:
        raise ValueError(
            f"measure={measure}: the module must return class scores when it is called with x, and {type(module).__name__} "
            f"fails: {type(error).__name__}: {' '.join(str(error).split())}"
        ) from error


def _pair(batch: Any, measure: str) -> tuple[Any, Tensor]:
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        size = f" of {len(batch)}" if isinstance(batch, tuple | list) else ""
        raise ValueError(f"measure={measure}: batches must be (x, y), and this is a {type(batch).__name__}{size}")
    x, labels = batch
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or labels.ndim != 1 or not len(labels):
        raise ValueError(f"measure={measure}: labels must be int64 of shape (batch,), and these are {_form(labels)}")
    return x, labels


def _check_scores(scores: Any, labels: Tensor, classes: int | None, measure: str) -> None:
    fits = isinstance(scores, Tensor) and scores.is_floating_point() and scores.ndim == 2 and scores.shape[1] > 1
    if not fits or len(scores) != len(labels) or scores.shape[1] != (classes or scores.shape[1]):
        wanted = f"({len(labels)}, {classes or 'classes'})"
        raise ValueError(
            f"measure={measure}: the module must return class scores, floating point of shape {wanted}, "
            f"and this is {_form(scores)}"
        )


def _checked_labels(labels: Tensor, classes: int, measure: str) -> Tensor:
    wrong = labels[(labels < 0) | (labels >= classes)]
    if len(wrong):
        raise ValueError(f"measure={measure}: label {int(wrong[0])} is not in 0..{classes - 1}, the module's classes")
    return labels


def _form(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}"
    return f"a {type(value).__name__}"
