from __future__ import annotations

import json
import time

import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ltb.analysis import cost, matching, paired, statistics
from ltb.common.errors import Damaged
from ltb.records import ledger, record, schema


def test_the_schema_is_that_of_the_writer():
    assert list(schema.COLUMNS) == list(record.COLUMNS)
    names = ("LEDGER", "HISTORY", "STATUS", "CONFIG", "LAYERS")
    assert [getattr(schema, name) for name in names] == [getattr(record, name) for name in names]


def test_what_the_writer_writes_is_read_back(tmp_path, row):
    written = [
        row(0),
        row(1, early_stop_step=None, early_stop_is_last=True, collapsed_layers="a;b", **{"val/loss": None}),
    ]
    record.write_rows(tmp_path / "levels.csv", written, record.COLUMNS)
    read = ledger.read([tmp_path])
    for expected, found in zip(written, read[list(record.COLUMNS)].to_dict(orient="records"), strict=True):
        missing = {name for name, value in expected.items() if value is None}
        assert {name for name, value in found.items() if pd.isna(value)} == missing
        assert {k: v for k, v in found.items() if k not in missing} == {
            k: v for k, v in expected.items() if k not in missing
        }


def test_dtypes_do_not_depend_on_the_contents(tmp_path, write_run):
    full = ledger.read([write_run(tmp_path / "full", 3)])
    empty_fields = write_run(
        tmp_path / "sparse", 2, early_stop_step=None, early_stop_is_last=None, **{"val/loss": None}
    )
    for rows in (
        full,
        ledger.read([empty_fields]),
        ledger.read([write_run(tmp_path / "none", 0, state="running")]),
    ):
        assert {name: str(rows[name].dtype) for name in schema.COLUMNS} == schema.COLUMNS
    assert list(full.columns) == [*schema.COLUMNS, *ledger.METADATA]


def test_find_skips_what_ltb_and_wandb_leave_and_finds_each_run_once(tmp_path, write_run):
    a, b = write_run(tmp_path / "study" / "a"), write_run(tmp_path / "study" / "deep" / "er" / "b")
    for skipped in (".again-1", ".progress", "wandb", "a/inside"):
        write_run(tmp_path / "study" / skipped / "run")
    assert ledger.find([tmp_path]) == [a, b]
    assert ledger.find([a, tmp_path / "study", a / "levels.csv"]) == [a, b]


@pytest.mark.parametrize("name", ["tmp123", "tmp", "temporary", "_old", "x.tmp-1", "~a", "my wandb"])
def test_a_run_is_found_whatever_a_person_called_it(tmp_path, write_run, name):
    folder = write_run(tmp_path / name / name)
    assert ledger.find([tmp_path]) == [folder]


def test_a_path_without_a_run_is_one_line(tmp_path):
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(ValueError, match=f"^{path}: no [^\n]*$"):
            ledger.find([path])


@pytest.mark.parametrize(
    ("state", "error", "done", "planned", "text"),
    [
        ("running", None, 2, 5, "imp-toy-s0-a1b2c3: running, 2 of 5 levels done"),
        ("failed", "boom\ntrace", 1, 5, "imp-toy-s0-a1b2c3: failed, 1 of 5 levels done (boom)"),
        ("failed", "boom", 0, 5, "imp-toy-s0-a1b2c3: failed, 0 of 5 levels done (boom)"),
        ("complete", None, 3, 3, "imp-toy-s0-a1b2c3: complete, 3 of 3 levels done"),
    ],
)
def test_unfinished_runs_are_read_and_said_so(tmp_path, write_run, state, error, done, planned, text):
    folder = write_run(tmp_path / "run", done, state=state, error=error, planned=planned)
    rows = ledger.read([tmp_path])
    assert len(rows) == done
    assert set(rows["state"]) <= {state}
    assert [str(run) for run in ledger.runs([folder])] == [text]


def test_a_run_that_has_no_ledger_yet_is_found_by_its_status(tmp_path, write_run):
    folder = write_run(tmp_path / "run", 0, state="failed", error="out of memory")
    (folder / "levels.csv").unlink()
    assert ledger.read([tmp_path]).empty
    assert ledger.runs([tmp_path])[0].error == "out of memory"


def test_a_ledger_alone_is_read(tmp_path, write_run):
    folder = write_run(tmp_path / "run")
    (folder / "status.json").unlink()
    (folder / "config.yaml").unlink()
    rows = ledger.read([tmp_path])
    assert set(rows["state"]) == {"unknown"}
    assert set(rows["metric"]) == {"accuracy"}


