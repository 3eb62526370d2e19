"""The LightningModule for classification: cross-entropy, trained a chunk of minibatches at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from ltb.common.allowed import Count, Limits, NotNegative, Positive, checked
from ltb.common.step import Clock
from ltb.core import tensors
from ltb.core.prunable import prunable
from ltb.training.chunked import ChunkedModule
from ltb.training.learning_rate import LearningRateSchedule

Smoothing = Annotated[float, Limits("0 (none) or more, below 1", least=0, below=1)]
TOP_5_FROM = 100  # classes; from here on accuracy among the five likeliest classes is logged as well


class Classification(ChunkedModule):
    """A module that trains `network` (x of (batch, *shape) -> logits of (batch, classes)) to classify.

    Lightning costs about as much a batch as a small network's whole step, so one Lightning batch is here a chunk of
    minibatches: `training_step` gets an iterator of (step, (x, y)) and steps the optimizer itself. The numbers are
    those of a plain loop.

    network:       the nn.Module; masks and tickets name its parameters, without a prefix.
    optimizer:     parameters -> torch optimizer (a partial function); its learning rate is set at each step.
    learning_rate: a `LearningRateSchedule`.
    l1, l2:        penalty l1·Σ|w| + l2·Σw² over what is prunable by default (Han et al. 2015), beside any weight decay.
    gradient_clip: largest total gradient norm, over what the masks keep; None for no clipping.
    accumulate:    each minibatch goes through the network in this many equal parts, to save memory.
    label_smoothing: of what is minimised, and so of `loss`: targets are (1 − ε) · one-hot + ε / classes (Szegedy et al. 2016).
    metrics:       name -> torchmetrics Metric, updated with class probabilities and labels: logged under val/ and test/ too.

    Logs val/ and test/ loss (mean cross-entropy, no penalty, no smoothing) and accuracy (a fraction; from 100 classes
    top5_accuracy too).
    """

    @checked("module")
    def __init__(
        self,
        network: nn.Module,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        learning_rate: LearningRateSchedule,
        l1: NotNegative = 0.0,
        l2: NotNegative = 0.0,
        gradient_clip: Positive | None = None,
        accumulate: Count = 1,
        label_smoothing: Smoothing = 0.0,
        metrics: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if "lr" in getattr(optimizer, "keywords", {}):
            raise ValueError(
                f"optimizer.lr={optimizer.keywords['lr']}: it would have no effect, for the rate is set at each step: give lr.base"  # type: ignore[attr-defined]
            )
        self.automatic_optimization = False
        self.network = network
        self.learning_rate = learning_rate
        self._clock: Clock | None = None
        self._optimizer, self._l1, self._l2 = optimizer, l1, l2
        self._gradient_clip, self._accumulate = gradient_clip, accumulate
        self._smoothing = label_smoothing
        # Copies of a plain dict: a metric is no part of the module's state.
        self._metrics = {
            split: {name: metric.clone() for name, metric in (metrics or {}).items()} for split in ("val", "test")
        }
        weights = set(prunable(network).names) if l1 or l2 else set()
        self._penalised = [parameter for name, parameter in tensors.parameters(network).items() if name in weights]
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    @property
    def clock(self) -> Clock | None:
        """The run's clock, set by whoever fits the module. ValueError for a learning rate that does not fit its length."""
        return self._clock

    @clock.setter
    def clock(self, clock: Clock) -> None:
        self.learning_rate.check(clock)
        self._clock = clock

    def configure_optimizers(self) -> Optimizer:
        return self._optimizer(self.network.parameters())

    def forward(self, x: Tensor) -> Tensor:
        return self.network(self._input(x))

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Return the mean cross-entropy of a batch, smoothed, without penalties."""
        x, y = batch
        return functional.cross_entropy(self(x), y.to(self.device), label_smoothing=self._smoothing)

    def training_step(self, chunk: Iterable[tuple[int, tuple[Tensor, Tensor]]], index: int) -> None:
        if self.clock is None:
            raise ValueError("Classification needs its clock: train it with ltb.Training, or set module.clock")
        optimizer: Any = self.optimizers(use_pl_optimizer=False)
        device, kind = self.device, self._kind()
        autocast, total, count = torch.is_autocast_enabled(device.type), None, 0
        clear = _clearing(optimizer)
        for step, (x, y) in chunk:
            rate = self.learning_rate(step, self.clock)
            for group in optimizer.param_groups:
                group["lr"] = rate
            clear()
            loss = self._backward(x.to(device, kind if x.is_floating_point() else x.dtype), y.to(device))
            if self.objective is not None:
                self.objective(self, (x, y)).backward()
            if self._penalised:
                self._add_penalty()
            if self._gradient_clip is not None:
                nn.utils.clip_grad_norm_(self.network.parameters(), self._gradient_clip)
            optimizer.step()
            if autocast:
                # Within one autocast context low-precision copies of weights are cached; the weights just changed.
                torch.clear_autocast_cache()
            total, count = loss if total is None else total + loss, count + 1
        if total is not None:
            self._sums["train"] = self._sums.get("train", torch.zeros((), device=self.device)) + total
            self._count += count

    def _kind(self) -> torch.dtype:
        """The type of the network's weights, and so of inputs that are floats."""
        return next(self.network.parameters()).dtype

    def _input(self, x: Tensor) -> Tensor:
        return x.to(self.device, self._kind() if x.is_floating_point() else x.dtype)

    def _backward(self, x: Tensor, y: Tensor) -> Tensor:
        if self._accumulate == 1:
            loss = functional.cross_entropy(self.network(x), y, label_smoothing=self._smoothing)
            loss.backward()
            return loss.detach()
        if len(y) < self._accumulate:
            raise ValueError(f"module.accumulate={self._accumulate}: a minibatch has {len(y)} examples")
        total = torch.zeros((), device=x.device, dtype=torch.float64)
        for part, labels in zip(x.chunk(self._accumulate), y.chunk(self._accumulate), strict=True):
            total_of_part = functional.cross_entropy(
                self.network(part), labels, reduction="sum", label_smoothing=self._smoothing
            )
            loss = total_of_part / len(y)
            loss.backward()
            total += loss.detach()
        return total

    @torch.no_grad()
    def _add_penalty(self) -> None:
        # The penalty's gradient, l1·sign(w) + 2·l2·w, is 0 where w is: it does not move what is pruned.
        for parameter in self._penalised:
            if parameter.grad is None:
                continue
            if self._l1:
                parameter.grad.add_(parameter.sign(), alpha=self._l1)
            if self._l2:
                parameter.grad.add_(parameter, alpha=2 * self._l2)

    def mean_training_loss(self) -> float:
        mean = float(self._sums.pop("train", torch.tensor(torch.nan))) / max(self._count, 1)
        self._count = 0
        return mean

    def _evaluate(self, batch: tuple[Tensor, Tensor], split: str) -> None:
        x, y = batch
        logits = self.network(self._input(x)).float()
        y = y.to(self.device)
        found = {
            "loss": functional.cross_entropy(logits, y, reduction="sum").double(),
            "accuracy": (logits.argmax(1) == y).sum(),
            "examples": torch.tensor(len(y), device=self.device),
        }
        if logits.shape[1] >= TOP_5_FROM:
            found["top5_accuracy"] = (logits.topk(5, dim=1).indices == y[:, None]).any(1).sum()
        for metric in self._metrics[split].values():
            metric.to(self.device).update(logits.softmax(1), y)
        for name, value in found.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value

    def _log(self, prefix: str) -> None:
        examples = self._sums.pop("examples")
        for name in [name for name in self._sums if name != "train"]:
            self.log(f"{prefix}/{name}", (self._sums.pop(name).double() / examples).cpu().float())
        for name, metric in self._metrics[prefix].items():
            self.log(f"{prefix}/{name}", metric.compute().cpu().float())
            metric.reset()

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        self._evaluate(batch, "val")

    def on_validation_epoch_end(self) -> None:
        self._log("val")

    def test_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        self._evaluate(batch, "test")

    def on_test_epoch_end(self) -> None:
        self._log("test")


def _clearing(optimizer: Optimizer) -> Callable[[], None]:
    """Return what drops the gradients: `zero_grad` without its record for profilers, a 50th of a small network's step."""
    if getattr(optimizer.zero_grad, "__func__", None) is not Optimizer.zero_grad:
        return optimizer.zero_grad  # an optimizer's own

    def clear() -> None:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    return clear
