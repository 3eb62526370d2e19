"""The report as one HTML file that needs nothing else: it opens without a network, follows light and dark, and prints.

Everything that the user may have typed (names, errors, settings, paths) is escaped by Jinja; the figures' data are JSON
in which `<` is written so that no tag can end the script. A Content-Security-Policy lets run only the two scripts that
are put in here, by their hashes, and lets nothing be fetched. Charts are evaluated by Vega's interpreter, without eval.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ltb.analysis import provenance
from ltb.analysis.findings import Contents
from ltb.common.text import printable_lines
from ltb.records.ledger import Run
from ltb.report import answer, sections
from ltb.report.figures.palette import DARK, LIGHT, shown
from ltb.report.figures.panel import Panel

HERE = Path(__file__).parent
COMMANDS = 12  # a study with more is listed in its runs' own folders


@dataclass(frozen=True)
class Heading:
    """The page's title, when it was made, from which paths as they were typed, and the files beside it."""

    title: str
    when: datetime
    sources: Sequence[str]
    files: Sequence[str]


def html(found: Contents, panels: Sequence[Panel], heading: Heading) -> str:
    """Return the whole page."""
    import vl_convert

    bundle = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its types miss the default
    script = (HERE / "page.js").read_text(encoding="utf-8")
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    environment.filters["bound"] = _bound
    told = provenance.statuses(found.runs)
    commands = provenance.commands(told)
    named = {f"figure{i}": panel for i, panel in enumerate(panels)}
    figures = {name: _figure(panel) for name, panel in named.items()}
    return environment.get_template("page.html").render(
        title=heading.title,
        when=heading.when,
        counts=_counts(found),
        alerts=[*_alerts(found.runs), *_lost(found)],
        notes=found.notes,
        tasks=sections.sections(found, named),
        tolerance=answer.listed(list(dict.fromkeys(sections.within(found, task) for task in found.tasks))),
        made=[(one.commit, one.versions, one.machine, _made_runs(one)) for one in provenance.made(told)],
        commands=commands[:COMMANDS],
        more_commands=len(commands[COMMANDS:]),
        unfinished=[(run.run_id, run.state, _done(run), run.error or "") for run in found.unfinished],
        runs=_runs(found),
        version=version("ltb"),
        sources=answer.listed(list(heading.sources)),
        files=heading.files,
        hashes=Markup(" ".join(map(_hash, (bundle, script)))),
        palette=Markup(_css()),
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        data=Markup(_json({"figures": figures, "light": LIGHT})),
        bundle=Markup(bundle),
        script=Markup(script),
    )


def _printable(value: Any) -> Any:
    return printable_lines(value) if type(value) is str else value  # not markup, which is ours


def _bound(text: str) -> str:
    """Return prose in which no line ends between a number and its unit."""
    return re.sub(r" (?=%|points\b)|(?<=\bn) (?==)|(?<==) (?=\d)", "\u00a0", text)


def _figure(panel: Panel) -> dict[str, Any]:
    spec = panel.live()
    # By columns, which repeat no names: a third of the size.
    spec["datasets"] = {
        table: {column: [row[column] for row in rows] for column in rows[0]} for table, rows in spec["datasets"].items()
    }
    return shown({"spec": spec, "title": f"{panel.title} · {panel.task}", "stops": list(panel.stops)})


def _json(value: Mapping[str, Any]) -> str:
    """Return JSON that can stand in a script element: what could end it, or a line, is written as an escape."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _hash(script: str) -> str:
    """Return a script's name in a Content-Security-Policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _css() -> str:
    """Return the colours by name, for light and print, and for a dark screen."""

    def block(colours: Mapping[str, str]) -> str:
        return "".join(f"--{name}:{value};" for name, value in colours.items())

    return f":root{{{block(LIGHT)}}}\n@media screen and (prefers-color-scheme: dark){{:root{{{block(DARK)}}}}}"


def _counts(found: Contents) -> list[str]:
    complete = sum(run.state == "complete" for run in found.runs)
    known = [f"{complete} complete"] if any(run.state != "unknown" for run in found.runs) else []
    seeds = found.rows["seed"].nunique()
    return [_plural(len(found.runs), "run"), *known, _plural(len(found.curves), "curve"), _plural(seeds, "seed")]


def _plural(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'s' * (n != 1)}"


def _alerts(runs: Sequence[Run]) -> list[str]:
    """Return what a reader must know before the first figure: why the report is not final yet."""
    states = [run.state for run in runs]
    texts = {
        "running": "Still running: {}. This report is on what they have finished so far.",
        "failed": "Failed: {}. What they finished before is shown, and their errors are listed at the end.",
        "interrupted": "Interrupted: {}. What they finished before is shown.",
    }
    total = _plural(len(runs), "run")
    return [text.format(f"{states.count(state)} of {total}") for state, text in texts.items() if state in states]


def _lost(found: Contents) -> list[str]:
    count, levels = len(found.diverged), _plural(found.levels, "level")
    return (
        [f"Diverged: {count} of {levels}, whose loss is nan or inf. They are named below and ringed."] if count else []
    )


def _made_runs(one: provenance.Made) -> str:
    return str(one.runs) if one.levels is None else f"{one.runs} ({_plural(one.levels, 'level')} of them)"


def _done(run: Run) -> str:
    return "" if run.levels_done is None else f"{run.levels_done} of {run.levels}"


def _runs(found: Contents) -> list[tuple[str, str, str, str]]:
    seeds = found.rows.drop_duplicates("run_id").set_index("run_id")["seed"]
    levels = found.rows.groupby("run_id").size()
    return [
        (
            run.run_id,
            "no status file" if run.state == "unknown" else run.state,
            _done(run) or str(levels.get(run.run_id, 0)),
            str(seeds.get(run.run_id, "")),
        )
        for run in found.runs
    ]