def test_a_regression_run_has_its_own_columns(tmp_path, write_run):
    metric = {"name": "mse", "direction": "min"}
    write_run(
        tmp_path / "a",
        method="a",
        metric=metric,
        extra=lambda level: {"test/mse": 0.1 * level, "test/accuracy": None},
    )
    write_run(tmp_path / "b", method="b")
    rows = ledger.read([tmp_path]).set_index("method")
    assert str(rows["test/mse"].dtype) == "float64"
    assert rows.loc["a", "test/mse"].tolist() == [0.0, 0.1, 0.2]
    assert rows.loc["b", "test/mse"].isna().all()
    assert rows.loc["a", ["metric", "direction"]].drop_duplicates().values.tolist() == [["mse", "min"]]


def test_settings_that_differ_are_named_in_the_variant(tmp_path, write_run):
    for rate in (0.2, 0.5):
        for seed in (0, 1):
            write_run(tmp_path / f"{rate}-{seed}", seed=seed, run_id=f"imp-s{seed}-{rate}", config={"rate": rate})
    write_run(tmp_path / "reinit", control="reinit", run_id="imp-reinit", config={"rate": 0.2, "control": "reinit"})
    rows = ledger.read([tmp_path])
    found = rows.groupby("run_id")["variant"].unique().map(list)
    assert found["imp-s0-0.2"] == found["imp-s1-0.2"] == ["rate=0.2"]
    assert found["imp-s0-0.5"] == ["rate=0.5"]
    assert found["imp-reinit"] == [""]  # compared with runs of the same control only


def test_other_data_or_another_network_under_one_task_are_never_one_curve(tmp_path, write_run):
    for name, about in {"a": {}, "b": {"data": "digits"}, "c": {"model": "wide"}}.items():
        write_run(tmp_path / name, run_id=f"imp-s0-{name}", **about)
    write_run(tmp_path / "d", run_id="imp-s0-d", task="alone")
    rows = ledger.read([tmp_path])
    tasks = rows.drop_duplicates("run_id").set_index("run_id")["task"]
    assert len(set(tasks)) == 4
    assert tasks["imp-s0-d"] == "alone"
    assert tasks["imp-s0-b"].startswith("toy (digits, ")


def test_data_that_changed_between_runs_are_two_tasks(tmp_path, write_run):
    def run(name, seed, fingerprint, source="1f", **data):
        config = {"data": {"_target_": f"Mine {source}", **data}, "fingerprint": fingerprint}
        write_run(tmp_path / name, run_id=f"imp-s{seed}-{name}", seed=seed, config=config)

    for seed in (0, 1):
        run(f"before{seed}", seed, "aaaaaaaa")
        run(f"edited{seed}", seed, "aaaaaaaa", source="2e")  # the class's file, and no example
    tasks = ledger.read([tmp_path])["task"]
    assert set(tasks) == {"toy"}
    run("noisy", 0, "cccccccc", size=10)  # other data by a setting: another curve, named by it
    assert set(ledger.read([tmp_path])["task"]) == {"toy"}
    run("after", 0, "bbbbbbbb", source="2e")
    with pytest.warns(
        UserWarning, match="^toy: its data changed between runs of equal settings; each version is by itself$"
    ):
        rows = ledger.read([tmp_path])
    found = rows.drop_duplicates("run_id").groupby("task")["run_id"].nunique().to_dict()
    assert found == {"toy (data aaaaaa)": 4, "toy (data bbbbbb)": 1, "toy": 1}


def test_data_that_changed_between_seeds_are_two_tasks(tmp_path, write_run):
    for seed, fingerprint in ((0, "aaaaaaaa"), (1, "bbbbbbbb")):
        config = {"data": {"size": 5}, "fingerprint": fingerprint}
        write_run(tmp_path / f"s{seed}", run_id=f"imp-s{seed}-a", seed=seed, config=config)
    with pytest.warns(UserWarning, match="^toy: its data changed"):
        assert set(ledger.read([tmp_path])["task"]) == {"toy (data aaaaaa)", "toy (data bbbbbb)"}


