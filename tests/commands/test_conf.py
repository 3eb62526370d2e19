"""Every file of conf/ in a whole command, found by looking into the folder, so that none can rot."""

import csv
import math
import re
import shlex
import shutil
from itertools import cycle, islice
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import get_object
from omegaconf import OmegaConf

from ltb.train import conf
from tests.support.command import TINY, folders, ledger, status

CONF = Path(conf())


def names(group):
    return sorted(file.stem for file in (CONF / group).glob("*.yaml"))


def quickly(group, *few):
    """All names of a group, as parameters; all but a few are slow, for together they take minutes."""
    assert set(few) <= set(names(group))
    found = [
        name for name in names(group) if name != "network_slimming"
    ]  # of networks with batch norms: test_whole_units
    return [pytest.param(name, marks=[pytest.mark.slow] * (name not in few)) for name in found]


def composed(*overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", list(overrides))


def history(folder, level):
    """The rows of a level in the history, with the columns of the density where there are none."""
    with (folder / "history.csv").open(newline="") as file:
        return [{"density": "", **row} for row in csv.DictReader(file) if row["level"] == str(level)]


def comments(file):
    return [line.removeprefix("# ") for line in file.read_text().splitlines() if re.match("# (?!@package)", line)]


# Experiments


@pytest.mark.parametrize("name", names("experiment"))
def test_an_experiment_is_a_short_diff_headed_by_its_command(name):
    file = CONF / "experiment" / f"{name}.yaml"
    assert len(file.read_text().splitlines()) <= 15
    assert comments(file)[0].split()[:4] == ["python", "-m", "ltb.train", f"+experiment={name}"]


@pytest.mark.parametrize("file", ["experiment/comparison", *(f"method/{name}" for name in names("method"))])
def test_a_method_is_headed_by_its_paper(file):
    said = " ".join(comments(CONF / f"{file}.yaml"))
    assert re.search(r"\b(19|20)\d\d\b", said) or "baseline" in said


def is_sweep(name):
    return "MULTIRUN" in (CONF / "experiment" / f"{name}.yaml").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in names("experiment") if is_sweep(name)])
def test_every_experiment_that_is_a_sweep_runs_each_of_its_jobs(command, name):
    given = shlex.split(comments(CONF / "experiment" / f"{name}.yaml")[0])[3:]
    params = OmegaConf.load(CONF / "experiment" / f"{name}.yaml").hydra.sweeper.params
    jobs = math.prod(len(str(values).split(",")) for key, values in params.items() if key != "seed")
    result = command(*given, *TINY, "hydra.sweeper.params.seed=3")
    assert (result.code, result.err) == (0, "")
    assert [status(folder)["state"] for folder in folders(command.runs)] == ["complete"] * jobs
    assert {ledger(folder)[0]["seed"] for folder in folders(command.runs)} == {"3"}


@pytest.mark.parametrize(
    "name", quickly("method", "dense", "imp", "imp_rewind", "lr_rewind", "fine_tune", "one_shot", "rigl", "snip")
)
def test_every_method_runs_and_its_experiment_is_the_same(command, name):
    levels = ["schedule.levels=0"] if name == "dense" else []
    made = composed(f"method={name}")
    dynamics = ["dynamics.every=1it"] if made.get("dynamics") else []
    rule = ["rewind_rule.every=1it"] if made.get("rewind_rule") else []
    execution = made.get("execution")
    changes = bool(made.get("dynamics")) or bool(execution and get_object(execution["_target_"]).prunes)
    folder = command.done(f"method={name}", *TINY, *levels, *dynamics, *rule)
    rows = ledger(folder)
    assert [row["level"] for row in rows] == (["0"] if levels else ["0", "1", "2"])
    assert [{row["density"] for row in history(folder, level)} != {""} for level in range(len(rows))] == (
        [False, True, True] if changes else [False] * len(rows)
    )
    if name in names("experiment"):
        assert command.done(f"+experiment={name}", *TINY, *levels) == folder


