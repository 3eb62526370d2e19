"""What the W&B workspace shows: the specification that would be sent, without a network, and every way it is refused."""

import json
import subprocess
import sys

import pytest

from ltb.tracking import dashboard

pytest.importorskip("wandb_workspaces", reason="pip install 'ltb[dashboard]'")


@pytest.fixture(autouse=True)
def nobody(tmp_path, monkeypatch):
    """Nobody is logged in, and no person's settings are read."""
    for name in ("DATA", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / name.lower()))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_PROJECT", "WANDB_ENTITY"):
        monkeypatch.delenv(name, raising=False)


def section(**given):
    return dashboard.sent(dashboard.workspace("me", "ltb", **given))["spec"]["section"]


def panels(**given):
    """Title → what a panel shows, of every section in order."""
    found = [panel["config"] for part in section(**given)["panelBankConfig"]["sections"] for panel in part["panels"]]
    return {one.pop("chartTitle"): one for one in found}


GROUPED = {"groupAgg": "mean", "groupArea": "stddev", "limit": 100}
SPARSITY = {"xAxis": "level/sparsity", "xAxisTitle": "sparsity"}
STEPS = {"xAxis": "train/step", "xAxisTitle": "steps trained, all levels"}


@pytest.mark.parametrize("study", ["questions", None])
def test_what_is_drawn(study):
    line = GROUPED | {"smoothingType": "none"}
    assert {title: one for title, one in panels(study=study).items() if "Sparsest" not in title} == {
        "Test accuracy against sparsity": {**SPARSITY, "metrics": ["level/test/accuracy"], **line},
        "Early-stop step against sparsity": {**SPARSITY, "metrics": ["level/early_stop_step"], **line},
        "Test accuracy relative to dense (above 0: better)": {
            **SPARSITY,
            "metrics": ["level/relative/accuracy"],
            **line,
        },
        "Test accuracy against density": {
            "xAxis": "level/density",
            "xAxisTitle": "density (log)",
            "xLogScale": True,
            "metrics": ["level/test/accuracy"],
            **line,
        },
        "Training loss": {**STEPS, "metrics": ["train/loss"], **line},
        "Validation loss": {**STEPS, "metrics": ["val/loss"], **line},
        "Validation accuracy": {**STEPS, "metrics": ["val/accuracy"], **line},
    }


def test_the_first_row_has_accuracy_early_stop_and_what_is_relative_to_dense():
    tickets = section(study="questions")["panelBankConfig"]["sections"][0]
    columns = tickets["flowConfig"]["columnsPerPage"]
    titles = [panel["config"]["chartTitle"] for panel in tickets["panels"]]
    assert titles[:columns] == [
        "Test accuracy against sparsity",
        "Early-stop step against sparsity",
        "Test accuracy relative to dense (above 0: better)",
    ]


def test_the_sparsest_matching_ticket_of_each_method():
    bars = panels(study="questions")["Sparsest matching ticket of single seeds (which demonstrates nothing): sparsity"]
    assert bars["metrics"] == ["summary_metrics.sparsest_matching_sparsity"]
    assert (bars["groupAgg"], bars["groupArea"]) == ("mean", "stddev")


def test_one_study_is_grouped_by_task_then_method_and_control():
    (runs,) = section(study="questions")["runSets"]
    assert runs["filters"]["filters"] == [
        {"key": {"section": "run", "name": "group"}, "op": "=", "value": "questions", "disabled": False}
    ]
    assert runs["grouping"] == [{"section": "config", "name": "task.value"}, {"section": "run", "name": "jobType"}]


def test_several_studies_are_never_averaged():
    """Panels group as the table does: by the study first."""
    whole = section()
    (runs,) = whole["runSets"]
    assert runs["filters"]["filters"] == []
    assert [key["name"] for key in runs["grouping"]] == ["group", "task.value", "jobType"]
    assert whole["settings"]["useRunsTableGroupingInPanels"]
    assert all(
        part["localPanelSettings"]["useRunsTableGroupingInPanels"] for part in whole["panelBankConfig"]["sections"]
    )
    assert not any("groupBy" in one for one in panels().values())


def test_the_table_of_runs():
    (runs,) = section(metric="mse")["runSets"]
    columns = [
        "run:displayName", "run:group", "config:task.value", "run:jobType", "config:method.value", "config:control.value._target_",
        "config:seed.value", "run:state", "summary:dense/test/mse", "summary:demonstrated_matching_sparsity",
        "summary:demonstrated_seeds", "summary:sparsest_matching_sparsity", "summary:matching_tolerance",
    ]  # fmt: skip
    assert runs["runFeed"]["columnOrder"] == columns
    assert runs["runFeed"]["columnPinned"] == dict.fromkeys(columns, True)
    assert [key["key"]["name"] for key in runs["sort"]["keys"]] == ["group", "task", "jobType", "displayName"]


