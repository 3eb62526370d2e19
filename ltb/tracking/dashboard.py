"""`python -m ltb.dashboard --entity E`: a W&B workspace in which ltb's runs are curves, as code.

Lines are groups of runs, one for each method and control of a task in a study: mean and standard deviation over runs,
which should differ in nothing but the seed. Needs `pip install 'ltb[dashboard]'`; trains nothing and reads no ledger.
"""

from __future__ import annotations

import json
import os
import re
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ltb.common.arguments import Parser
from ltb.common.text import printable

if TYPE_CHECKING:
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws

LINES = 100  # of the curves that W&B may draw in one panel; its own limit is 10
# The runs' table: what a run was, how it ended, its results. W&B's names: run:, config:<key>.value, summary:.
COLUMNS = (
    "run:displayName", "run:group", "config:task.value", "run:jobType", "config:method.value",
    "config:control.value._target_", "config:seed.value", "run:state", "summary:dense/test/{metric}",
    "summary:demonstrated_matching_sparsity", "summary:demonstrated_seeds",
    "summary:sparsest_matching_sparsity", "summary:matching_tolerance",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: 0 if the workspace exists, 2 and a line on stderr if it cannot be made, 1 if W&B refuses it."""
    parser = Parser(prog="python -m ltb.dashboard", description="A W&B workspace for ltb's runs; a new one each time.")
    parser.add_argument("--entity", required=True, help="the user or team that owns the project")
    parser.add_argument("--project", default="ltb", help="default: ltb, as in logger.project")
    parser.add_argument("--name", default="Lottery tickets", help="what the workspace is called")
    parser.add_argument(
        "--study", help="only the runs of this study (`study=`, W&B's group); default: every study its own"
    )
    parser.add_argument("--metric", default="accuracy", help="the one that counts, metric.name of the runs")
    parser.add_argument("--dry-run", action="store_true", help="print what would be sent as JSON; needs no account")
    options = parser.parse_args(arguments)
    try:
        made = workspace(options.entity, options.project, name=options.name, study=options.study, metric=options.metric)
        if options.dry_run:
            print(json.dumps(sent(made), indent=2), flush=True)
            return 0
        _check_logged_in()
    except BrokenPipeError:  # --dry-run | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ImportError:
        return _told(parser.prog, "wandb-workspaces is not installed: pip install 'ltb[dashboard]'", 2)
    except ValueError as error:
        return _told(parser.prog, str(error), 2)
    try:
        print(f"workspace  {made.save().url}")
    except Exception as error:  # noqa: BLE001 (whatever W&B raises: no network, no such project, no right to it)
        return _told(parser.prog, f"W&B did not take it: {' '.join(str(error).split())[:300]}", 1)
    return 0


def _told(program: str, line: str, code: int) -> int:
    print(f"{program}: {printable(line)}", file=sys.stderr)
    return code


def _check_logged_in() -> None:
    from ltb.tracking.wandb_mirror import resolve_mode

    mode = resolve_mode("auto")
    if mode != "online":
        raise ValueError(f"W&B is {mode} here: `wandb login` first, or --dry-run to see what would be sent")


def workspace(
    entity: str, project: str, *, name: str = "Lottery tickets", study: str | None = None, metric: str = "accuracy"
) -> ws.Workspace:
    """Return the workspace, not yet saved. ValueError names an option W&B cannot hold; ImportError without the extra.

    study: only runs of this group; None: all runs, and each study's curves apart. metric: as in test/<metric>.
    """
    _check(entity, project, study, metric)
    with warnings.catch_warnings():
        # Its import calls what pydantic 2 has deprecated; the user can do nothing about that.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        import wandb_workspaces.workspaces as ws
        from wandb_workspaces import expr

    group, task, curve = expr.Metric("Group"), expr.Config("task"), expr.Metric("JobType")
    try:
        return ws.Workspace(
            entity=entity,
            project=project,
            name=name,
            sections=[
                _section("Tickets", [*_curves(metric), _sparsest()], columns=3),
                _section("Training", _training(metric)),
            ],
            settings=ws.WorkspaceSettings(max_runs=LINES),
            runset_settings=ws.RunsetSettings(
                filters=_of(study) if study else "",
                # Panels group as the table does: two studies, or two tasks of one, are never averaged.
                groupby=[task, curve] if study else [group, task, curve],
                order=[
                    expr.Ordering(group),
                    expr.Ordering(task),
                    expr.Ordering(curve),
                    expr.Ordering(expr.Metric("Name")),
                ],
                pinned_columns=[column.format(metric=metric) for column in COLUMNS],
            ),
        )
    except ValueError as error:  # pydantic's, over several lines
        why = str(error).splitlines()[2].partition("[type=")[0].strip().removeprefix("Value error, ")
        raise ValueError(f"--name={name!r}: {why}") from error


def sent(workspace: ws.Workspace) -> dict[str, Any]:
    """Return what W&B is sent when `workspace` is saved: owner, project, name, and the specification of the view."""
    view = workspace._to_model()
    spec = json.loads(view.spec.model_dump_json(by_alias=True, exclude_none=True))
    return {"entity": view.entity, "project": view.project, "name": view.display_name, "spec": spec}


def _check(entity: str, project: str, study: str | None, metric: str) -> None:
    for key, value in (("entity", entity), ("project", project)):
        if not re.fullmatch(r"[^/\\#?%:\n]+", value):
            raise ValueError(f"--{key}={value!r}: some characters, none of them / \\ # ? % :")
    if not re.fullmatch(r"[\w.-]+", metric):
        raise ValueError(f"--metric={metric!r}: the name of a metric, such as accuracy")
    if study == "":
        raise ValueError("--study='': the name of a study")


def _of(study: str) -> str:
    """Return a filter for a study's runs, escaped: wandb-workspaces rewrites = < > in quotes and escapes no quote."""
    quoted = "".join(letter if letter.isalnum() else f"\\U{ord(letter):08x}" for letter in study)
    return f'Metric("Group") == "{quoted}"'


def _section(name: str, panels: Sequence[Any], *, columns: int = 2) -> ws.Section:
    import wandb_workspaces.workspaces as ws

    layout = ws.SectionLayoutSettings(columns=columns, rows=2)
    return ws.Section(name=name, panels=list(panels), is_open=True, layout_settings=layout)


def _line(title: str, x: str, y: str, **given: Any) -> wr.LinePlot:
    """Return a panel with one line for each group of the table."""
    import wandb_workspaces.reports.v2 as wr

    return wr.LinePlot(
        title=title,
        x=wr.Metric(x),
        y=[wr.Metric(y)],
        groupby_aggfunc="mean",
        groupby_rangefunc="stddev",
        smoothing_type="none",
        max_runs_to_show=LINES,
        **given,
    )


def _curves(metric: str) -> list[wr.LinePlot]:
    """Return the panels of levels. The first row has accuracy, early stop and what is lost or gained against sparsity.

    `level/relative/<metric>` is 0 at level 0, and above 0 where a level is better than the dense network of its seed.
    """
    test, called = f"level/test/{metric}", f"Test {metric.replace('_', ' ')}"
    sparsity, density = {"title_x": "sparsity"}, {"title_x": "density (log)", "log_x": True}
    return [
        _line(f"{called} against sparsity", "level/sparsity", test, **sparsity),
        _line("Early-stop step against sparsity", "level/sparsity", "level/early_stop_step", **sparsity),
        _line(
            f"{called} relative to dense (above 0: better)", "level/sparsity", f"level/relative/{metric}", **sparsity
        ),
        _line(f"{called} against density", "level/density", test, **density),
    ]


def _sparsest() -> wr.BarPlot:
    import wandb_workspaces.reports.v2 as wr

    return wr.BarPlot(
        title="Sparsest matching ticket of single seeds (which demonstrates nothing): sparsity",
        metrics=[wr.SummaryMetric("sparsest_matching_sparsity")],
        groupby_aggfunc="mean",
        groupby_rangefunc="stddev",
        max_bars_to_show=LINES,
    )


def _training(metric: str) -> list[wr.LinePlot]:
    """Return the training panels, level after level: train/step counts the steps trained in all."""
    names = {"Training loss": "train/loss", "Validation loss": "val/loss"}
    names |= {f"Validation {metric.replace('_', ' ')}": f"val/{metric}"} if metric != "loss" else {}
    return [_line(title, "train/step", y, title_x="steps trained, all levels") for title, y in names.items()]


if __name__ == "__main__":
    sys.exit(main())
