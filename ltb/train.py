"""The entry point: Hydra in, objects out. ``python -m ltb.train KEY=VALUE …`` or ``ltb-train``.

Exit codes: 0 done, 1 a run failed, 2 a configuration that cannot be run (nothing was trained), 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ltb.common.text import printable, printable_lines
from ltb.run import launchers, signals
from ltb.run.conf import conf
from ltb.run.lines import DISK, no_option, one_line

if TYPE_CHECKING:
    from omegaconf import DictConfig


# A sweep's folder that cannot be made.
FOLDER = {errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EDQUOT}


# Hydra's flags with a value of their own.
VALUED = ("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp", "--cfg", "-c", "--package", "-p")


class Refused(Exception):
    """A configuration that cannot be run, which has been told: (the line, the stderr that shows it)."""


class Failed(Exception):
    """A run that ended with an error, which has been told, likewise."""


def job(config: DictConfig) -> float | None:
    """One run, in whatever process an engine runs it.

    It returns what a sweeper that searches may choose by: the metric of the last, sparsest level on the validation split.
    """
    with signals.job():
        return _job(config)


def _job(config: DictConfig) -> float | None:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf.errors import OmegaConfBaseException

    from ltb.common.errors import Unavailable

    runtime = HydraConfig.get().runtime
    launchers.settle(runtime)
    try:
        from ltb.run import settings
        from ltb.run.chosen import chosen

        settings.check_overrides(HydraConfig.get())
        settings.empty(config, HydraConfig.get())
        settings.check_taken(config, HydraConfig.get())
        # Before the seconds of imports that the rest takes.
        checked = settings.resolve(config)
        names = chosen(HydraConfig.get(), checked)
        from ltb.run.run import Run
        from ltb.run.setup import setup
        from ltb.run.widths import settled

        checked, student = settled(config, checked)
        checked = settings.without_foreign_reason(checked, HydraConfig.get(), names.exchanged)
        made = setup(checked, names.names, foreign=names.foreign_rates)
        if not checked["plan"]:
            made.check_one_step()
            made = made.begun()
    except (ValueError, OmegaConfBaseException) as error:
        raise Refused(*_tell(one_line(error))) from error
    if checked["plan"]:
        from ltb.run import plan

        if student:
            print(printable(student))
        plan.show(made.run_id, made.wanted, made.store, made.training.clock)
        return None
    sweep = Path(HydraConfig.get().sweep.dir) if HydraConfig.get().mode is RunMode.MULTIRUN else None
    if student and sweep is None and checked["progress"]:
        print(printable(student), file=sys.stderr)
    try:
        return Run(made, sweep)()[-1].get(f"val/{made.config['metric']['name']}")
    except Unavailable as error:
        raise Refused(*_tell(one_line(error))) from error
    except Exception as error:
        import traceback

        known = isinstance(error, ValueError) or (isinstance(error, OSError) and error.errno in DISK)
        told = one_line(error) if known else traceback.format_exc().rstrip()
        raise Failed(*_tell(f"{made.run_id} failed: {told}")) from error


def main() -> None:
    """Run the command line; ends with the exit codes above."""
    # With the console script as with -m.
    launchers.find_own(os.getcwd(), _config_dir(sys.argv))
    sys.argv[1:] = _flags_first(list(map(_adding, sys.argv[1:])))
    before = os.environ.get("HYDRA_FULL_ERROR")
    # Hydra raises its own errors instead of printing them over several lines; they are told below.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        with signals.listening():
            code = _run(traced=before == "1")
    except KeyboardInterrupt as error:
        _tell("interrupted while the report on the sweep was made; python -m ltb.report FOLDER makes it")
        code = _code(error)
    finally:
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before
    if code:
        sys.exit(code)


def _run(*, traced: bool) -> int:
    """Run what the command line asks for, report on its sweep however it ended, and return the exit code."""
    code = 0
    try:
        _hydra()
    except (Refused, Failed) as error:
        if traced:
            raise
        line, shown = error.args
        if shown != launchers.stderr():
            _tell(line)
        code = 2 if isinstance(error, Refused) else 1
    except launchers.Stop as error:
        _tell(str(error))
        code = 2
    except BrokenPipeError:  # --help | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt as error:
        _tell("interrupted; the same command goes on from the last finished level")
        code = _code(error)
    finally:
        if "ltb.run.sweep" in sys.modules:
            from ltb.run import sweep

            sweep.report(interrupted=code in (130, signals.TERMINATED))
        if "ltb.run.plan" in sys.modules:
            from ltb.run import plan

            plan.forget()
    return code


def _code(error: KeyboardInterrupt) -> int:
    return signals.TERMINATED if isinstance(error, signals.Terminated) else 130


def _flags_first(arguments: list[str]) -> list[str]:
    """``KEY=VALUE -m KEY=VALUE`` as ``-m KEY=VALUE KEY=VALUE``: Hydra's parser takes settings on one side of its flags alone."""
    flags = [one.startswith("-") or before in VALUED for before, one in pairwise(["", *arguments])]
    return [one for _, one in sorted(zip(flags, arguments, strict=True), key=lambda pair: not pair[0])]


