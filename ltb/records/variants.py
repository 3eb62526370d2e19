"""Telling apart runs that share a method's name but not its settings, by the names and values of what differs.

Averaging over them would be silently wrong, so every curve carries a variant: "" where all runs of a method have
the same settings, else such as "lr.value=0.1".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

DRAW = "control.draw"  # of several draws of a control for one ticket, which are averaged over within their seed
DATA = ("data.", "label_noise.")
MISSING = object()  # unlike any value, so that an absent key differs from null
TARGET = "._target_"
LENGTH = "schedule.levels"  # it lengthens a curve, and changes no level that two have: others are named first
LONGEST = 40  # characters of a label that still reads well in a legend


def flatten(settings: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Return nested settings as dotted keys, e.g. {"lr": {"value": 0.1}} -> {"lr.value": 0.1}; lists stay values."""
    flat: dict[str, object] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat


def of_each_seed(runs: Mapping[str, Mapping[str, object]]) -> set[str]:
    """Return the dotted settings of data that are the run's seed in every run, of several seeds: ``data.split_seed='${seed}'``.

    >>> sorted(of_each_seed({"a": {"seed": 1, "data.split_seed": 1}, "b": {"seed": 2, "data.split_seed": 2}}))
    ['data.split_seed']
    """
    if len({one.get("seed") for one in runs.values()}) < 2:
        return set()
    keys = {key for one in runs.values() for key in one if key.startswith(DATA)}
    return {key for key in keys if all(key in one and one[key] == one.get("seed") for one in runs.values())}


def without_own_data(runs: Mapping[str, Mapping[str, object]]) -> dict[str, dict[str, object]]:
    """Return the dotted settings of each run without those `of_each_seed`, and the fingerprint of what these decide.

    Data that are each seed's own are a part of what a seed decides, and are averaged over like it.

    >>> without_own_data({"a": {"seed": 1, "data.split_seed": 1}, "b": {"seed": 2, "data.split_seed": 2}})
    {'a': {'seed': 1}, 'b': {'seed': 2}}
    """
    own = of_each_seed(runs)
    dropped = own | {"fingerprint"} if own else own
    return {name: {key: value for key, value in one.items() if key not in dropped} for name, one in runs.items()}


