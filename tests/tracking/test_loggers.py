"""CSV, TensorBoard and MLflow hold what W&B's mirror is told, under the same names."""

import sys

import pandas as pd
import pytest

from ltb.common.errors import Unavailable
from ltb.tracking.loggers import Csv, MLflow, TensorBoard
from ltb.tracking.mirror import Mirrors

CONFIG = {"seed": 1, "lr": {"base": 0.1}}


def told(mirror):
    """A run of two levels of 10 steps, the second rewound to step 4."""
    for level, (start, sparsity) in enumerate([(0, 0.0), (4, 0.2)]):
        mirror.begin_level(level, start)
        for step in (start + 3, start + 6):
            mirror.history({"step": step, "epoch": step / 2, "val/loss": 1 / step, "level": level})
        mirror.level({"level": level, "sparsity": sparsity, "test/accuracy": 0.9 - level / 10, "method": "imp"})
    mirror.finish("complete", {"dense/test/accuracy": 0.9})


def test_a_table_has_a_line_for_each_evaluation_and_each_level(tmp_path):
    mirror = Csv(folder=str(tmp_path)).start("imp-s0", "study", CONFIG)
    told(mirror)
    rows = pd.read_csv(tmp_path / "imp-s0.csv")
    assert rows["train/step"].dropna().tolist() == [3, 6, 9, 12]
    assert rows["level/sparsity"].dropna().tolist() == [0.0, 0.2]
    assert rows["level/test/accuracy"].dropna().tolist() == [0.9, 0.8]


def test_tensorboard_begins_anew(tmp_path):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for _ in range(2):
        told(TensorBoard(folder=str(tmp_path)).start("imp-s0", "study", CONFIG))
    found = event_accumulator.EventAccumulator(str(tmp_path / "imp-s0"))
    found.Reload()
    assert [(one.step, round(one.value, 6)) for one in found.Scalars("val/loss")] == [
        (3, 0.333333), (6, 0.166667), (9, 0.142857), (12, 0.1),
    ]  # fmt: skip
    assert [(one.step, round(one.value, 6)) for one in found.Scalars("level/test/accuracy")] == [(0, 0.9), (1, 0.8)]


@pytest.mark.filterwarnings("ignore")  # MLflow's own, on its file store
def test_mlflow_has_settings_metrics_and_state(tmp_path):
    mlflow = pytest.importorskip("mlflow")
    told(MLflow(uri=str(tmp_path)).start("imp-s0", "study", CONFIG))
    client = mlflow.MlflowClient(tmp_path.as_uri())
    (run,) = client.search_runs([client.get_experiment_by_name("study").experiment_id])
    assert (run.info.run_name, run.info.status) == ("imp-s0", "FINISHED")
    assert run.data.params == {"seed": "1", "lr.base": "0.1"}
    history = client.get_metric_history(run.info.run_id, "val/loss")
    assert [one.step for one in history] == [3, 6, 9, 12]
    assert run.data.tags["dense/test/accuracy"] == "0.9"


@pytest.mark.parametrize(
    ("logger", "module", "line"),
    [
        (TensorBoard(folder="x"), "torch.utils.tensorboard", "logger=tensorboard is not installed: pip install 'ltb[tensorboard]'"),
        (MLflow(uri="x"), "mlflow.tracking", "logger=mlflow is not installed: pip install 'ltb[mlflow]'"),
    ],
)  # fmt: skip
def test_one_that_is_not_installed_is_named_with_its_extra(logger, module, line, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(Unavailable) as caught:
        logger.start("run", "study", {})
    assert str(caught.value) == line


def test_what_fails_in_one_is_told_once_and_stops_no_other(tmp_path, caplog):
    whole, broken = (Csv(folder=str(tmp_path)).start(name, "study", {}) for name in ("whole", "broken"))
    broken.log = lambda values, step: 1 / 0
    told(Mirrors(broken, whole))
    assert [one.getMessage() for one in caplog.records] == [
        "_Table failed (division by zero); the run goes on, its ledger is complete"
    ]
    assert len(pd.read_csv(tmp_path / "whole.csv")) == 6