@pytest.mark.parametrize("name", [name for name in names("experiment") if not is_sweep(name)])
def test_every_experiment_runs_by_its_own_command(command, name):
    given = shlex.split(comments(CONF / "experiment" / f"{name}.yaml")[0])[3:]
    short = {"rewind_step": "rewind_step=3it", "rewind.length": "rewind.length=4it", "lr.after": "lr.after=1e-4"}
    shortened = [short[key] for key in short if any(one.startswith(f"{key}=") for one in given)]
    levels = ["schedule.levels=0"] if name == "dense" else []
    folder = command.done(*given, *TINY, *shortened, *levels)
    rows = ledger(folder)
    expected = 1 if name == "dense" else 3
    assert [row["level"] for row in rows] == [str(level) for level in range(expected)]
    assert status(folder)["state"] == "complete"
    assert status(folder)["levels_done"] == expected


# Tasks


def stand_in(task):
    """A few random examples of the shape of a task's data, in small batches; few steps; images of ImageNet are made smaller."""
    data = composed(f"task={task}").data
    shape = [3, 32, 32] if data.shape[-1] > 32 else list(data.shape)
    return (
        f"task={task}", "data=noise", f"data.shape={shape}", f"data.classes={data.classes}", "protocol.batch_size=4",
        "data.size=16", "data.val_size=8", "data.test_size=8", "training.length=3it",
        "training.evaluate_every=3it", "protocol.rewind_step=1it", "protocol.milestones=[1it,2it]", "protocol.warmup=0it",
        "schedule.levels=1", "logger=none", "progress=false",
    )  # fmt: skip


@pytest.mark.parametrize(
    "task", quickly("task", "mnist1d_mlp", "digits_lenet", "mnist_lenet", "cifar10_conv4", "resnet20_cifar10")
)
def test_every_task_runs_two_levels(command, task):
    try:
        folder = command.done("+experiment=imp_rewind", *stand_in(task))
        dense, pruned = ledger(folder)
        assert dense["sparsity"] == "0.0"
        assert 0.05 < float(pruned["sparsity"]) < 0.201
        assert (pruned["start_step"], pruned["end_step"]) == ("1", "3")
        assert (pruned["task"], pruned["data"]) == (
            "noise+mlp" if task == "mnist1d_mlp" else f"{task}@noise+{pruned['model']}",
            "noise",
        )
    finally:
        shutil.rmtree(command.runs, ignore_errors=True)  # hundreds of megabytes


@pytest.mark.parametrize(
    ("given", "rate"),
    [
        ([], 0.2),
        (["schedule.rate=0.5"], 0.5),
        (["protocol.rate=0.4"], 0.4),
        (["schedule=explicit"], 0.2),
        (["schedule=linear", "protocol.rate=0.4"], 0.4),
        (["schedule.rate=0.5", "allocation.rate=0.3"], 0.3),
    ],
)
def test_layer_rates_are_relative_to_the_schedules_rate(given, rate):
    assert composed("allocation=layerwise", *given).allocation.rate == rate


# What no task names: other models and data


def in_no_task(group):
    tasks = "\n".join((CONF / "task" / f"{task}.yaml").read_text() for task in names("task"))
    return sorted(set(names(group)) - set(re.findall(rf"/{group}: (\w+)", tasks)))


@pytest.mark.slow
@pytest.mark.parametrize("model", in_no_task("model"))
def test_every_other_model_runs(command, model):
    command.done(*stand_in("resnet20_cifar10"), f"model={model}")
    shutil.rmtree(command.runs)


@pytest.mark.parametrize("name", names("data"))
def test_every_dataset_is_composed_with_the_protocols_batch(name):
    config = composed(f"data={name}", "protocol.batch_size=7")
    assert OmegaConf.to_container(config, resolve=True)["data"]["batch_size"] == 7


@pytest.mark.parametrize("name", ["mnist1d", "digits"])
def test_data_that_need_no_download_run(command, name):
    small = ["data.train_size=50", "model.widths=[16]", "training.length=4it", "schedule.levels=0"]
    folder = command.done(f"data={name}", "protocol.batch_size=10", *small, "logger=none", "progress=false")
    assert ledger(folder)[0]["data"] == name


