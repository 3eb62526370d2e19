"""The entry point: Hydra in, objects out. ``python -m ltb.train KEY=VALUE …`` or ``ltb-train``.

Exit codes: 0 done, 1 a run failed, 2 a configuration that cannot be run (nothing was trained), 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omegaconf import DictConfig


class Refused(Exception):
    """A configuration that cannot be run; the text is one line."""


class Failed(Exception):
    """A run that ended with an error, which has been told."""


def conf() -> str:
    """The folder of the configuration: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    return str(next(folder for folder in (package / "conf", package.parent / "conf") if folder.is_dir()))


def job(config: DictConfig) -> None:
    """One run."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    choices = HydraConfig.get().runtime.choices
    names = {group: str(choices.get(group)) for group in ("task", "model", "data")}
    try:
        resolved = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        from ltb.run import Run

        run = Run(resolved, names)  # type: ignore[arg-type]
    except (ValueError, OmegaConfBaseException) as error:
        raise Refused(_line(error)) from error
    try:
        run()
    except Exception as error:
        import traceback

        told = _line(error) if isinstance(error, ValueError) else traceback.format_exc()
        print(f"ltb: {run.run_id} failed: {told}", file=sys.stderr)
        raise Failed(run.run_id) from error


def main() -> None:
    """Run the command line; ends with the exit codes above."""
    # Own classes are found from where the command is typed, with the console script as with -m.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    full = os.environ.get("HYDRA_FULL_ERROR") == "1"
    # Hydra raises its own errors instead of printing them over several lines; they are told below.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        hydra.main(version_base="1.3", config_path=conf(), config_name="train")(job)()
    except (Refused, HydraException, OmegaConfBaseException) as error:
        if full:
            raise
        print(f"ltb: {_line(error)}", file=sys.stderr)
        sys.exit(2)
    except Failed:
        if full:
            raise
        sys.exit(1)
    except KeyboardInterrupt:
        print("ltb: interrupted; the same command goes on from the last finished level", file=sys.stderr)
        sys.exit(130)


def _line(error: BaseException) -> str:
    """An error's text in one line, without Hydra's and OmegaConf's footers."""
    lines = [line.strip() for line in str(error).splitlines()]
    dropped = (
        "full_key:",
        "object_type=",
        "reference_type=",
        "Set the environment variable",
        "Config search path",
        "See https://",
    )
    return " ".join(line for line in lines if line and not line.startswith(dropped)) or type(error).__name__


if __name__ == "__main__":
    main()
