"""``python -m ltb.new``: projects that run as they are, and README's walk through one, copied line by line."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ltb import new
from tests.support.command import folders, ledger

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SECTION = README[README.index("## Your own network") : README.index("Choices are frozen dataclasses, for their fields")]
KINDS = sorted(folder.name for folder in new.templates().iterdir())
SHORT = (
    "training.length=20it",
    "training.evaluate_every=10it",
    "schedule.levels=2",
    "protocol.rewind_step=5it",
    "logger=none",
    "progress=false",
)


@pytest.fixture
def own(command):
    """The command, without what others import as `mine`, and without leaving one to them."""
    sys.modules.pop("mine", None)
    yield command
    sys.modules.pop("mine", None)


def lines(text):
    """The commands of a page, without what is said beside them."""
    return [line.partition("#")[0].strip() for line in re.findall(r"^    (\S.*)$", text.partition("```")[0], re.M)]


def test_the_readme_shows_the_files_that_are_written():
    folder = new.templates() / "classification"
    code = (folder / "mine.py").read_text()
    for node in ast.parse(code).body:
        if isinstance(node, ast.ClassDef) and node.name != "Classifier":
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            assert "".join(code.splitlines(keepends=True)[first - 1 : node.end_lineno]) in SECTION
    shown = dict(re.findall(r"`conf/(\S+)`[^\n]*\n\n```yaml\n(.*?)```", SECTION, re.S))
    assert len(shown) == 4
    for name, text in shown.items():
        assert text == (folder / "conf" / name).read_text()


def test_a_folder_that_is_in_use_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("x")
    assert new.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"ltb: {tmp_path}: it is there already, and not empty\n"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_commands_of_a_project_run_from_anywhere(own, kind):
    folder = own.folder / "own"
    assert new.main([str(folder), "--kind", kind]) == 0
    given = [line.split()[3:] for line in lines((folder / "README.md").read_text()) if "ltb.train" in line]
    made = own.done(*["own/conf" if word == "conf" else word for word in given[1]], *SHORT)
    assert [row["level"] for row in ledger(made)] == ["0", "1", "2"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_readmes_lines_run_as_they_stand(tmp_path):
    commands = lines(SECTION)
    assert commands[1] == "cd waves"
    folder = tmp_path
    environment = os.environ | {"OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
    for line in commands:
        if line.startswith("cd "):
            folder = folder / line[3:]
            continue
        words = [sys.executable if word == "python" else word for word in line.split()]
        found = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert found.returncode == 0, f"{line}: {found.stderr}"
    assert {row["method"] for run in folders(folder / "runs") for row in ledger(run)} == {"imp"}
    assert (folder / "runs" / "report.html").exists()
