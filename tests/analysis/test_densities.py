from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ltb.analysis import densities
from ltb.common.errors import Damaged
from ltb.core.loop import levels
from ltb.core.recipe import Recipe
from ltb.core.schedules import Explicit
from ltb.records import ledger, record
from tests.core.toy import Toy

# As `row` keeps: 1000, 800, 640 of 1000.
KEPT = {
    level: {"out.weight": (out, 900), "a.weight": (a, 100)}
    for level, (out, a) in enumerate([(900, 100), (720, 80), (560, 80)])
}


@pytest.fixture
def layered(tmp_path, write_run):
    def make(name="run", **given):
        return write_run(tmp_path / name, layers=KEPT.__getitem__, **given)

    return make


def test_each_level_has_its_layers_in_the_networks_order(layered, tmp_path):
    layered()
    layered("other", seed=1, method="one_shot")
    found = densities.read(ledger.read([tmp_path]))
    assert len(found) == 12
    one = found[found["curve"] == "one_shot"]
    assert set(one["seed"]) == {1}
    assert one["layer"].to_list() == ["out.weight", "a.weight"] * 3
    assert one["density"].to_list() == [1.0, 1.0, 0.8, 0.8, 0.64, 0.64]
    assert one["layer_density"].to_list() == pytest.approx([1, 1, 0.8, 0.8, 560 / 900, 0.8])


def test_what_a_level_tells_is_what_is_read_back(tmp_path, write_run):
    written = [
        row for level in levels(Recipe(schedule=Explicit((0.5, 0.75))), Toy()) for row in record.layer_rows(level)
    ]
    record.write_rows(tmp_path / "layers.csv", written)
    assert densities.table(tmp_path / "layers.csv").to_dict("records") == written
    assert [sum(row["kept"] for row in written if row["level"] == level) for level in (0, 1, 2)] == [32, 16, 8]


def test_runs_that_do_not_tell_have_no_rows(tmp_path, write_run):
    write_run(tmp_path / "run")
    found = densities.read(ledger.read([tmp_path]))
    assert found.empty
    assert list(found.columns) == densities.COLUMNS
    assert densities.read(ledger.read([tmp_path]).drop(columns="folder")).empty


def test_a_run_that_goes_on_may_not_have_told_of_every_level(layered, tmp_path):
    folder = layered(state="running")
    lines = (folder / "layers.csv").read_text().splitlines(keepends=True)
    (folder / "layers.csv").write_text("".join(lines[:3]))
    assert densities.read(ledger.read([tmp_path]))["level"].to_list() == [0, 0]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda text: "", "not a table of layers"),
        (lambda text: text.replace("kept", "left"), "its header is not level,layer,kept,total"),
        (lambda text: text[:-3], "ends in the middle of line 7"),
        (lambda text: text.rpartition("2,a")[0], "the layers of level 2 are not all there"),
        (lambda text: text.rpartition("2,out")[0], "the layers of level 2 are not all there"),
        (lambda text: text.replace("560", "561"), "the layers of level 2 are not all there"),
        (lambda text: text.replace("560", "many"), "line 6 is not a level, a layer and two counts"),
        (lambda text: text.replace("560", "5,6"), "line 6 is not"),
        (lambda text: text.replace("560", "-1"), "line 6 keeps -1 of 900 weights"),
        (lambda text: text.replace("560", "901"), "line 6 keeps 901 of 900 weights"),
        (lambda text: text.replace("a.weight", "out.weight"), "holds a layer twice"),
    ],
)
def test_damage_is_named(layered, tmp_path, change, text):
    path = layered() / "layers.csv"
    path.write_text(change(path.read_text()))
    with pytest.raises(Damaged) as error:
        densities.read(ledger.read([tmp_path]))
    assert str(error.value).startswith(f"{path}: ")
    assert text in str(error.value)
    assert "\n" not in str(error.value)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(min_value=0))
def test_a_file_cut_anywhere_is_never_read_as_whole(layered, tmp_path, cut):
    path = tmp_path / "run" / "layers.csv"
    if not path.exists():
        layered()
        (tmp_path / "whole").write_bytes(path.read_bytes())
    whole = (tmp_path / "whole").read_bytes()
    path.write_bytes(whole[: cut % len(whole)])
    with pytest.raises(Damaged):
        densities.read(ledger.read([tmp_path]))


def test_reading_densities_needs_no_torch(tmp_path):
    """`test_architecture` holds that of all that the report imports; this module is one of them only if it is used."""
    import subprocess
    import sys

    code = "import sys, ltb.analysis.densities; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
