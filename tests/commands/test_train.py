"""Runs from end to end: what they leave, and that a command given again goes on where it was, to the same bytes."""

import csv
import json
import math
import re
import signal
import time

import pytest
import torch
import yaml
from torch import nn

import ltb
from ltb.core import masks as m
from ltb.core.allocation import kept_count
from ltb.records.schema import COLUMNS
from ltb.run.build import build
from ltb.store.ticket import load_point
from ltb.training import Training
from tests.support.command import TINY, folders, ledger, own_process, status, without


@pytest.fixture
def fits(monkeypatch):
    """The (first, last) iteration of each training, in order."""
    seen = []
    fit = Training.fit

    def counted(self, what, *more, **given):
        if what.stop > what.origin.step:  # the start at step 0 is no training
            seen.append((what.origin.step, what.stop))
        return fit(self, what, *more, **given)

    monkeypatch.setattr(Training, "fit", counted)
    return seen


def stage_bytes(runs):
    """What the store holds, timings and the name of the run that was first apart: bytes of tensors, metadata."""
    found = {}
    for path in sorted((runs / "store").rglob("*.*")):
        if path.suffix == ".safetensors":
            found[str(path.relative_to(runs))] = path.read_bytes()
        elif path.name == "stage.json":
            about = json.loads(path.read_text())
            del about["seconds"], about["digest"]  # which is of the timings too
            for row in about["result"].get("history", ()):
                del row["seconds"]
            found[str(path.relative_to(runs))] = about
    return found


# What a run leaves


def test_the_ledger_says_what_the_tickets_hold(command):
    folder = command.done("+experiment=imp_rewind", *TINY, "schedule.levels=3", "study=questions", "seed=5")
    rows = ledger(folder)
    assert list(rows[0])[: len(COLUMNS)] == list(COLUMNS)
    assert [row["level"] for row in rows] == ["0", "1", "2", "3"]
    prunable, outer = 40 * 16 + 16 * 10, None
    for level, row in enumerate(rows):
        ticket = ltb.Ticket.load(folder / "tickets" / f"level-{level:02d}.safetensors")
        trained = load_point(folder / "trained" / f"level-{level:02d}.safetensors")
        assert row["run_id"] == folder.name
        assert ticket.provenance == {"stage": row["stage"]}
        assert (row["study"], row["method"], row["task"]) == ("questions", "imp_rewind", "noise+mlp")
        assert (row["model"], row["data"], row["seed"], row["control"]) == ("mlp", "noise", "5", "none")
        # Layerwise at 20 % a level, the output at 10 %: exactly.
        kept = kept_count(640, 1 - 0.8**level) + kept_count(160, 1 - 0.9**level)
        assert int(row["remaining"]) == kept == m.remaining(ticket.masks)
        assert int(row["prunable"]) == prunable == m.total(ticket.masks)
        assert int(row["parameters"]) == prunable + 16 + 10
        assert float(row["target_sparsity"]) == 1 - 0.8**level
        assert float(row["density"]) == kept / prunable == ticket.density
        assert float(row["sparsity"]) == (prunable - kept) / prunable == ticket.sparsity
        assert row["stage"] == ticket.provenance["stage"]
        assert ((ticket.origin.step, trained.step), (row["start_step"], row["end_step"])) == (
            ((3, 8), ("3", "8")) if level else ((0, 8), ("0", "8"))
        )
        for name, mask in ticket.masks.items():
            assert not ticket.origin.weights[name][~mask].any()
            assert not trained.weights[name][~mask].any()
            assert (trained.weights[name][mask] != ticket.origin.weights[name][mask]).any()
        assert outer is None or m.nested(ticket.masks, outer)
        outer = ticket.masks
        for name in ("train/loss", "val/accuracy", "val/loss", "test/accuracy", "test/loss"):
            assert math.isfinite(float(row[name]))
        assert 0 <= float(row["test/accuracy"]) <= 1
        assert int(row["start_step"]) < int(row["early_stop_step"]) <= 8
        assert row["early_stop_is_last"] == str(row["early_stop_step"] == "8")
        assert (row["reused"], row["collapsed_layers"]) == ("False", "")
        assert float(row["seconds"]) > 0


def test_the_history_has_a_row_an_evaluation_and_its_minimum_is_the_early_stop(command):
    folder = command.done(*TINY, "training.evaluate_every=3it")
    with (folder / "history.csv").open() as file:
        history = list(csv.DictReader(file))
    assert [(row["level"], row["step"]) for row in history] == [(str(n), s) for n in range(3) for s in ("3", "6", "8")]
    for row in ledger(folder):
        curve = [one for one in history if one["level"] == row["level"]]
        assert row["early_stop_step"] == min(curve, key=lambda one: float(one["val/loss"]))["step"]
        assert (row["val/loss"], row["val/accuracy"]) == (curve[-1]["val/loss"], curve[-1]["val/accuracy"])
        assert all(one["run_id"] == folder.name for one in curve)


