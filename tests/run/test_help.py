"""``--help`` says beside each setting what its file says of it, and names the engines."""

from pathlib import Path

import pytest

from ltb.run.conf import conf
from ltb.run.help import annotated, comments
from ltb.run.launchers import EXTRAS


def test_by_hand(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "train.yaml").write_text("seed: 0 # what all is drawn from\nmodel:\n  width: 1\na: {b: '#x'}\n")
    (tmp_path / "model" / "one.yaml").write_text("_target_: m.One\nwidth: 3   # of a layer\n")
    (tmp_path / "model" / "two.yaml").write_text("_target_: m.Two\nwidth: 3   # of another\n")
    text = "seed: 5\n\n== Settings ==\nseed: 0\nmodel:\n  _target_: m.Two\n  width: 3\na:\n  b: '#x'\n"
    assert annotated(text, [tmp_path]).split("\n") == [
        "seed: 5", "", "== Settings ==", f"{'seed: 0':<40} # what all is drawn from", "model:", "  _target_: m.Two",
        f"{'  width: 3':<40} # of another", "a:", "  b: '#x'", "",
    ]  # fmt: skip


@pytest.mark.slow
def test_the_command_says_all_that_the_settings_file_says(command):
    shown = command("--help").out
    for (*_, key), said in comments(Path(conf()) / "train.yaml").items():
        if f"{key}:" in shown.partition("== Settings")[2]:
            assert said in shown, key
    assert "# penalty on linear and convolutional weights, beside any weight decay" in shown
    for launcher in (*EXTRAS, *(path.stem for path in (Path(conf()) / "hydra" / "launcher").glob("*.yaml"))):
        assert launcher in shown.partition("== Engines")[2].partition("==")[2].partition("==")[0]