@pytest.mark.parametrize("task", names("task"))
def test_any_task_takes_other_data_and_another_model(task):
    from ltb.run.build import build

    config = OmegaConf.to_container(composed(f"task={task}", "data=cifar100", "model=resnet32"), resolve=True)
    assert build(config, "data").classes == 100
    assert build(config, "module").network is not None


# Every other option, each once or more

TRIED = (
    "allocation", "control", "criterion", "dense_objective", "lr", "measure", "objective", "optimizer",
    "rewind", "schedule", "trainer", "callbacks",
)  # fmt: skip
ELSEWHERE = {
    "experiment",
    "method",
    "task",
    "model",
    "data",
    "module",
    "metrics",
    "logger",
    "hydra",
    "dynamics",
    "execution",
    "rewind_rule",
    "structure",
    "student",
    "teacher",
    "hints",
    "normalisation",
}  # above (with what has them), and in test_plugin, test_wandb, test_first_attempts, test_launchers, test_student and test_distil
SHORT = {
    "schedule=explicit": ["schedule.sparsities=[0.3,0.7]"],
    "schedule=linear": ["schedule.levels=2"],
    "schedule=geometric": ["schedule.levels=2"],
    "lr=milestones": ["lr.milestones=[3it,5it]"],
    "measure=mask_distance": ["measure.mask_distance.every=1it"],
    # Shuffle and complement need weights that the ticket lacks, which the dense network still has.
    "rewind=fine_tune": ["rewind.length=4it", "prune_from=dense"],
    "rewind=learning_rate": ["prune_from=dense"],
}

# Sparsities at which the pattern, or what is spared, can hold: instead of any other schedule.
OF_ITS_OWN = {
    "allocation=nm": ["schedule=explicit", "schedule.sparsities=[0.3,0.5]"],
    "allocation=uniform_plus": ["schedule=explicit", "schedule.sparsities=[0.05,0.1]"],
}


def test_there_is_no_group_that_is_not_tried():
    assert {folder.name for folder in CONF.iterdir() if folder.is_dir()} == {*TRIED, *ELSEWHERE}


def rounds():
    """As few commands as there are options in the largest group: the i-th takes the i-th option of each group, round and round."""
    options = {group: names(group) for group in TRIED}
    if not torch.cuda.is_available():
        options["trainer"].remove("gpu")
    count = max(map(len, options.values()))
    options["dense_objective"].remove("distil")  # it needs another run: test_distil
    options["allocation"].remove("lamp")  # it takes no criterion whose scores may be below 0, and is tried below
    options["criterion"].remove("norm_scale")  # it takes networks with batch norm: test_whole_units has one
    columns = [[f"{group}={name}" for name in islice(cycle(found), count)] for group, found in options.items()]
    return [list(one) for one in zip(*columns, strict=True)]


ROUNDS = rounds()


@pytest.mark.parametrize(
    "given", [*ROUNDS[:6], *(pytest.param(one, marks=pytest.mark.slow) for one in ROUNDS[6:])], ids=",".join
)
def test_every_option_runs(command, given):
    tiny = [setting for setting in TINY if not setting.startswith("schedule.")]
    own = [setting for choice in given for setting in OF_ITS_OWN.get(choice, [])]
    taken = [choice for choice in given if not (own and choice.startswith("schedule="))]
    more = own + [setting for choice in taken for setting in SHORT.get(choice, [])]
    folder = command.done(*taken, *tiny, *more, "rewind_step=2it")
    rows = ledger(folder)
    assert len(rows) == 3
    assert [row["control"] for row in rows[1:]] == [given[1].removeprefix("control=")] * 2