def test_the_status_and_the_resolved_configuration(command):
    folder = command.done(*TINY)
    found = status(folder)
    assert (found["state"], found["error"], found["levels_done"], found["levels"]) == ("complete", None, 3, 3)
    assert found["run_id"] == folder.name
    assert found["metric"] == {"name": "accuracy", "direction": "max"}
    assert found["command"][1:] == list(TINY)
    assert {"python", "ltb", "torch", "pytorch-lightning", "hydra-core", "numpy"} <= set(found["made"][0]["versions"])
    (made,) = found["made"]
    assert made["levels"] == [0, 1, 2]
    assert {"commit", "versions", "machine", "data"} < set(made)
    assert {"device", "cpu", "threads"} <= set(made["machine"])
    assert found["prunable"].startswith("prunable 800 of ")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert "${" not in (folder / "config.yaml").read_text()
    assert config["allocation"]["rates"] == {"output.weight": "half"}
    assert build(config, "schedule") == ltb.Geometric(0.2, 2)
    assert build(config, "rewind") == ltb.rewind.Weights()


def test_a_ticket_goes_into_a_fresh_model_and_no_other(command):
    folder = command.done(*TINY)
    ticket = ltb.Ticket.load(folder / "tickets" / "level-02.safetensors")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    for model in (build(config, "module"), build(config, "model")):
        ticket.apply(model)
        state = getattr(model, "network", model).state_dict()
        assert state.keys() == ticket.origin.weights.keys()
        assert all(torch.equal(state[name], ticket.origin.weights[name]) for name in state)
    with pytest.raises(ValueError, match=r"^the weights do not fit Linear: "):
        ticket.apply(nn.Linear(40, 10))
    config["model"]["widths"] = [17]
    with pytest.raises(ValueError, match=r"fc1.weight is \(16, 40\) torch.float32, the network's is \(17, 40\)"):
        ticket.apply(build(config, "model"))


def test_controls_break_what_they_say_in_a_whole_run(command):
    plain = command.done(*TINY)
    for control in ("reinit", "sign_reinit", "shuffle", "complement"):
        folder = command.done(*TINY, f"control={control}")
        rows = ledger(folder)
        assert [row["control"] for row in rows] == ["none", control, control]
        for level in (1, 2):
            kept, broken = (
                ltb.Ticket.load(one / "tickets" / f"level-{level:02d}.safetensors") for one in (plain, folder)
            )
            for name, mask in kept.masks.items():
                same = torch.equal(mask, broken.masks[name])
                if control == "shuffle":
                    assert not same
                    assert int(mask.sum()) == int(broken.masks[name].sum())
                elif control == "complement":
                    assert torch.equal(~mask, broken.masks[name])
                else:
                    weights, drawn = kept.origin.weights[name][mask], broken.origin.weights[name][mask]
                    assert same
                    assert not (weights == drawn).any()
                    assert torch.equal(weights.sign(), drawn.sign()) == (control == "sign_reinit")


# The same command again


def test_a_finished_run_is_not_trained_again(command, fits):
    first = command.done("+experiment=imp_rewind", *TINY)
    before, config = (first / "levels.csv").read_bytes(), (first / "config.yaml").read_bytes()
    assert fits == [(0, 8), (3, 8), (3, 8)]
    second = command.done("+experiment=imp_rewind", *TINY)
    assert second == first
    assert len(fits) == 3
    assert (second / "levels.csv").read_bytes() == before
    assert (second / "config.yaml").read_bytes() == config


def test_a_longer_schedule_goes_on(command, fits):
    short = command.done(*TINY, "schedule.levels=1")
    long = command.done(*TINY, "schedule.levels=3")
    assert len(fits) == 2 + 2
    assert long != short
    assert [row["reused"] for row in ledger(long)] == ["True", "True", "False", "False"]
    aside = ("run_id", "reused")
    assert without(ledger(long)[:2], *aside) == without(ledger(short), *aside)


def test_methods_controls_and_rewinds_share_what_they_have_in_common(command, fits):
    def cost(*given):
        before = len(fits)
        command.done(*TINY, *given)
        return len(fits) - before

    assert cost("+experiment=imp") == 3  # dense, two levels
    assert cost("+experiment=dense", "study=other") == 0
    assert cost("+experiment=one_shot") == 1  # its first level is IMP's
    assert cost("+experiment=imp", "control=reinit") == 2  # a branch off each level
    assert cost("+experiment=imp", "control=complement") == 2
    assert cost("+experiment=imp_rewind") == 3  # three steps of the dense run, two levels
    assert fits[-3:] == [(0, 3), (3, 8), (3, 8)]
    assert cost("+experiment=lr_rewind") == 2
    assert cost("+experiment=random") == 2
    assert cost("+experiment=imp", "seed=1") == 3
    assert cost("+experiment=imp", "training.length=7it") == 3


