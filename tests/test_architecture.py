"""Who may import whom, read from the import statements; and that nothing unpickles."""

import ast
import re
import sys
from pathlib import Path

import pytest
import yaml
from hydra.utils import get_object

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "ltb"
FILES = sorted(PACKAGE.rglob("*.py"))
SIBLINGS = {"models", "data", "training", "measures", "results"}
# Standard library and third parties that a part may use, where the design says so.
CORE = {"torch"}
UNPICKLE = {"pickle", "shelve", "joblib", "dill", "cloudpickle"}
TRAINS = {"torch", "torchvision", "pytorch_lightning", "hydra", "omegaconf", "wandb"}


def imports(file, *, lazy=True):
    """Dotted names that a file imports: at its top, and within functions too (`lazy`); not for type checkers alone."""
    tree = ast.parse(file.read_text())
    for node in list(ast.walk(tree)):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = [ast.Pass()]
        if isinstance(node, ast.FunctionDef) and not lazy:
            node.body = [ast.Pass()]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            # `from ltb.results import curves` names a module; what is no module names its own.
            found |= {_module(node.module, alias.name) for alias in node.names}
    return found


def _module(package, name):
    path = ROOT / Path(*package.split("."), name)
    return f"{package}.{name}" if path.with_suffix(".py").exists() or path.is_dir() else package


def third_parties(names):
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"ltb"}


@pytest.mark.parametrize("file", sorted((PACKAGE / "core").glob("*.py")), ids=lambda file: file.name)
def test_the_core_needs_torch_and_itself_alone(file):
    found = imports(file)
    assert third_parties(found) <= CORE
    assert {name for name in found if name.startswith("ltb")} <= {n for n in found if n.startswith("ltb.core")}


@pytest.mark.parametrize("part", sorted(SIBLINGS))
def test_siblings_do_not_import_each_other_nor_what_is_above_them(part):
    for file in (PACKAGE / part).rglob("*.py"):
        own = {name for name in imports(file) if name.startswith("ltb.")}
        assert all(name.startswith(("ltb.core", f"ltb.{part}")) for name in own), (file, own)


def reached(file, seen):
    """All files of ltb that importing one brings in, at once: not those that a function imports when it is called."""
    if file in seen:
        return seen
    seen.add(file)
    for name in imports(file, lazy=False):
        path = ROOT / Path(*name.split("."))
        for found in (path.with_suffix(".py"), path / "__init__.py"):
            if name.startswith("ltb") and found.exists():
                reached(found, seen)
    return seen


def test_the_report_imports_nothing_that_trains():
    for file in reached(PACKAGE / "report.py", set()):
        assert not third_parties(imports(file, lazy=False)) & TRAINS, file
        assert file.relative_to(PACKAGE).parts[0] in {"report.py", "arguments.py", "__init__.py", "results", "core"}


def test_the_entry_point_imports_nothing_slow():
    for file in reached(PACKAGE / "train.py", set()):
        assert not third_parties(imports(file, lazy=False)), file


def test_nothing_unpickles():
    for file in FILES:
        text = file.read_text()
        assert not {name.partition(".")[0] for name in imports(file)} & UNPICKLE, file
        assert not re.search(r"torch\.load\(|torch\.save\(|allow_pickle|read_pickle|load_from_checkpoint", text), file


def targets(node):
    """All `_target_`s within a configuration file, nested ones too."""
    if isinstance(node, dict):
        yield from ([node["_target_"]] if "_target_" in node else [])
        node = list(node.values())
    if isinstance(node, list):
        for entry in node:
            yield from targets(entry)


@pytest.mark.parametrize("file", sorted((ROOT / "conf").rglob("*.yaml")), ids=lambda f: f"{f.parent.name}/{f.stem}")
def test_every_target_resolves(file):
    for target in targets(yaml.safe_load(file.read_text())):
        assert callable(get_object(target))


CLASS_GROUPS = {
    "criterion": "criteria",
    "allocation": "allocation",
    "schedule": "schedules",
    "rewind": "rewind",
    "control": "controls",
}


@pytest.mark.parametrize("group", sorted(CLASS_GROUPS))
def test_a_choice_is_one_class_and_one_yaml_of_its_name(group):
    """to_start.yaml makes ToStart; and every class that can be chosen has a file."""
    made = {}
    for file in (ROOT / "conf" / group).glob("*.yaml"):
        for target in targets(yaml.safe_load(file.read_text())):
            assert target == f"ltb.core.{CLASS_GROUPS[group]}.{''.join(part.title() for part in file.stem.split('_'))}"
            made[target.rpartition(".")[2]] = file
    tree = ast.parse((PACKAGE / "core" / f"{CLASS_GROUPS[group]}.py").read_text())
    base = group.title()
    classes = {n.name for n in tree.body if isinstance(n, ast.ClassDef) and base in {ast.unparse(b) for b in n.bases}}
    assert classes == set(made)
