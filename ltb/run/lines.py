"""Errors of the command line as one line each, Hydra's and OmegaConf's among them: ``key=value: what is allowed``."""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from ltb.run import launchers
from ltb.run.conf import conf

# A disk that is full, read-only or broken, a folder where a file must be: the user's to mend, and no trace of ours helps.
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO, errno.EISDIR, errno.ENOTDIR}
QUOTES = "'\""
MISFIT = "Cannot merge DictConfig with ListConfig"  # OmegaConf's, for either of them where the other one is


def one_line(error: BaseException) -> str:
    """Return an error's text in one line: what was given and what there is, without Hydra's and OmegaConf's footers."""
    if isinstance(error, OSError) and error.errno in DISK:
        return f"{error.filename}: {error.strerror}; what is finished is kept, and the same command goes on from there"
    override = getattr(error, "override", None)  # one that is not of Hydra's grammar
    if override and "=" in override and "Lexer" in str(error):
        key, _, value = override.partition("=")
        return f"{override}: Hydra's grammar asks for quotes: \"{key}='{value.strip(QUOTES)}'\""
    group, _, name = str(getattr(error, "missing_cfg_file", "")).rpartition("/")
    if group == "hydra/launcher" and name in launchers.EXTRAS:
        return launchers.absent(name)
    options = getattr(error, "options", None) or (group and _options(group))  # Hydra has none for several at once
    if options:
        return f"{group}={name}: there is no such option; there are {', '.join(options)}"
    lines = [line.strip() for line in str(error).splitlines()]
    dropped = (
        "full_key:",
        "object_type=",
        "reference_type=",
        "provider=",
        "Set the environment variable",
        "Config search path",
        "See https://",
    )
    text = " ".join(line for line in lines if line and not line.startswith(dropped)) or type(error).__name__
    key = getattr(error, "full_key", None)
    asked = re.search(r"Interpolation key '([\w.]+)' not found", text)
    if asked and key:
        return f"{key}: it is taken from {asked[1]}, which is not set; give {asked[1]}, in its yaml or with a +, or {key} itself"
    if key and text.startswith("Missing mandatory value"):
        return f"{key} is not set; give {key}=VALUE"
    if key and not text.startswith(key):
        text = f"{key}={getattr(error, 'child_node', None)}: {text}"
    if text.startswith("Config group override must be"):
        return no_option(sys.argv[1:]) or text
    unmerged = text.partition("Error merging override ")[2].lstrip("+")
    if unmerged:
        cause = str(error.__cause__).partition("\n")[0]
        there = "a section of settings" if unmerged.partition("=")[2].startswith("[") else "a list"
        return f"{unmerged}: {there if cause == MISFIT else cause}"
    given = text.partition("To append to your config use +")[2]
    if not given:
        return text
    above = getattr(error.__cause__, "parent_node", None)
    names = [str(name) for name in above or () if not str(name).startswith("_")] if isinstance(above, Mapping) else []
    names = [name for name in names if name != "hydra"]
    return f"{given}: there is no such setting" + (f"; there are {', '.join(names)}" if names else "") + _having(given)


def _having(given: str) -> str:
    """Which options of its group have a key that the chosen one lacks. A group that a swept method chooses must be named itself."""
    if there := elsewhere(given):
        return there
    group, _, key = given.partition("=")[0].rpartition(".")
    files = sorted(Path(conf(), group).glob("*.yaml")) if group else []
    found = [file.stem for file in files if any(line.startswith(f"{key}:") for line in file.read_text().splitlines())]
    swept = [one for one in sys.argv[1:] if one.partition("=")[0] == group and "," in one]
    if found and swept:  # Hydra composes what all jobs share first, without what is swept
        return f"; of all options of {swept[0]} it is ++{given}"
    return (
        f"; it is a setting of {', '.join(f'{group}={name}' for name in found)}: name that option too" if found else ""
    )


def elsewhere(given: str, option: str = "*") -> str:
    """Return what to set in place of a setting inside a section that an `option` of its group takes from another, or nothing."""
    group, *inner = given.partition("=")[0].lstrip("+").split(".")
    for file in sorted(Path(conf(), group).glob(f"{option}.yaml")) if len(inner) > 1 else ():
        if taken := re.search(rf"^{re.escape(inner[0])}: \$\{{(\w+)\}}", file.read_text(), re.MULTILINE):
            return f"; {group}.{inner[0]} is the section {taken[1]}: set {'.'.join([taken[1], *inner[1:]])}"
    return ""


def no_option(arguments: list[str]) -> str | None:
    """Return the line for the first ``GROUP=VALUE`` whose value cannot be an option's name, such as a number or null."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    for argument in arguments:
        group = argument.partition("=")[0]
        names = _options(group) if group.isidentifier() else []
        override = OverridesParser.create().parse_override(argument) if names else None
        if override is None or override.is_sweep_override():
            continue
        value = override.value()
        if not all(isinstance(one, str) for one in (value if isinstance(value, list) else [value])):
            return f"{argument}: there is no such option; there are {', '.join(names)}"
    return None


def _options(group: str) -> list[str]:
    return sorted(path.stem for path in Path(conf(), group).glob("*.yaml"))
