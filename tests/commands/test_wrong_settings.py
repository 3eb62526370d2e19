"""Generated wrong settings as a person types them: one line, exit code 2, nothing trained, nothing left behind.

Which values are wrong is what `tests.run.test_keys` says of the annotations; here they go through the whole command.
"""

import math
import random

import pytest

from tests.run.test_keys import OPTIONS, VALUES, cases, right


def wrong():
    """(option, override) of every wrong value, every removed key's neighbour among them."""
    for option, section in OPTIONS.items():
        config, found = cases(option, section)
        for key, hint in found:
            holds = isinstance(config.get(key), dict) or key.endswith("initialiser")
            for value in VALUES:
                if not (holds and isinstance(value, dict)) and not right(hint, value):
                    yield option, f"{key}={typed(value)}"
            yield option, f"+{key}{key[-1]}=1"


def typed(value):
    """A value in Hydra's grammar."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case float() if not math.isfinite(value):
            return str(value)
        case str():
            return f"'{value}'"
        case list():
            return f"[{','.join(map(typed, value))}]"
        case dict():
            return f"{{{','.join(f'{name}: {typed(entry)}' for name, entry in value.items())}}}"
    return repr(value)


@pytest.mark.parametrize("count", [40])
def test_wrong_settings_through_the_whole_command(command, monkeypatch, capsys, count):
    monkeypatch.setattr("ltb.training.fit.Training.fit", None)
    every = list(wrong())
    drawn = random.Random(count).sample(every, count)
    for option, override in drawn:
        result = command(*filter(None, [option]), override)
        assert (result.code, result.out) == (2, ""), (option, override, result)
        # By its own name or, where another key takes its value (data.shape is model.shape), by that one's.
        assert override.lstrip("+").partition("=")[0].rpartition(".")[2] in result.line, (option, override)
        assert [path for path in command.folder.rglob("*") if path.name != "data"] == [], (option, override)
    with capsys.disabled():
        print(f"\n{count} of {len(every)} wrong settings refused, drawn with the seed {count}")
