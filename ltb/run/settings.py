"""The plain settings of a run: their types and ranges in one place, checked before anything slow is imported.

What a ``_target_`` describes (`Choice`) is checked by `ltb.run.build` and by its own class; that settings go together is checked
where they meet. Torch is not imported here.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from typing import Any, TypeVar

from ltb.core.step import Step

Choice = Mapping[str, Any]
Section = TypeVar("Section")

PATTERNS = "a list of glob patterns of parameter names"


def one_of(*allowed: str) -> dict[str, Any]:
    """For a field: its text is one of a few."""
    return {"allowed": allowed}


def limits(said: str, *, least: float = -math.inf, above: float = -math.inf, below: float = math.inf) -> dict[str, Any]:
    """For a field: its number, or its step's count, is `least` or more, above `above` and below `below`; a message says `said`."""
    return {"said": said, "least": least, "above": above, "below": below}


@dataclass(frozen=True)
class Protocol:
    """What a paper's protocol fixes for a task; optimizers, schedules and allocations read it."""

    batch_size: int = field(metadata=limits("1 or more", least=1))
    augment: bool
    learning_rate: float = field(metadata=limits("above 0", above=0))
    milestones: tuple[Step, ...]
    warmup: Step
    momentum: float = field(metadata=limits("0 or more and below 1", least=0, below=1))
    weight_decay: float = field(metadata=limits("0 or more", least=0))
    rate: float = field(metadata=limits("between 0 and 1, both excluded", above=0, below=1))
    layer_rates: Choice
    rewind_step: Step


@dataclass(frozen=True)
class Training:
    """How long a network is trained, and how often it is validated."""

    length: Step = field(metadata=limits("at least 1", least=1))
    evaluate_every: Step | None = field(metadata=limits("at least 1", least=1))


@dataclass(frozen=True)
class Prunable:
    """Glob patterns of what may be pruned."""

    include: tuple[str, ...] | None = field(metadata={"word": PATTERNS})
    exclude: tuple[str, ...] = field(metadata={"word": PATTERNS})
    embeddings: bool


@dataclass(frozen=True)
class Metric:
    """The logged metric that counts, and by how much a matching level may be worse than the dense network."""

    name: str
    direction: str = field(metadata=one_of("max", "min"))
    tolerance: float = field(metadata=limits("0 or more", least=0))


@dataclass(frozen=True)
class Store:
    """Where trained networks are kept, which of their files, and how often their progress."""

    dir: str
    keep: str = field(metadata=one_of("all", "tickets", "ledger"))
    checkpoint_every: float = field(metadata=limits("0 or more seconds", least=0))


@dataclass(frozen=True)
class Logger:
    """W&B."""

    mode: str = field(metadata=one_of("auto", "online", "offline"))
    project: str
    entity: str | None
    tags: tuple[str, ...]
    artifacts: bool


@dataclass(frozen=True)
class Settings:
    """All keys of a composed configuration."""

    protocol: Protocol
    method: str
    study: str | None
    seed: int = field(metadata=limits("0 or more and below 2**63", least=0, below=2**63))
    salt: str | None
    rewind_step: Step
    prune_from: str = field(metadata=one_of("previous", "dense", "start"))
    training: Training
    prunable: Prunable
    metric: Metric
    measure: Choice
    runs: str
    store: Store
    fresh: bool
    threads: int = field(metadata=limits("1 or more", least=1))
    progress: bool
    plan: bool
    logger: Logger | None
    trainer: Choice
    data: Choice
    module: Choice
    model: Choice | None = None
    optimizer: Choice | None = None
    lr: Choice | None = None
    schedule: Choice | None = None
    criterion: Choice | None = None
    allocation: Choice | None = None
    rewind: Choice | None = None
    control: Choice | None = None
    execution: Choice | None = None


def check(config: Mapping[str, Any]) -> Settings:
    """The plain settings of a resolved configuration.

    Raises ValueError, in one line that names the key and what is allowed, for a key that is not known or not there, and for a
    value of another type or out of its range.
    """
    return _section(Settings, config, "")


def _section(kind: type[Section], config: Any, key: str) -> Section:
    known: dict[str, Field[Any]] = {one.name: one for one in fields(kind)}  # type: ignore[arg-type]
    if not isinstance(config, Mapping):
        raise ValueError(f"{key}={config!r}: a section of settings: {', '.join(known)}")
    hints, path = typing.get_type_hints(kind), f"{key}." if key else ""
    for name, value in config.items():
        if name not in known:
            raise ValueError(f"{path}{name}={value!r}: there is no such setting; {_nearest(str(name), known)}")
    absent = [name for name, one in known.items() if name not in config and one.default is MISSING]
    if absent:
        raise ValueError(f"{path}{absent[0]} is not set")
    return kind(
        **{
            name: _value(hints[name], known[name].metadata, config[name], path + name)
            for name in known
            if name in config
        }
    )


def _nearest(name: str, known: Iterable[str]) -> str:
    found = get_close_matches(name, known, n=1)
    return f"the nearest is {found[0]}" if found else f"there are {', '.join(known)}"


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _step(value: Any) -> bool:
    try:
        Step.parse(value)
    except ValueError:
        return False
    return True


def _each(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(fits, value))


KINDS: Mapping[Any, tuple[str, Callable[[Any], bool]]] = {
    bool: ("true or false", lambda value: isinstance(value, bool)),
    int: ("a whole number", _whole),
    float: ("a number", lambda value: _whole(value) or (isinstance(value, float) and math.isfinite(value))),
    str: ("a text", _text),
    Step: ("iterations as 500it or epochs as 2ep", _step),
    tuple[str, ...]: ("a list of texts", _each(_text)),
    tuple[Step, ...]: ("a list of steps such as [500it] or [80ep, 120ep]", _each(_step)),
    Choice: ("a section of settings", lambda value: isinstance(value, Mapping)),
}


def _value(hint: Any, rules: Mapping[str, Any], value: Any, key: str) -> Any:
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    kind = kinds[0]  # the other, if there is one, is None
    if isinstance(kind, type) and is_dataclass(kind) and kind is not Step:
        # `logger=none` is an empty section.
        return None if value in (None, {}) and type(None) in kinds else _section(kind, value, key)
    if value is None and type(None) in kinds:
        return None
    word, fits = KINDS[kind]
    if not fits(value) or not _allowed(rules, value):
        wanted = f"one of {', '.join(rules['allowed'])}" if "allowed" in rules else rules.get("word", word)
        wanted += f", {rules['said']}" if "said" in rules else ""
        raise ValueError(f"{key}={value!r}: {wanted}{' or null' if type(None) in kinds else ''}")
    if kind is Step:
        return Step.parse(value)
    if kind == tuple[Step, ...]:
        return tuple(map(Step.parse, value))
    return tuple(value) if kind == tuple[str, ...] else value


def _allowed(rules: Mapping[str, Any], value: Any) -> bool:
    if "said" not in rules:
        return value in rules.get("allowed", (value,))
    number = value if isinstance(value, int | float) else Step.parse(value).count
    return bool(rules["least"] <= number < rules["below"] and number > rules["above"])
