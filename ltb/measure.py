"""``python -m ltb.measure RUNS measure=NAME[,NAME] [measure.NAME.KEY=VALUE]``: ask finished runs more; nothing is trained.

Each run's numbers go into its folder as measures.csv (run_id, level, stage, measure, quantity, value), and the report shows
them. What was measured before is read from the store. Exit codes: 0 done, 1 a run could not be measured, 2 the command cannot
be run, 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ltb.common.arguments import Parser
from ltb.common.text import printable
from ltb.run import launchers, signals


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = Parser(
        prog="python -m ltb.measure", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "runs", nargs="+", metavar="RUNS", help="folders of runs, or of folders of runs; then measure=NAME"
    )
    parser.add_argument("--config-dir", "-cd", type=Path, help="a folder with measures of your own, as for ltb.train")
    parser.add_argument("--across", type=Path, metavar="FILE",
                        help="compare runs with each other, level by level, and write the numbers to this CSV")  # fmt: skip
    given = parser.parse_args(argv)
    settings = [text for text in given.runs if text.partition("=")[0].split(".")[0] == "measure" and "=" in text]
    folders = [Path(text) for text in given.runs if text not in settings]
    launchers.find_own(os.getcwd(), str(given.config_dir.absolute()) if given.config_dir else None)
    from ltb.run import measuring

    try:
        asked = measuring.Asked.parse(settings, given.config_dir)
        with signals.listening():
            if given.across:
                return measuring.across(folders, asked, given.across)
            return measuring.each(folders, asked)
    except ValueError as error:
        print(f"ltb: {printable(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        print("ltb: interrupted; what was measured is kept, and the same command goes on", file=sys.stderr)
        return signals.TERMINATED if isinstance(error, signals.Terminated) else 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
