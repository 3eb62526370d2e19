"""Secrets among a run's settings: whoever is made from the settings gets them, and no file and no service does.

A setting is a secret by its name (password, secret, credential, token, api_key …) or by its value, where that is what an
environment variable of such a name holds (``${oc.env:HF_TOKEN}``). Stage keys are hashes of the true values.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ltb.records.variants import flatten
from ltb.run.settings import beside

MASK = "***"
PART = 8  # characters from which a secret is masked inside longer texts too: a shorter one may be there by chance
_ALWAYS = "password|passwd|passphrase|secret|credential"
# A setting is called token_dropout or max_tokens as well: for settings the name's end decides.
SETTING = re.compile(rf"{_ALWAYS}|(^|_)token$|(api|access|private|auth)_?key$")
VARIABLE = re.compile(rf"{_ALWAYS}|(^|_)token(_|$)|(api|access|private|auth)_?key")


@dataclass(frozen=True)
class Secrets:
    """The secrets of a configuration: values that are masked where they are `whole`, and as `parts` of longer texts."""

    whole: frozenset[str]
    parts: tuple[str, ...]

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Secrets:
        """Return those of a resolved configuration, and of the environment."""
        named = {value for name, value in os.environ.items() if value and VARIABLE.search(_words(name))}
        parts = {text for text in (*named, *_values(config)) if len(text) >= PART}
        return cls(frozenset(named), tuple(sorted(parts, key=len, reverse=True)))

    def mask(self, node: Any, *, distinct: bool = False) -> Any:
        """Return plain data with ``***`` in the place of secrets; `distinct`: with some letters of a hash of each."""
        if isinstance(node, Mapping):
            return {
                name: _hidden(value, distinct) if _is_secret(name) else self.mask(value, distinct=distinct)
                for name, value in node.items()
            }
        if isinstance(node, list | tuple):
            return [self.mask(value, distinct=distinct) for value in node]
        if not isinstance(node, str):
            return node
        if node in self.whole:
            return _hidden(node, distinct)
        for part in self.parts:
            node = node.replace(part, _hidden(part, distinct))
        return node

    def arguments(self, given: Sequence[str]) -> list[str]:
        """Return the arguments of a command with their secrets masked; an interpolation says none, and stays."""
        return [
            f"{key}={MASK}" if value and not value.startswith("${") and _is_secret(key) else self.mask(text)
            for text in given
            for key, _, value in [text.partition("=")]
        ]


def check_given(config: Mapping[str, Any]) -> None:
    """Raise ValueError for a configuration that was read from a run's folder, where a secret in it decides numbers."""
    absent = [name for name, value in flatten(config).items() if MASK in str(value) and not beside(name)]
    if absent:
        raise ValueError(
            f"{absent[0]}={MASK}: a secret is not kept and must be given again: run the run's own command with measure=NAME, "
            "which trains nothing that is finished"
        )


def _is_secret(name: str) -> bool:
    return SETTING.search(_words(name.rpartition(".")[2])) is not None


def _words(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|-", "_", name).lower()


def _hidden(value: Any, distinct: bool) -> Any:
    if isinstance(value, Mapping):
        return {name: _hidden(entry, distinct) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden(entry, distinct) for entry in value]
    if value is None or isinstance(value, bool) or value == "":
        return value
    # No more is given away than by the keys, which are hashes too; runs that differ in it are not taken for one.
    return MASK + (hashlib.sha256(str(value).encode()).hexdigest()[:6] if distinct else "")


def _values(node: Any, secret: bool = False) -> list[str]:
    """The texts under names of secrets."""
    if isinstance(node, Mapping):
        return [text for name, value in node.items() for text in _values(value, secret or _is_secret(str(name)))]
    if isinstance(node, list | tuple):
        return [text for value in node for text in _values(value, secret)]
    return [node] if secret and isinstance(node, str) else []