def changed_beneath(runs: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    """Return the beginning of the data's fingerprint for those runs whose settings of data others have as well, with another one.

    Then the data were changed between the runs, and not by a setting: files, or the code that reads them. The seed is none: it
    decides no data. `runs` are dotted; those without a fingerprint are as any.

    >>> changed_beneath({"a": {"data.size": 5, "fingerprint": "1f"}, "b": {"data.size": 5, "fingerprint": "2e"}})
    {'a': '1f', 'b': '2e'}
    >>> changed_beneath({"a": {"data.size": 5, "fingerprint": "1f"}, "b": {"data.size": 9, "fingerprint": "2e"}})
    {}
    """
    found: dict[str, dict[str, str]] = {}
    for name, one in runs.items():
        if one.get("fingerprint"):
            said = {key: _class(key, value) for key, value in one.items() if key.startswith(DATA)}
            found.setdefault(_text(said), {})[name] = str(one["fingerprint"])
    return {name: version[:6] for its in found.values() for name, version in its.items() if len(set(its.values())) > 1}


def _class(key: str, value: object) -> object:
    """A setting; of a class its name alone, for its source changes with what else is in its file."""
    return str(value).partition(" ")[0] if key.endswith(TARGET) else value


def differing(settings: Sequence[Mapping[str, object]]) -> list[str]:
    """Return those dotted settings that are not the same in all runs, sorted.

    Settings that copy one another (protocol.rate, schedule.rate …) are named once: by a choice of a class, else by the shortest.
    """
    keys = sorted({key for one in settings for key in one}, key=lambda key: (not key.endswith(TARGET), len(key), key))
    values = {key: tuple(_text(one.get(key, MISSING)) for one in settings) for key in keys}
    first: dict[tuple[str, ...], str] = {}
    for key in keys:
        if len(set(values[key])) > 1:
            first.setdefault(values[key], key)
    return sorted(first.values())


def label(settings: Sequence[Mapping[str, object]]) -> list[str]:
    """Return one label for each run of a method: equal where its dotted settings are equal, "" if they all are.

    It names all that differs where that is short, else as few settings as tell all apart, with long values cut in the middle. What
    a run lacks is named where nothing else would be, or would tell it apart.

    >>> label([{"rate": 0.2}, {"rate": 0.2}, {"rate": 0.5}])
    ['rate=0.2', 'rate=0.2', 'rate=0.5']
    >>> label([{"lr": 0.1}, {"lr": 0.2}, {"lr": 0.1, "objective": "L1"}])
    ['lr=0.1', 'lr=0.2', 'lr=0.1, objective=L1']
    >>> label([{}, {"objective": "L1"}])
    ['no objective', 'objective=L1']
    """
    keys = differing(settings)
    exact = [_text([one.get(k, MISSING) for k in keys]) for one in settings]
    named, shown = [_named(one, keys, LONGEST) for one in settings], (keys, LONGEST)
    if max(map(len, named), default=0) > LONGEST or len(set(named)) < len(set(exact)):
        fewest = _telling(settings, keys)
        shown = fewest, LONGEST // max(len(fewest), 1)
        named = [_named(one, *shown) for one in settings]
    short = [_named(one, *shown, lacks=False) for one in settings]
    of_short = {text: {n for n, s in zip(named, short, strict=True) if s == text} for text in short}
    named = [s if s and len(of_short[s]) == 1 else n for n, s in zip(named, short, strict=True)]
    alike = {text: list(dict.fromkeys(e for e, n in zip(exact, named, strict=True) if n == text)) for text in named}
    numbers = [
        alike[text].index(this) for text, this in zip(named, exact, strict=True)
    ]  # where all that is shown is equal
    return [
        text if len(alike[text]) == 1 else f"{text}, no. {number + 1}"
        for text, number in zip(named, numbers, strict=True)
    ]


def _telling(settings: Sequence[Mapping[str, object]], keys: Sequence[str]) -> list[str]:
    """Return a few of the `keys` that differ which together tell all settings apart, each of them the one that tells most."""
    found: list[str] = []
    values = {key: [_text(one.get(key, MISSING)) for one in settings] for key in keys}

    def told(chosen: Sequence[str]) -> int:
        return len(set(zip(*(values[key] for key in chosen), strict=True)))

    while keys and told([*found]) < told(keys):
        found.append(
            min(
                keys,
                key=lambda key: (
                    -told([*found, key]),
                    key == LENGTH,
                    not key.endswith(TARGET),
                    max(map(len, values[key])),
                    len(key),
                    key,
                ),
            )
        )
    return sorted(found)


def _named(one: Mapping[str, object], keys: Sequence[str], longest: int, *, lacks: bool = True) -> str:
    shown = (key for key in keys if lacks or key in one)
    return ", ".join(_said(key, str(one[key]), longest) if key in one else f"no {_plain(key)}" for key in shown)


def _said(key: str, value: str, longest: int) -> str:
    """Return a setting as one would type it: of a class its name, without the source that an identity has of it.

    >>> _said("criterion._target_", "Growth 0d1e2f", 40), _said("lr.base", "0.1", 40)
    ('criterion=Growth', 'lr.base=0.1')
    """
    name = str(_class(key, value))
    return f"{_plain(key)}={_cut(name, longest)}"


def _plain(key: str) -> str:
    return key.removesuffix(TARGET)


def _cut(text: str, longest: int) -> str:
    """Return a text of about `longest` characters at most, its beginning and its end.

    >>> _cut("[100, 100, 100, 100]", 9)
    '[100…100]'
    """
    half = max((longest - 1) // 2, 4)
    return text if len(text) <= 2 * half + 1 else f"{text[:half]}…{text[-half:]}"


def _text(value: object) -> str:
    try:
        return json.dumps(value, sort_keys=True, default=repr)
    except TypeError:  # keys that are no texts, or of several types
        return repr(value)