def test_another_metric():
    drawn = [name for one in panels(metric="loss").values() for name in one["metrics"]]
    assert drawn.count("level/test/loss") == 2
    assert drawn.count("val/loss") == 1
    assert not any("accuracy" in name for name in drawn)


NAMES = ["it's", 'say "so"', "5", "None", "Ausdünnung", "a (b) = c", "p<q>", r"x\n", "x\ny", " "]


@pytest.mark.parametrize("study", [*NAMES, "Metric('CreatedTimestamp') within_last 5 days"])
def test_a_study_is_looked_for_by_its_very_name(study):
    (found,) = section(study=study)["runSets"][0]["filters"]["filters"]
    assert (found["op"], found["value"]) == ("=", study)


def test_a_dry_run_prints_what_would_be_sent(capsys):
    assert dashboard.main(["--entity", "me", "--project", "mine", "--name", "Tickets", "--dry-run"]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert err == ""
    assert (told["entity"], told["project"], told["name"]) == ("me", "mine", "Tickets")
    assert len(told["spec"]["section"]["panelBankConfig"]["sections"]) == 2


def test_a_dry_run_needs_neither_torch_nor_a_login():
    code = (
        "import sys; from ltb import dashboard; dashboard.main(['--entity', 'me', '--dry-run']); "
        "assert not {'torch', 'pytorch_lightning', 'pandas', 'altair'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_leaves_early_is_no_error():
    command = [sys.executable, "-m", "ltb.dashboard", "--entity", "me", "--dry-run"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == ("", 0)


REFUSED = {
    (): "the following arguments are required: --entity (--help says more)",
    ("--entity", "me/ltb"): "--entity='me/ltb': some characters, none of them / \\ # ? % :",
    ("--entity", "me", "--project", ""): "--project='': some characters, none of them / \\ # ? % :",
    ("--entity", "me", "--metric", "a b"): "--metric='a b': the name of a metric, such as accuracy",
    ("--entity", "me", "--study", ""): "--study='': the name of a study",
    ("--entity", "me", "--name", "\N{GEM STONE}"): "--name='\N{GEM STONE}': Emojis are not allowed :(",
    ("--entity", "me"): "W&B is offline here: `wandb login` first, or --dry-run to see what would be sent",
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_what_cannot_be_made_is_one_line(arguments, capsys):
    try:
        code = dashboard.main(arguments)
    except SystemExit as ended:
        code = ended.code
    assert code == 2
    assert capsys.readouterr() == ("", f"python -m ltb.dashboard: {REFUSED[arguments]}\n")


def test_without_the_extra_one_line_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb_workspaces.workspaces", None)
    assert dashboard.main(["--entity", "me", "--dry-run"]) == 2
    told = "python -m ltb.dashboard: wandb-workspaces is not installed: pip install 'ltb[dashboard]'\n"
    assert capsys.readouterr() == ("", told)


def test_what_is_saved_is_what_a_dry_run_prints(capsys, monkeypatch):
    """Up to the request itself, which is answered here."""
    from wandb_workspaces.workspaces import interface, internal

    asked = []

    def answer(api, query, variables):
        asked.append(variables)
        return {"upsertView": {"view": {"id": "1", "name": "nw-abc-v"}}}

    monkeypatch.setenv("WANDB_API_KEY", "0123456789" * 4)
    monkeypatch.setattr(internal.wandb, "Api", lambda: None)
    monkeypatch.setattr(internal, "execute_graphql", answer)
    monkeypatch.setattr(interface, "get_app_url", lambda api: "https://wandb.invalid")
    assert dashboard.main(["--entity", "me", "--project", "mine", "--study", "questions"]) == 0
    assert capsys.readouterr() == ("workspace  https://wandb.invalid/me/mine?nw=abc\n", "")
    (one,) = asked
    assert (one["entityName"], one["projectName"], one["displayName"]) == ("me", "mine", "Lottery tickets")
    assert without_ids(json.loads(one["spec"])["section"]) == without_ids(section(study="questions"))


def without_ids(node):
    """Panels' own ids are drawn anew each time."""
    if isinstance(node, dict):
        return {key: without_ids(value) for key, value in node.items() if key not in ("__id__", "id")}
    return [without_ids(entry) for entry in node] if isinstance(node, list) else node


def test_what_wandb_refuses_is_one_line(capsys, monkeypatch):
    import wandb_workspaces.workspaces as ws

    def refused(self):
        raise RuntimeError("permission denied\nfor me/ltb")

    monkeypatch.setenv("WANDB_API_KEY", "0123456789" * 4)
    monkeypatch.setattr(ws.Workspace, "save", refused)
    assert dashboard.main(["--entity", "me"]) == 1
    told = "python -m ltb.dashboard: W&B did not take it: permission denied for me/ltb\n"
    assert capsys.readouterr() == ("", told)
