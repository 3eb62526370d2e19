"""A sweep's jobs are checked before the first of them trains."""

import pytest
from omegaconf import OmegaConf

from ltb.run.beforehand import Checked, RefusedJobs, _whose


class Loader:
    """Hydra's loader, of configurations that were composed before."""

    def __init__(self, of):
        self.config_loader, self.load_sweep_config = self, lambda config, overrides: of(overrides)


class Launcher:
    def __init__(self):
        self.launched = []

    def launch(self, jobs, first):
        self.launched.append((jobs, first))
        return "launched"


def config(folder, **given):
    return OmegaConf.create({"hydra": {"sweep": {"dir": str(folder)}}, **given})


def refusing(overrides):
    raise ValueError(f"{overrides[0]}: no")


def test_no_job_is_launched_where_one_cannot_be_run_and_each_reason_is_told_once(tmp_path):
    inner = Launcher()
    checked = Checked(inner, Loader(refusing), config(tmp_path), str)
    with pytest.raises(RefusedJobs) as caught:
        checked.launch([["seed=a", "x=1"], ["seed=a", "x=2"], ["seed=b", "x=1"]], 0)
    assert caught.value.lines == [
        "seed=a: no (in 2 of 3 jobs: seed=a x=1; seed=a x=2; none was run)",
        "seed=b: no (in 1 of 3 jobs: seed=b x=1; none was run)",
    ]
    assert inner.launched == []


def test_what_went_wrong_otherwise_is_no_refusal(tmp_path):
    def broken(overrides):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Checked(Launcher(), Loader(broken), config(tmp_path), str).launch([["seed=0"]], 0)


def test_a_plan_tells_each_jobs_own(tmp_path):
    inner = Launcher()
    assert Checked(inner, Loader(refusing), config(tmp_path, plan=True), str).launch([["a"]], 3) == "launched"
    assert inner.launched == [([["a"]], 3)]


def test_hydras_own_file_of_what_was_typed_is_not_kept(tmp_path):
    (tmp_path / "multirun.yaml").write_text("token: abc")
    Checked(Launcher(), Loader(refusing), config(tmp_path, plan=True), str).launch([["a"]], 0)
    assert not (tmp_path / "multirun.yaml").exists()


@pytest.mark.parametrize(
    ("bad", "jobs", "told"),
    [
        ([["a=1"]], [["a=1"]], "in the only job"),
        ([["a=1"], ["a=2"]], [["a=1"], ["a=2"]], "in all 2 jobs"),
        ([["a=1", "b=0"]], [["a=1", "b=0"], ["a=2", "b=0"]], "in 1 of 2 jobs: a=1; none was run"),
        (
            [[f"a={i}"] for i in range(5)],
            [[f"a={i}"] for i in range(6)],
            "in 5 of 6 jobs: a=0; a=1; a=2; …; none was run",
        ),
    ],
)
def test_jobs_are_named_by_what_they_differ_in(bad, jobs, told):
    assert _whose(bad, jobs, set.intersection(*map(set, jobs))) == told
