"""A configuration that cannot be run stops before any training: exit code 2, one line that says what and what instead, no trace."""

import hashlib
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import torch

from ltb.train import Refused, conf
from tests.support.command import TINY, folders, ledger, own_process, status

# What is typed -> what the line must hold: the key with its value, and what is allowed or what there is.
REFUSED = {
    # Names
    "+experiment=imq": ["experiment=imq", "imp_rewind", "one_shot", "random"],
    "task=mnist": ["task=mnist", "mnist_lenet", "fashion_lenet"],
    "model=resnet21": ["model=resnet21", "resnet20", "mlp"],
    "control=shuffled": ["control=shuffled", "shuffle", "reinit"],
    "measure=[calibration,bites]": ["measure=bites", "bytes, calibration"],
    "=1": ["=1: a setting is KEY=VALUE"],
    ".seed=1": [".seed=1: a setting is KEY=VALUE"],
    "data=[null]": ["data=[null]: there is no such option", "mnist1d"],
    "protocol={}": ["protocol.batch_size is not set", "a whole number"],
    "~training.length": ["training.length is not set", "500it"],
    "experiment=imp": ["experiment=imp", "+experiment=imp"],
    "+threds=2": ["threds=2", "there is no such setting", "the nearest is threads"],
    "+metric.tolerence=0.1": ["metric.tolerence=0.1", "the nearest is tolerance"],
    "foo=1": ["foo=1", "seed", "rewind_step", "schedule"],
    "schedule.foo=1": ["schedule.foo=1", "rate, levels"],
    "optimizer.momentom=0.9": ["optimizer.momentom=0.9", "betas, weight_decay"],
    "+optimizer.momentom=0.9": ["optimizer.momentom=0.9", "Adam has no such setting", "betas"],
    "+module.foo=1": ["module.foo=1", "Classification has no such setting", "gradient_clip"],
    "rewind.length=3it": ["rewind.length=3it", "optimizer_state"],
    "metric.direction=up": ["metric.direction='up'", "one of max, min"],
    "metric.name=f1": ["metric.name='f1'", "test/accuracy", "test/loss"],
    "prune_from=here": ["prune_from='here'", "previous, dense, start"],
    "trainer.precision=16-mixed": ["trainer.precision='16-mixed'", "bf16-mixed"],
    "trainer.accelerator=tpu": ["trainer.accelerator='tpu'", "cpu, gpu, auto"],
    "logger=wandb logger.mode=maybe": ["logger.mode='maybe'", "auto, online, offline"],
    "rewind.optimizer_state=old": ["rewind.optimizer_state='old'", "one of fresh, kept"],
    "criterion._target_=ltb.core.criteria.Nope": ["criterion._target_=ltb.core.criteria.Nope"],
    "criterion._target_=ltb.core.rewind.Weights": ["criterion", "Weights", "Criterion"],
    # Types
    "seed=abc": ["seed='abc'", "a whole number"],
    "seed=1.5": ["seed=1.5", "a whole number"],
    "threads=many": ["threads='many'", "a whole number"],
    "schedule.rate=abc": ["schedule.rate='abc'", "a number"],
    "schedule.levels=2.5": ["schedule.levels=2.5", "a whole number"],
    "schedule=explicit schedule.sparsities=0.5": ["schedule.sparsities=0.5", "a list"],
    "fresh=3": ["fresh=3", "true or false"],
    "progress=maybe": ["progress='maybe'", "true or false"],
    "training.length=ten": ["training.length='ten'", "500it", "2ep"],
    "rewind_step=500": ["rewind_step=500", "500it"],
    "metric.tolerance=some": ["metric.tolerance='some'", "a number"],
    "prunable.exclude=output.weight": ["prunable.exclude='output.weight'", "a list"],
    "prunable.include=3": ["prunable.include=3", "a list"],
    "module.gradient_clip=high": ["module.gradient_clip='high'", "a number, above 0 or null"],
    "protocol.batch_size=ten": ["protocol.batch_size='ten'", "a whole number"],
    "data.batch_size=ten": ["data.batch_size='ten'", "a whole number"],
    "optimizer.betas=0.9": ["optimizer.betas=0.9", "a list"],
    "optimizer.betas={a:1}": ["optimizer.betas={a:1}: a list"],
    "model.widths={}": ["model.widths={}: a list"],
    "data=noise data.shape=[0]": ["data.shape=[0]", "whole numbers, 1 or more"],
    "protocol.layer_rates={OTHER:half}": [
        "'OTHER' matches no prunable parameter",
        "there are fc1.weight, output.weight",
    ],
    "protocol.layer_rates={output.weight:9}": [
        "allocation.rates['output.weight']=9 (protocol.layer_rates): half or a number"
    ],
    "model.widths=16": ["model.widths=16", "a list of whole numbers"],
    "lr=3": ["lr=3", "there is no such option", "cosine"],
    # Ranges
    "seed=-1": ["seed=-1", "0 or more"],
    "threads=0": ["threads=0", "1 to 1024"],
    "schedule.rate=1.5": ["schedule.rate=1.5", "between 0 and 1"],
    "schedule.levels=-1": ["schedule.levels=-1", "0"],
    "schedule=linear schedule.final=1 schedule.levels=2": ["schedule.final=1", "between 0 and 1"],
    "schedule=explicit schedule.sparsities=[0.5,0.4]": ["schedule.sparsities=[0.5, 0.4]", "must rise"],
    "schedule=explicit schedule.sparsities=[0.5,1.0]": ["schedule.sparsities=[0.5, 1.0]", "[0, 1)"],
    "rewind_step=8it": ["rewind_step=8it", "8 iterations"],
    "training.length=99999999999it": ["training.length=99999999999it", "100,000,000 are the most"],
    "rewind=fine_tune rewind.length=99999999999it": ["rewind.length: 99999999999it", "100,000,000 are the most"],
    "training.length=0it": ["training.length='0it'", "at least 1"],
    "training.evaluate_every=9it": ["training.evaluate_every=9it", "8it"],
    "data.val_size=60": ["data.val_size", "60"],
    "data.train_size=41": ["data.train_size", "40", "41"],
    "protocol.batch_size=0": ["protocol.batch_size=0", "1 or more"],
    "data.batch_size=0": ["data.batch_size=0", "1 or more"],
    "protocol.batch_size=41": ["data.batch_size", "40", "41"],
    "protocol.learning_rate=-1": ["protocol.learning_rate=-1", "above 0"],
    "lr.base=-1": ["lr.base=-1", "above 0"],
    "lr.warmup=3": ["lr.warmup=3", "500it"],
    "metric.tolerance=-0.1": ["metric.tolerance=-0.1", "0 or more"],
    "metric.tolerance=nan": ["metric.tolerance=nan", "a number"],
    "metric.tolerance=true": ["metric.tolerance=True", "a number"],
    "runs=null": ["runs=None", "a text"],
    "runs=5": ["runs=5", "a text"],
    "store.dir=null": ["store.dir=None", "a text"],
    "store=null": ["store"],
    "prunable=null": ["prunable", "section"],
    "seed=999999999999999999999999": ["seed=999999999999999999999999", "below 2**63"],
    "+trainer.max_epochs=3": ["trainer.max_epochs=3", "is set by ltb"],
    "+trainer.foo=1": ["trainer.foo=1", "there is no such setting"],
    "allocation.min_per_layer=-1": ["allocation.min_per_layer=-1", "0 or more"],
    "module.accumulate=0": ["module.accumulate=0", "1 or more"],
    "module.accumulate=11": ["module.accumulate=11", "a minibatch has 10 examples"],
    "rewind=fine_tune rewind.length=-1it": ["rewind.length='-1it'", "iterations as 500it"],
    "rewind=fine_tune rewind.length=0it objective=l1": ["objective=L1", "rewind.length=0it"],
    "label_noise.rate=1": ["label_noise.rate=1", "below 1"],
    "label_noise.rate=0.001": ["label_noise.rate=0.001", "changes 0 of 40 labels"],
    "label_noise.seed=1": ["label_noise.seed=1", "no effect with rate=0"],
    "method=impp": ["method=impp", "imp_rewind", "one_shot"],
    # Choices that do not go together
    "prune_from=start rewind=learning_rate": ["rewind=LearningRate", "prune_from=start", "rewind=weights"],
    "+experiment=dense control=reinit schedule.levels=0": ["control=reinit", "dense"],
    "allocation.rates={output.weight:third}": [
        "allocation.rates['output.weight']='third' (protocol.layer_rates): half or a number",
        "below 1",
    ],
    "allocation.rates={output.weight:5}": [
        "allocation.rates['output.weight']=5 (protocol.layer_rates): half or a number"
    ],
    "schedule.rate=0.5 protocol.layer_rates={output.weight:2}": ["rates['output.weight']=2", "the rate (0.5)"],
    "allocation.rates={nope.*:half}": ["allocation.rates", "'nope.*'", "output.weight"],
    "prunable.exclude=[nope]": ["prunable.exclude", "'nope'", "output.weight"],
    "prunable.exclude=['*'] allocation.rates={}": ["prunable", "no parameter of MLP"],
    "data.shape=[3,5] model=resnet20": ["[3, 5]"],
    # Hydra's grammar
    "seed": ["seed", "EQUAL"],
    "model=mlp,lenet_300_100": ["model=mlp,lenet_300_100", "--multirun"],
    "seed=${nope}": ["seed: it is taken from nope", "not set"],
    "study=müller": ["study=müller", "\"study='müller'\""],
    "study=日本": ["\"study='日本'\""],
    "task=null": ["task=null", "there is no such option", "mnist1d_mlp"],
    # Keys that are not there, and keys that are gone
    "+foo=1": ["foo=1", "there is no such setting"],
    "+training.evaluate_evry=1it": ["training.evaluate_evry='1it'", "the nearest is evaluate_every"],
    "+logger.group=foo logger=none": ["logger.group='foo'", "no such setting"],
    "+callbacks.a=1": ["callbacks.a=1", "_target_"],
    "control=[reinit,shuffle]": ["control=[reinit,shuffle]", "a run has one control; with -m, control=reinit,shuffle"],
    "+control.foo=1": ["control={'foo': 1}", "_target_"],
    "~seed": ["seed is not set", "a whole number"],
    "~training rewind=fine_tune": ["training is not set", "length, evaluate_every"],
    "~runs": ["runs is not set"],
    "~model.widths ~model.classes": ["model: MLP needs classes"],
    # What the Trainer takes
    "+trainer.devices=2": ["trainer.devices=2", "is set by ltb", "precision"],
    "+trainer.strategy=ddp": ["trainer.strategy='ddp'", "is set by ltb"],
    "+trainer.num_nodes=2": ["trainer.num_nodes=2", "is set by ltb"],
    "+trainer.deterministic=nope": ["trainer.deterministic='nope'", "true or false or warn"],
    "+trainer.gradient_clip_val=abc": ["trainer.gradient_clip_val='abc'", "a number, above 0"],
    "+trainer.gradient_clip_val=1": ["trainer", "gradient clipping is not supported for manual optimization"],
    "+trainer.profiler=nope": ["trainer.profiler='nope'", "simple, advanced"],
    # What a constructor takes
    "optimizer.weight_decay=nan": ["optimizer.weight_decay=nan"],
    "optimizer.weight_decay=-1": ["optimizer.weight_decay=-1.0", "Invalid weight_decay"],
    "optimizer.betas=[1.5,0.9]": ["optimizer: Invalid beta"],
    "+optimizer.amsgrad=3": ["optimizer.amsgrad=3: true or false"],
    "optimizer.betas=[0.9]": ["optimizer.betas=[0.9]", "a list of 2 numbers"],
    "schedule=explicit schedule.sparsities=[abc]": ["schedule.sparsities=['abc']", "a list of numbers"],
    "model.initialiser=3": ["model.initialiser=3", "a section with a _target_ that makes Initialiser"],
    "measure=calibration measure.calibration.bins=0": ["measure.calibration.bins=0", "1 to 10000"],
    "measure=calibration measure.calibration.bins=2000000000": ["measure.calibration.bins=2000000000", "1 to 10000"],
    # What would have no effect, or never end
    "allocation.min_per_layer=1000000000": ["allocation.min_per_layer=1000000000", "640"],
    "allocation=global allocation.min_per_layer=700": ["allocation.min_per_layer=700", "2 layers would keep"],
    "lr.warmup=9it": ["lr.warmup=9it", "8it"],
    "lr=milestones protocol.milestones=[9it]": ["lr.milestones=['9it']", "8it"],
    "schedule.rate=1e-17": ["schedule", "1e-17", "rise"],
    "schedule.rate=1e-9": ["schedule", "1e-09", "levels 0 and 1 both keep 800"],
    "schedule.levels=100000000000": ["schedule.levels=100000000000", "to 200"],
    "criterion=snip criterion.rounds=1000000000": ["criterion.rounds=1000000000", "1 to 1000"],
    "threads=100000": ["threads=100000", "1 to 1024"],
    "metric.name=loss metric.direction=max": ["metric.direction='max'", "min"],
    "runs=/proc/x": ["runs=/proc/x", "not a folder that can be written"],
    "hydra.run.dir=/proc/x": ["hydra.run.dir", "/proc/x", "cannot be written"],
    "hydra.output_subdir=3": ["hydra.output_subdir='3'", "null"],
    "hydra.verbose=abc": ["hydra.verbose='abc'", "true or false"],
    "hydra/launcher=joblib hydra.launcher.n_jobs=0 -m seed=0,1": ["hydra.launcher.n_jobs=0", "1 or more", "or -1"],
    "hydra/launcher=submitit_local hydra.launcher.timeout_min=-1 -m seed=0,1": [
        "hydra.launcher.timeout_min=-1",
        "0 or",
    ],
    "hydra.sweeper.max_batch_size=0 -m seed=0,1": ["hydra.sweeper.max_batch_size=0", "1 or more"],
    "--nope": ["unrecognized arguments: --nope"],
    "--cfg nope": ["argument --cfg", "'nope'", "job"],
    "-m method=fine_tune,one_shot_fine_tune rewind.length=5it": ["rewind.length=5it", "rewind=fine_tune"],
    # Dynamics that would not change anything, or not when they are to
    "method=set dynamics.every=1000it": ["dynamics.every=1000it", "8 iterations"],
    "method=set dynamics.every=1it dynamics.last=1000it": ["dynamics.last=1000it", "8 iterations"],
    "method=set dynamics.every=1it dynamics.first=6it dynamics.last=5it": ["dynamics=", "never change", "8 iterations"],
    "method=gradual dynamics.every=99999999999999it": ["dynamics.every: 99999999999999it", "100,000,000"],
    "method=set dynamics.exchanged=nan": ["dynamics.exchanged=nan", "between 0 and 1"],
    "allocation=per_layer allocation.sparsities={output.weight:1.5}": [
        "allocation.sparsities['output.weight']=1.5",
        "0 or more and below 1",
    ],
    "allocation=per_layer allocation.sparsities={nope:0.5}": ["allocation.sparsities: 'nope'", "output.weight"],
    "study='=1+1'": ["study='=1+1'", "a formula to spreadsheets"],
    "hydra.run.dir=/dev/null/x": ["hydra.run.dir", "/dev/null/x", "Not a directory"],
}


