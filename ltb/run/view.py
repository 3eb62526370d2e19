"""``python -m ltb.watch [DIR]``: a live view over all jobs of a sweep; where there is no terminal, a line for each that ends.

The process that launched a sweep shows the same view on its own.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ltb.common.arguments import Parser
from ltb.common.text import printable
from ltb.records import ledger, status
from ltb.records.schema import JOBS, STATUS
from ltb.records.status import Standing
from ltb.run.display import duration

SILENT = 600  # seconds without a word from a run that says it is running, after which the view says so
SHOWN = 12  # running jobs, at most


class View(threading.Thread):
    """Shows how the sweep of a folder stands until `stop`, on stderr; reads files, and changes nothing."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True, name="ltb.watch")
        self._folder = folder
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._stopped = threading.Event()
        self._begun: tuple[float, float] | None = None  # when the first job had begun, and how much was done by then
        self._told: dict[str, str] = {}
        self._seen = Standing(())

    def run(self) -> None:
        """Look every second (a terminal) or every five, until `stop`; then once more."""
        if not self._console.is_terminal:
            while not self._stopped.wait(5):
                self._tell(self._read())
            self._tell(self._read())
            return
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while not self._stopped.wait(1):
                live.update(self._drawn(self._read()), refresh=True)
        self._console.print(Text(f"{self._read()}"))

    def stop(self) -> None:
        """End the view, with a last look."""
        self._stopped.set()
        if self.is_alive():
            self.join()

    def _read(self) -> Standing:
        with suppress(ValueError):  # damaged meanwhile: the command says so, and the last look stays
            self._seen = status.read(self._folder)
        found = self._seen
        if found.runs and self._begun is None:
            self._begun = time.monotonic(), found.fraction
        return found

    def left(self, found: Standing) -> str:
        """The time that is left, by the speed since this view began; "" before that is known."""
        begun, before = self._begun or (0.0, 0.0)
        done, rest, elapsed = found.fraction - before, 1 - found.fraction, time.monotonic() - begun
        return f", about {duration(elapsed * rest / done)} left" if done > 0 and rest > 0 and elapsed > 5 else ""

    def _tell(self, found: Standing) -> None:
        """A line for each run that has ended since the last look."""
        for run in found.runs:
            if run.state != "running" and self._told.get(run.run_id) != run.state:
                self._told[run.run_id] = run.state
                self._console.print(Text(printable(f"{found}{self.left(found)}; {run}")))

    def _drawn(self, found: Standing) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        for run in found.running[:SHOWN]:
            bar = ProgressBar(total=max(1, run.levels or 1), completed=run.levels_done or 0, width=24)
            table.add_row(Text(printable(run.run_id)), bar, f"level {run.levels_done} of {run.levels}{_silence(run)}")
        whole = ProgressBar(total=1.0, completed=found.fraction, width=24)
        more = len(found.running) - SHOWN
        table.add_row(Text(f"… and {more} more running") if more > 0 else Text(""), whole, f"{found}{self.left(found)}")
        failed = [Text(printable(run), style="red") for run in found.runs if run.state == "failed"]
        return Group(*failed[-3:], table)


def _silence(run: ledger.Run) -> str:
    """That a run was not heard of for long: its process may have been killed."""
    try:
        quiet = datetime.now(UTC).timestamp() - (run.folder / STATUS).stat().st_mtime
    except OSError:
        return ""
    return f", last heard of {duration(quiet)} ago" if quiet > SILENT else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: 0 when every job has ended or after Ctrl-C, 2 and one line where there is no sweep."""
    parser = Parser(prog="python -m ltb.watch", description="A live view over the jobs of a sweep.")
    parser.add_argument("sweep", metavar="DIR", nargs="?", type=Path, help="default: the newest in runs/sweeps")
    folder = parser.parse_args(arguments).sweep or _newest()
    view, code = View(folder), 0
    try:
        status.read(folder)
        view.start()
        while not status.read(folder).ended:
            time.sleep(1)
    except KeyboardInterrupt:
        pass
    except ValueError as error:
        print(f"{parser.prog}: {printable(error)}", file=sys.stderr)
        code = 2
    view.stop()
    return code


def _newest() -> Path:
    found = sorted(Path("runs/sweeps").glob(f"*/{JOBS}"), key=lambda path: path.stat().st_mtime)
    return found[-1].parent if found else Path("runs/sweeps")


if __name__ == "__main__":
    sys.exit(main())