def _adding(argument: str) -> str:
    """``SECTION.KEY={NAME: VALUE}`` with ``++``, for Hydra refuses names that a mapping lacks: which are right is ours to say."""
    key, _, value = argument.partition("=")
    return f"++{argument}" if value.startswith("{") and re.fullmatch(r"(?!hydra\.)\w+\.\w+", key) else argument


def _config_dir(arguments: list[str]) -> str | None:
    for argument, following in pairwise([*arguments, ""]):
        if argument in ("--config-dir", "-cd"):
            return os.path.abspath(following)
        if argument.startswith("--config-dir="):
            return os.path.abspath(argument.partition("=")[2])
    return None


def _hydra() -> None:
    import hydra
    from hydra._internal.utils import get_args_parser
    from hydra.core.plugins import Plugins
    from hydra.core.utils import JobReturn, JobStatus
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from ltb.run.beforehand import Checked, RefusedJobs
    from ltb.run.help import commented

    def return_value(self: Any) -> Any:
        if self.status is JobStatus.FAILED:
            raise self._return_value
        return self._return_value

    # Hydra's own writes a line on stderr before it raises a job's error; `job` has told that error already.
    JobReturn.return_value = property(return_value, JobReturn.return_value.fset)  # type: ignore
    launcher = Plugins.instantiate_launcher

    def checked(self: Plugins, *, hydra_context: Any, task_function: Any, config: Any) -> Any:
        made = launcher(self, hydra_context=hydra_context, task_function=task_function, config=config)
        return Checked(made, hydra_context, config, one_line)

    own = _config_dir(sys.argv)
    parser = get_args_parser()
    parser.error = _refuse_usage  # type: ignore[method-assign]  # argparse's own writes several lines
    for given in parser.parse_args().overrides:
        if not re.match(r"(\+\+?|~)?\w", given):
            _refuse_usage(f"{given}: a setting is KEY=VALUE")
    # Between a sweeper's choice of jobs and their launch Hydra has no hook.
    Plugins.instantiate_launcher = checked  # type: ignore
    try:
        with commented(sys.argv[1:], [*([Path(own)] if own else []), Path(conf())]):
            hydra.main(version_base="1.3", config_path=conf(), config_name="train")(job)()
    except RefusedJobs as error:
        raise Refused(*[_tell(line) for line in error.lines][-1]) from error
    except (HydraException, OmegaConfBaseException, ValueError) as error:  # ValueError: Hydra's, for a group's option
        raise Refused(*_tell(one_line(error))) from error
    except Exception as error:
        if isinstance(error, TypeError) and (said := no_option(sys.argv[1:])):  # Hydra's, for null among options
            raise Refused(*_tell(said)) from error
        if launchers.raised(error):
            raise Failed(*_tell(launchers.lost(one_line(error)))) from error
        if isinstance(error, OSError) and error.errno in FOLDER:
            raise Refused(
                *_tell(
                    f"hydra.run.dir, hydra.sweep.dir: {error.filename}: {error.strerror}; the folder cannot be written"
                )
            ) from error
        raise
    finally:
        Plugins.instantiate_launcher = launcher  # type: ignore


def _refuse_usage(message: str) -> NoReturn:
    raise Refused(*_tell(f"{message}; --help says what there is"))


def _tell(line: str) -> tuple[str, tuple[int, int]]:
    """Show a line; it, and on which stderr, for a sweep's engine may have given its jobs another."""
    print(f"ltb: {printable_lines(line)}", file=sys.stderr)
    return line, launchers.stderr()


if __name__ == "__main__":
    main()