@pytest.mark.parametrize(
    "nuisance",
    ["progress=true", "data.root=elsewhere", "study=other", "metric.tolerance=0.02"],
)
def test_what_changes_no_number_trains_nothing_again(command, fits, nuisance):
    command.done(*TINY)
    result = command(*TINY, nuisance)
    assert result.code == 0
    assert len(fits) == 3


@pytest.mark.slow
def test_fresh_is_another_folder_with_the_same_numbers(command, fits):
    first = command.done(*TINY)
    second = command.done(*TINY, "fresh=true")
    third = command.done(*TINY, "fresh=true")
    assert [folder.name for folder in (second, third)] == [f"{first.name}.2", f"{first.name}.3"]
    assert len(fits) == 9
    rows = [without(ledger(folder), "run_id", "seconds") for folder in (first, second, third)]
    assert rows[0] == rows[1] == rows[2]


LONGER = (*TINY, "training.length=200it", "training.evaluate_every=100it", "schedule.levels=12")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_run_that_was_ended_goes_on_to_the_same_bytes(command, fits, number):
    process = own_process(command.folder, *LONGER)
    try:
        deadline = time.monotonic() + 120
        while not (done := [row for folder in folders(command.runs) for row in rows_of(folder)]):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert out == ""
    (folder,) = folders(command.runs)
    if number != signal.SIGKILL:
        assert process.returncode == 128 + number
        assert err == "ltb: interrupted; the same command goes on from the last finished level\n"
        assert status(folder)["state"] == "interrupted"
    else:
        assert process.returncode == -signal.SIGKILL
        assert status(folder)["state"] == "running"
    finished = rows_of(folder)
    assert 1 <= len(done) <= len(finished) < 13
    assert command.done(*LONGER) == folder
    todo = 13 - len(finished)
    assert todo - 1 <= len(fits) <= todo  # a stage may be finished that was not in the ledger yet
    assert status(folder)["state"] == "complete"
    # One that was never ended, elsewhere: equal but for timings.
    (command.folder / "runs").rename(command.folder / "ended")
    again = command.done(*LONGER)
    ended = command.folder / "ended"
    assert without(ledger(again), "seconds") == without(ledger(ended / folder.name), "seconds")
    assert stage_bytes(command.runs) == stage_bytes(ended)
    hidden = [path for path in (ended / "store").glob(".*") if path.name not in (".locks", ".runs")]
    assert [path for folder in hidden for path in folder.rglob("*")] == []  # no half of anything


def rows_of(folder):
    return ledger(folder) if (folder / "levels.csv").exists() else []


# Sweeps


def test_a_sweep_is_a_run_each(command, fits):
    result = command("-m", "+experiment=imp,one_shot", "seed=0,1", *TINY)
    assert (result.code, result.err) == (0, "")
    made = folders(command.runs)
    assert [re.sub(r"-\w+$", "", folder.name) for folder in made] == [
        "imp-noise+mlp-s0", "imp-noise+mlp-s1", "one_shot-noise+mlp-s0", "one_shot-noise+mlp-s1",
    ]  # fmt: skip
    assert all(len(ledger(folder)) == 3 and status(folder)["state"] == "complete" for folder in made)
    assert len(fits) == 2 * (3 + 1)
    alone = command.folder / "alone"
    (command.folder / "runs").rename(alone)
    folder = command.done("+experiment=one_shot", "seed=1", *TINY)
    aside = ("seconds", "reused")  # in the sweep IMP was first
    assert without(ledger(folder), *aside) == without(ledger(alone / folder.name), *aside)


@pytest.mark.slow
def test_a_job_that_fails_in_a_sweep_does_not_stop_the_others(command):
    result = command("-m", "lr.base=1e30,1e-2,2e-2", *TINY)
    assert result.code == 1
    made = {status(folder)["state"]: folder for folder in folders(command.runs)}
    assert sorted(status(folder)["state"] for folder in folders(command.runs)) == ["complete", "complete", "failed"]
    (failed,) = result.err.splitlines()
    assert failed.startswith(f"ltb: {made['failed'].name} failed: scores are NaN")
    assert "scores are NaN" in status(made["failed"])["error"]
    assert len(ledger(made["failed"])) == 1