@pytest.mark.parametrize("key", [("data", "split_seed"), ("label_noise", "seed"), ("data", "seed")])
def test_data_of_each_seeds_own_are_one_task_and_not_compared_with_others(tmp_path, write_run, key):
    section, name = key

    def run(method, seed, value, fingerprint):
        run_id = f"{method}-s{seed}-{fingerprint}"
        config = {section: {name: value}, "fingerprint": fingerprint}
        write_run(tmp_path / run_id, run_id=run_id, method=method, seed=seed, config=config)

    for seed in (0, 1, 2):
        for method in ("imp", "one_shot"):
            run(method, seed, seed, f"{seed}aaaaaaa")
    rows = ledger.read([tmp_path])
    assert (set(rows["task"]), set(rows["variant"])) == ({"toy"}, {""})
    run("shuffle", 0, 0, "0aaaaaaa")  # its first seed
    assert set(ledger.read([tmp_path])["task"]) == {"toy"}
    for seed in (0, 1):
        run("random", seed, 0, "0aaaaaaa")
    with pytest.warns(UserWarning, match="^toy: some runs have data of their seed's own; they are by themselves$"):
        rows = ledger.read([tmp_path])
    tasks = {method: set(its["task"]) for method, its in rows.groupby("method")}
    own = {"toy (data of each seed)"}
    assert tasks == {"imp": own, "one_shot": own, "shuffle": own, "random": {"toy"}}


def test_data_of_each_seeds_own_that_changed_are_pooled_with_a_word(tmp_path, write_run):
    for method, made in (("imp", "a"), ("one_shot", "b")):
        for seed in (0, 1, 2):
            run_id = f"{method}-s{seed}-a"
            config = {"data": {"split_seed": seed}, "fingerprint": f"{seed}{made * 7}"}
            write_run(tmp_path / run_id, run_id=run_id, method=method, seed=seed, config=config)
    with pytest.warns(UserWarning, match="^toy: the data of one seed changed between runs, and are pooled$"):
        assert set(ledger.read([tmp_path])["task"]) == {"toy"}


def _edit(folder, name, change):
    path = folder / name
    path.write_text(change(path.read_text()))


DAMAGE = {
    "levels.csv": [
        (lambda text: "", "not a ledger"),
        (lambda text: text[:-20], "truncated"),
        (lambda text: text.rstrip("\n").rpartition("\n")[0] + "\n", "2 rows, but the run completed 3 levels"),
        (lambda text: text.replace("test/accuracy,", "accuracy,", 1), "its header lacks test/accuracy"),
        (
            lambda text: text.replace("0.95,800", "0.95,many", 1),
            "line 2, column early_stop_step: 'many' is not a whole",
        ),
        (lambda text: text.replace("0.95,800", "0.95,800,7", 1), "line 2 has 35 fields instead of 34"),
        (lambda text: text + text.splitlines()[-1] + "\n", "holds a level twice"),
        (lambda text: text.replace("a1b2c3", "ffffff"), "rows of imp-toy-s0-ffffff, but status.json is of"),
        (lambda text: text.replace(",800,", ",-1.5,"), "'-1.5' is not a whole number"),
        (lambda text: text.replace(",800,", f",{2**63},"), f"'{2**63}' is not a whole number"),
        (lambda text: text.replace(",800,", ",1.0e400,"), "'1.0e400' is not a whole number"),
    ],
    "status.json": [
        (lambda text: text[:-5], "not a run's status"),
        (lambda text: "[]", "not a run's status (not an object)"),
        (lambda text: "[" * 100_000, "not a run's status"),
        (lambda text: "{}", "not a run's status (state is null)"),
        (lambda text: text.replace('"complete"', '["complete"]'), 'state is ["complete"]'),
        (lambda text: text.replace('"levels_done": 3', '"levels_done": "3"'), 'levels_done is "3"'),
        (lambda text: text.replace('"levels_done": 3', '"levels_done": true'), "levels_done is true"),
        (lambda text: text.replace('"levels": 3', '"levels": {}'), "levels is {}"),
        (lambda text: text.replace('"error": null', '"error": 7'), "error is 7"),
        (lambda text: text.replace('"run_id": "', '"run_id": 1, "x": "'), "run_id is 1"),
        (
            lambda text: text.replace('{"name": "accuracy", "direction": "max"}', '["accuracy"]'),
            'metric is ["accuracy"]',
        ),
        (lambda text: text.replace('"accuracy"', "1.5"), "metric.name is 1.5"),
        (lambda text: text.replace('"max"', "null"), "metric.direction is null"),
        (lambda text: text.replace("complete", "done"), "state 'done'"),
        (lambda text: text.replace('"max"', '"up"'), "direction 'up'"),
        (lambda text: text.replace('"accuracy"', '"mse"'), "no column test/mse"),
    ],
    "config.yaml": [(lambda text: "a: [", "not YAML"), (lambda text: "- 1", "not an object")],
}