def left(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("given", REFUSED)
def test_refused(command, given):
    taken = [f"{one.partition('=')[0].partition('.')[0]}=" for one in TINY]
    tiny = [
        one for one, group in zip(TINY, taken, strict=True) if f" {group}" not in f" {given}" or one.startswith("data")
    ]
    result = command(*tiny, *given.split(" "))
    assert (result.code, result.out) == (2, "")
    assert result.line.startswith("ltb: ")
    for part in REFUSED[given]:
        assert part in result.line
    assert "Traceback" not in result.err
    assert [name for name in left(command.folder) if not name.startswith("data")] == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there(command):
    result = command(*TINY, "trainer=gpu")
    assert (result.code, result.line) == (
        2,
        "ltb: trainer.accelerator='gpu': torch sees no GPU here; use trainer=cpu or trainer=auto",
    )


@pytest.mark.parametrize("key", ["runs", "store.dir"])
def test_a_folder_that_cannot_be_written(command, key):
    (command.folder / "file").write_text("not a folder")
    result = command(*TINY, f"{key}=file/{key}")
    assert result.code == 2
    assert f"{key}=file/{key}" in result.line
    assert "is not a folder that can be written" in result.line
    assert left(command.folder) == ["file"]


@pytest.mark.parametrize("task", ["mnist_lenet", "resnet20_cifar10", "resnet50_imagenet"])
def test_data_that_cannot_be_had(command, monkeypatch, task):
    def no_network(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    result = command(f"task={task}", "logger=none")
    assert result.code == 2
    assert str(command.folder / "data") in result.line
    assert "mnist1d" in result.line or "imagenet" in result.line
    assert not command.runs.exists()


def test_wandb_that_does_not_start(command, monkeypatch):
    def broken(**_):
        raise OSError("no disk\nat all")

    monkeypatch.setattr("wandb.init", broken)
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(command.folder / "wandb-config"))
    result = command(*TINY, "logger=wandb", "logger.mode=offline")
    assert (result.code, result.line) == (
        2,
        "ltb: logger: W&B did not start (no disk at all); logger=none runs without it",
    )
    assert folders(command.runs) == []


def test_a_bug_is_told_with_its_trace_and_status(command, monkeypatch):
    def broken(self, *_, **__):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("ltb.training.fit.Training.fit", broken)
    result = command(*TINY)
    (folder,) = folders(command.runs)
    assert result.code == 1
    assert result.err.startswith(f"ltb: {folder.name} failed: Traceback")
    assert result.err.endswith("ZeroDivisionError: a bug\n")
    assert (status(folder)["state"], status(folder)["error"]) == ("failed", "ZeroDivisionError: a bug")


def hashes(folder):
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.*") if path.is_file()}


@pytest.mark.parametrize("name", ["ticket.safetensors", "trained.safetensors", "stage.json"])
def test_a_damaged_file_is_named_and_left_alone(command, name):
    folder = command.done(*TINY)
    stage = command.runs / "store" / ledger(folder)[1]["stage"]
    content = (stage / name).read_bytes()
    (stage / name).write_bytes(content[: len(content) // 2])
    before = hashes(command.runs / "store")
    result = command(*TINY)
    assert result.code == 1
    assert f"runs/store/{stage.name}/{name} is damaged" in result.line
    assert hashes(command.runs / "store") == before
    assert status(folder)["state"] == "failed"
    (stage / name).write_bytes(content)
    command.done(*TINY)
    assert status(folder)["state"] == "complete"


def test_full_errors_for_who_asks(command, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(Refused) as told:
        command(*TINY, "seed=abc")
    assert "seed='abc'" in str(told.value.__cause__)
    assert os.environ["HYDRA_FULL_ERROR"] == "1"


@pytest.mark.slow
def test_help_and_names_answer_without_torch(tmp_path):
    """Under a second on a quiet machine: what takes seconds to import is not."""
    code = (
        "import sys; from ltb.train import main; sys.argv = ['ltb-train', *sys.argv[1:]]\n"
        "try: main()\n"
        "except SystemExit as ended: assert (ended.code or 0) == EXPECTED, ended.code\n"
        "assert not {'torch', 'pytorch_lightning', 'wandb', 'pandas'} & set(sys.modules)"
    )
    for given, expected in (["--help"], 0), (["--cfg", "job"], 0), (["task=nope"], 2), (["foo=1"], 2), (["seed=-1"], 2):
        command = [sys.executable, "-c", code.replace("EXPECTED", str(expected)), *given]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert len(done.stderr.splitlines()) == (1 if expected else 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_help_into_a_pipe_that_closes(tmp_path):
    shell = f"set -o pipefail; {sys.executable} -c 'from ltb.train import main; main()' --help | head -1"
    done = subprocess.run(["bash", "-c", shell], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout[:4]) == (0, "", "ltb:")


def test_help_names_every_group_and_option(command):
    result = command("--help")
    assert result.code == 0
    for group in Path(conf()).iterdir():
        if group.is_dir() and group.name not in ("experiment", "hydra"):
            assert f"{group.name}: {', '.join(sorted(file.stem for file in group.glob('*.yaml')))}" in result.out
    for words in ("+experiment=NAME", "-m KEY=A,B", "python -m ltb.report"):
        assert words in result.out


SWEEPS = {
    # What only a step of training shows is found in all jobs before the first trains.
    "optimizer.betas=[0.9,0.99],[0.5,1.5]": ["Invalid beta parameter", "none was run"],
    "model.classes=10,3": ["a step of training fails: IndexError: Target", "none was run", "HYDRA_FULL_ERROR=1"],
    "seed=range(0)": ["seed=range(0)", "there is no value"],
    "seed=range(0,1000000000)": ["seed (1000000000)", "10000 jobs at most"],
    "seed=range(0,1e9)": ["10000 jobs at most"],
    "seed=range(0,200) salt=range(0,200)": ["seed (200), salt (200)", "10000 jobs at most"],
    "seed=0,1,0": ["seed=0,1,0", "a value is there twice"],
    "measure=calibration,per_class": ["measure=calibration,per_class", "'measure=[calibration,per_class]'"],
    "study=a,b": ["study=a,b", "one and the same run"],
    "execution=int8,int4 execution.length=3it": ["of all options of execution=int8,int4 it is ++execution.length=3it"],
    "store.keep=all,tickets": ["store.keep=all,tickets", "one and the same run"],
}


@pytest.mark.parametrize("given", SWEEPS)
def test_a_sweep_that_is_none(command, given):
    result = command("-m", *TINY, *given.split(" "))
    assert (result.code, result.out) == (2, "")
    for part in SWEEPS[given]:
        assert part in result.line
    assert left(command.folder) == []


WHOLE = (
    "seed=-1",
    "threads=100000",
    "~training",
    "study=müller",
    "-m seed=range(0,1000000000)",
    "+trainer.num_nodes=2",
)
SLOW = (
    "schedule.rate=1e-17",
    "runs=/proc/x",
    "+optimizer.betas=[0.9]",
    "optimizer.weight_decay=-1",
)  # ten seconds each


@pytest.mark.parametrize("given", [*WHOLE, *(pytest.param(one, marks=pytest.mark.slow) for one in SLOW)])
def test_a_whole_command(tmp_path, given):
    """In a process of its own: one line, nothing left, nothing that crashes or hangs."""
    given = given.split(" ")
    with own_process(tmp_path, *given[:-1], *TINY, given[-1]) as running:
        out, err = running.communicate(timeout=120)
    assert (running.returncode, out, len(err.splitlines()), err[:5]) == (2, "", 1, "ltb: ")
    assert left(tmp_path) == []


@pytest.mark.parametrize("flag", [("--config-dir", "conf"), ("-cd", "conf"), ("--config-dir=conf",)])
def test_flags_may_stand_among_the_settings(command, flag):
    (command.folder / "conf").mkdir()
    given = ("method=one_shot", *flag, *TINY, "-m", "seed=0,1", "plan=true")
    result = command(*given)
    assert (result.code, result.err) == (0, "")
    assert "one_shot-noise+mlp-s1" in result.out
