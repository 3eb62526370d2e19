"""How a sweep stands, by the files that its runs left."""

import json
import os

import pytest

from ltb.records import jobs as listed
from ltb.records import status
from ltb.records.schema import JOBS
from tests.support.ledgers import write_run


@pytest.fixture
def sweep(tmp_path):
    """A sweep's folder, a function that adds a run of four levels to it, and how it stands of so many jobs."""
    folder = tmp_path / "sweeps" / "one"
    folder.mkdir(parents=True)

    def add(name, done, state, **given):
        run = write_run(tmp_path / name, done, planned=4, state=state, run_id=name, **given)
        listed.add(folder, run)
        return run

    def read(jobs):
        (folder / JOBS).write_text(json.dumps({"jobs": jobs}))
        return status.read(folder)

    return folder, add, read


def test_states_are_counted_and_levels_make_the_fraction(sweep):
    _, add, read = sweep
    assert (str(read(8)), read(8).fraction) == ("0 of 8 done, 0 running, 0 failed", 0)
    add("a", 4, "complete")
    add("b", 1, "running")
    add("c", 2, "failed", error="ValueError: diverged")
    found = read(8)
    assert str(found) == "1 of 8 done, 1 running, 1 failed"
    # Four levels, one, and four that will not come any more, of 8 jobs of four levels.
    assert found.fraction == pytest.approx((4 + 1 + 4) / 32)
    assert [run.run_id for run in found.running] == ["b"]
    assert not found.ended
    assert str(read(None)) == "1 done, 1 running, 1 failed"


def test_a_sweep_has_ended_when_every_job_has(sweep):
    _, add, read = sweep
    add("a", 4, "complete")
    assert not read(2).ended
    add("b", 3, "interrupted")
    assert read(2).ended
    assert str(read(2)) == "1 of 2 done, 0 running, 0 failed, 1 interrupted"
    assert read(2).fraction == 1


def test_a_sweep_that_stopped_has_ended_once_none_of_its_jobs_is_running(sweep):
    folder, add, _ = sweep
    (folder / JOBS).write_text(json.dumps({"jobs": 8, "ended": True}))
    assert status.read(folder).ended
    add("a", 3, "running")
    assert not status.read(folder).ended


def test_a_run_is_counted_once_and_a_status_that_cannot_be_read_is_unknown(sweep):
    folder, add, read = sweep
    run = add("a", 2, "running")
    listed.add(folder, run)
    (folder / listed.BEFORE).write_text(os.path.relpath(run, folder) + "\n")  # as sweeps did before
    assert len(read(1).runs) == 1
    (run / "status.json").write_text("{")
    assert str(read(1)) == "0 of 1 done, 0 running, 0 failed, 1 unknown"


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}"])
def test_a_folder_that_is_no_sweep_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / JOBS).write_text(content)
    with pytest.raises(ValueError, match="not a sweep's") as told:
        status.read(tmp_path)
    assert str(tmp_path) in str(told.value)