@pytest.mark.parametrize(
    ("name", "change", "text"), [(name, *case) for name, cases in DAMAGE.items() for case in cases]
)
def test_damage_is_named_in_one_line_with_its_file(tmp_path, write_run, name, change, text):
    folder = write_run(tmp_path / "run")
    _edit(folder, name, change)
    before = (folder / name).read_bytes()
    with pytest.raises(Damaged) as error:
        ledger.settings(folder) if name == "config.yaml" else ledger.read([tmp_path])
    assert str(folder) in str(error.value)
    assert text in str(error.value)
    assert "\n" not in str(error.value)
    assert (folder / name).read_bytes() == before


def test_bytes_that_are_not_text(tmp_path, write_run):
    folder = write_run(tmp_path / "run")
    (folder / "levels.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Damaged, match="not a ledger"):
        ledger.read([folder])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(min_value=0))
def test_a_ledger_cut_anywhere_is_never_read_as_whole(tmp_path, write_run, cut):
    folder = tmp_path / "run"
    if not folder.exists():
        write_run(folder)
        (tmp_path / "whole").write_bytes((folder / "levels.csv").read_bytes())
    whole = (tmp_path / "whole").read_bytes()
    (folder / "levels.csv").write_bytes(whole[: cut % len(whole)])
    with pytest.raises(Damaged):
        ledger.read([folder])


def test_status_is_plain_data(tmp_path, write_run):
    folder = write_run(tmp_path / "run")
    status = json.loads((folder / "status.json").read_text()) | {"versions": {"torch": "2"}, "commit": "abc"}
    (folder / "status.json").write_text(json.dumps(status))
    assert ledger.status(folder).levels == 3


def test_the_committed_rows_of_a_study_are_read_as_the_runs_that_they_are(tmp_path, write_run):
    """A study commits the rows of all its runs in one file; this one is from before two columns were there."""
    one, other = write_run(tmp_path / "a", seed=0), write_run(tmp_path / "b", seed=1)
    (tmp_path / "rows").mkdir()
    header, *rows = (one / "levels.csv").read_text().splitlines()
    rows += (other / "levels.csv").read_text().splitlines()[1:]
    (tmp_path / "rows" / "levels.csv").write_text("\n".join([header, *rows]) + "\n")
    runs, read = ledger.runs([tmp_path / "rows"]), ledger.read([tmp_path / "rows"])
    assert [(run.run_id, run.state) for run in runs] == [(f"imp-toy-s{seed}-a1b2c3", "unknown") for seed in (0, 1)]
    assert len(read) == 6
    table = pd.read_csv(tmp_path / "rows" / "levels.csv").drop(columns=list(schema.LATER))
    table.to_csv(tmp_path / "rows" / "levels.csv", index=False)
    assert ledger.read([tmp_path / "rows"])[list(schema.LATER)].isna().all(axis=None)


@pytest.mark.slow
def test_two_hundred_runs_of_twenty_levels_are_read_and_compared_in_seconds(tmp_path, write_run, request):
    """Measured 1.3 s; the bound is for a machine that is busy. Each file is parsed once."""
    config = yaml.safe_load((request.config.rootpath / "conf" / "train.yaml").read_text())
    config |= {"model": {f"setting{i}": {"value": i, "names": ["a", "b"]} for i in range(25)}}
    for method in range(20):
        for seed in range(10):
            write_run(
                tmp_path / f"{method}-{seed}",
                20,
                method=f"m{method}",
                seed=seed,
                run_id=f"m{method}-s{seed}-abc",
                config=config,
                accuracy=lambda level, method=method, seed=seed: (
                    0.7 - 0.001 * method * level - 0.01 * (seed * level % 3)
                ),
            )
    begun = time.process_time()
    rows = ledger.read([tmp_path])
    assert len(ledger.runs([tmp_path])) == 200
    statistics.summarise(rows)
    statistics.dense(rows)
    assert len(matching.table(rows, tolerance=0.01)) == 20
    assert len(paired.differences(rows)) == 190 * 19
    assert len(paired.headline(rows)) == 19
    assert len(cost.table(rows)) == 400
    assert time.process_time() - begun < 15  # seconds of a slow processor: not the square of the runs


def test_how_runs_stand_is_told_without_reading_their_ledgers(tmp_path, write_run, monkeypatch):
    write_run(tmp_path / "a")
    monkeypatch.setattr(ledger, "table", lambda path: pytest.fail(f"read {path}"))
    assert [run.levels_done for run in ledger.runs([tmp_path])] == [3]
