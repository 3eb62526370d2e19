"""``python -m ltb.export RUN OUT [--level N] [--format FORMAT] [--what trained|ticket] [--compact]``: a level as a file for others.

Exit codes: 0 done, 2 it cannot be written.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ltb.common.arguments import Parser
from ltb.common.text import printable


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    sys.path[:0] = [os.getcwd()] if os.getcwd() not in sys.path else []
    from ltb.run import export_formats, exporting

    parser = Parser(
        prog="python -m ltb.export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="a run's folder")
    parser.add_argument("out", metavar="OUT", type=Path, help="the file to write; it must not be there")
    parser.add_argument("--level", type=int, default=-1, metavar="N", help="as in the ledger; default: the last")
    parser.add_argument("--what", choices=exporting.WHAT, default="trained", help="default: trained")
    parser.add_argument("--format", choices=export_formats.FORMATS,
                        help="safetensors, torch: a state dict; lightning: a checkpoint; onnx: the network; the others: what "
                        "is prunable, sparse; default: by the end of OUT, .onnx, .ckpt, .pt or .pth, else safetensors")  # fmt: skip
    parser.add_argument("--compact", action="store_true",
                        help="without the units that nothing reads or makes: a smaller network of the same outputs")  # fmt: skip
    given = parser.parse_args(argv)
    try:
        if os.path.lexists(given.out):
            raise ValueError(f"{given.out} is there already")
        form = given.format or next(iter(export_formats.named(given.out)), "safetensors")
        size = exporting.export(given.run, given.level, given.what, form, given.out, compact=given.compact)
    except (ValueError, OSError) as error:
        print(f"ltb: {printable(error)}", file=sys.stderr)
        return 2
    print(printable(f"{given.out}: {form}, {size:,} bytes"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