@pytest.mark.parametrize(
    "given",
    [
        ["trainer.precision=bf16-mixed"],
        ["trainer.precision=64-true"],
        ["rewind=learning_rate", "rewind.optimizer_state=kept"],
        ["rewind=weights", "rewind.optimizer_state=kept", "rewind_step=3it"],
        ["module.l1=1e-4", "module.l2=1e-4", "module.gradient_clip=1.0", "module.accumulate=2"],
        ["optimizer=sgd", "optimizer.momentum=0.9", "optimizer.nesterov=true", "protocol.weight_decay=1e-3"],
        ["allocation=global", "allocation.min_per_layer=20", "schedule.levels=8"],
        ["allocation=lamp"],
        ["prunable.exclude=[output.weight]", "allocation.rates={}"],
        ["prunable.include=['*.weight']", "training.evaluate_every=2it", "protocol.warmup=2it"],
    ],
    ids=" ".join,
)
def test_settings_within_the_options(command, given):
    command.done(*TINY, *given)


def test_a_run_draws_its_curve_and_prints_where_everything_is(command, monkeypatch):
    monkeypatch.undo()
    monkeypatch.chdir(command.folder)
    result = command(*TINY, "progress=true", "schedule.levels=1")
    (folder,) = folders(command.runs)
    assert result.code == 0
    assert {"curves.png", "curves.svg"} <= {file.name for file in folder.iterdir()}
    assert result.out.splitlines() == [
        f"run     runs/{folder.name}",
        f"ledger  runs/{folder.name}/levels.csv",
        f"curve   runs/{folder.name}/curves.png",
    ]
    for word in (
        "level  0",
        "level  1",
        "density",
        "early stop at",
        "sparsest level within 0.007 of dense, in this seed",
    ):
        assert word in result.err


README = (CONF.parent / "README.md").read_text() if (CONF.parent / "README.md").exists() else ""
COMMANDS = re.findall(r"^    (?:python -m ltb\.train|ltb-train) ([^#\n]*)", README, re.MULTILINE)


@pytest.mark.parametrize("typed", COMMANDS)
def test_every_command_of_the_readme_is_composed(typed):
    given = [one for one in shlex.split(typed) if one not in ("-m", "--help")]
    if "hydra/launcher=ray_cluster" in given:
        pytest.importorskip("hydra_plugins.hydra_ray_launcher", reason="ltb[ray] is not installed")
    if "--config-dir" not in given:
        single = [one if re.search(r"=\[|=\{", one) else one.partition(",")[0] for one in given]
        OmegaConf.to_container(composed(*single), resolve=True)


# The table of the presets


def here(config):
    """What a composed task trains with, in the words of conf/task/README.md."""
    c = OmegaConf.to_container(config, resolve=True)
    p, optimizer = c["protocol"], c["optimizer"]["_target_"].rpartition(".")[2]
    said = [
        f"{optimizer} {p['learning_rate']}" + (f" momentum {p['momentum']}" if p["momentum"] else ""),
        f"batch {p['batch_size']}",
        f"{c['training']['length']}",
        *([f"/10 at {' '.join(p['milestones'])}"] if p["milestones"] else []),
        *([f"warm-up {p['warmup']}"] if p["warmup"] != "0it" else []),
        *([f"decay {p['weight_decay']}"] if p["weight_decay"] else []),
        *([f"dropout {p['dropout']}"] if p["dropout"] else []),
        f"inputs {(p['normalisation'] or {'_target_': 'own'})['_target_'].rpartition('.')[2]}",
        " ".join([c["model"]["initialiser"]["_target_"].rpartition(".")[2]]
                 + [f"{k} {v}" for k, v in c["model"]["initialiser"].items() if k in ("norm_weight", "bias")]),
        f"{c['allocation']['_target_'].rpartition('.')[2].lower()} {p['rate']} {c['schedule']['levels']} levels",
        *([f"without {' '.join(c['prunable']['exclude'])}"] if c["prunable"]["exclude"] else []),
        f"k {p['rewind_step']}",
    ]  # fmt: skip
    return ", ".join(said)


TABLE = CONF / "task" / "README.md"


@pytest.mark.parametrize("task", names("task"))
def test_the_table_beside_the_tasks_says_what_is_trained(task):
    (row,) = [line for line in TABLE.read_text().splitlines() if line.startswith(f"| `{task}` |")]
    assert row.split(" | ")[2] == here(composed(f"task={task}"))
