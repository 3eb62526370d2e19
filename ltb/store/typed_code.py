"""Text of code that was typed and has no file: its syntax tree where Python still has it, otherwise its bytecode."""

from __future__ import annotations

import ast
import dis
import inspect
import os
import textwrap
from types import CodeType, ModuleType
from typing import Any

from ltb.store.ownership import namespace, owner
from ltb.store.source_files import UNPARSABLE, shape

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...))


def token(value: Any) -> str:
    """Return a value as text: plain values by what they are, the rest by its name or that of its class."""
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, list | tuple | dict):
        entries = value.items() if isinstance(value, dict) else value
        try:
            return f"{type(value).__name__}[{','.join([token(each) for each in entries])}]"
        except RecursionError:  # it holds itself
            return type(value).__name__
    if isinstance(value, ModuleType):
        return value.__name__
    named = value if isinstance(value, type) or inspect.isroutine(value) else type(value)
    module = f"{namespace(named)['__name__']}." if owner(named) == "library" else ""
    return f"{module}{getattr(named, '__qualname__', '')}"


def written(code: CodeType) -> str:
    """Return the syntax tree of a function's source where Python has it without a file, otherwise its bytecode."""
    if not os.path.isfile(code.co_filename):  # a file that is there does not say what was loaded from it
        try:
            return shape(ast.parse(textwrap.dedent(inspect.getsource(code))))
        except (OSError, TypeError, *UNPARSABLE):
            pass
    return repr(_bytecode(code))


def _bytecode(value: Any) -> Any:
    if isinstance(value, CodeType):
        names = (value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars)
        counts = (value.co_argcount, value.co_posonlyargcount, value.co_kwonlyargcount, value.co_flags)
        return value.co_code, names, counts, [_bytecode(each) for each in value.co_consts]
    return sorted(map(repr, value)) if isinstance(value, frozenset) else value


def names_in(code: CodeType, *operations: str) -> set[str]:
    """Return the names in a function's instructions of some kinds, and in those of functions inside it."""
    found = {str(step.argval) for step in dis.get_instructions(code) if step.opname in operations}
    return found.union(*(names_in(each, *operations) for each in code.co_consts if isinstance(each, CodeType)))
