"""Who may import whom, read from the import statements; and that nothing unpickles."""

import ast
import importlib
import inspect
import re
import sys
from pathlib import Path

import pytest
import yaml
from hydra.utils import get_object

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "ltb"
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] != "templates")  # of users
# The house: a room imports from the rooms of earlier lines. Files at the root are commands.
ORDER = (
    ("common",),
    ("core",),
    ("models", "data", "training", "structure", "execution", "formats", "measures", "store", "records"),
    ("analysis",),
    ("report", "tracking"),
    ("run",),
    ("commands",),
)
# gc reads ledgers; bytes are those of formats; what is harvested is what compact removes.
SIBLINGS = {("store", "records"), ("measures", "formats"), ("measures", "execution"), ("measures", "structure")}
LARGEST = 0.25  # of all code
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
            # `from ltb.records import ledger` names a module; what is no module names its own.
            found |= {_module(node.module, alias.name) for alias in node.names}
    return found


def _module(package, name):
    path = ROOT / Path(*package.split("."), name)
    return f"{package}.{name}" if path.with_suffix(".py").exists() or path.is_dir() else package


def third_parties(names):
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"ltb"}


@pytest.mark.parametrize("file", sorted((PACKAGE / "core").rglob("*.py")), ids=lambda file: file.name)
def test_the_core_needs_torch_alone(file):
    assert third_parties(imports(file)) <= CORE


@pytest.mark.parametrize("file", sorted((PACKAGE / "common").rglob("*.py")), ids=lambda file: file.name)
def test_what_is_common_needs_the_standard_library_alone(file):
    assert not third_parties(imports(file))


def room(name):
    """The room of a file, or of a dotted name."""
    parts = Path(name).relative_to(PACKAGE).parts if isinstance(name, Path) else name.split(".")[1:]
    return parts[0] if len(parts) > 1 or (PACKAGE / parts[0]).is_dir() else "commands"


def arrows():
    """Who imports whom: (room, imported room) -> the files that do."""
    found = {}
    for file in FILES:
        for name in imports(file):
            if name.startswith("ltb."):
                found.setdefault((room(file), room(name)), set()).add(file.relative_to(PACKAGE).as_posix())
    return {pair: files for pair, files in found.items() if pair[0] != pair[1]}


def shares():
    """Room -> its share of all lines of code."""
    lines = {}
    for file in FILES:
        lines[room(file)] = lines.get(room(file), 0) + len(file.read_text().splitlines())
    return {name: count / sum(lines.values()) for name, count in lines.items()}


def rank(name):
    return next(index for index, names in enumerate(ORDER) if name in names)


def house():
    """The house drawn from its imports, lowest room first."""
    found, size = arrows(), shares()
    lines = [f"{name:<10} {size[name]:>4.0%}  <- {', '.join(sorted(a for a, b in found if b == name)) or '-'}"
             for name in sorted(size, key=rank)]  # fmt: skip
    return "\n".join(lines)


def test_no_arrow_points_upward_or_aside():
    wrong = {pair: files for pair, files in arrows().items() if rank(pair[0]) <= rank(pair[1])}
    assert wrong.keys() <= SIBLINGS, wrong


def test_siblings_make_no_circle():
    assert not {(b, a) for a, b in arrows()} & SIBLINGS


def test_no_room_holds_more_than_a_quarter():
    assert max(shares().values()) <= LARGEST, house()


def cycle(names, seen=()):
    """The first circle among modules of a room, as the names on it; [] if there is none."""
    for name in names:
        if name in seen:
            return [*seen[seen.index(name) :], name]
        found = cycle([n for n in MODULES.get(name, ()) if n not in DONE], (*seen, name))
        if found:
            return found
        DONE.add(name)
    return []


def _dotted(file):
    return ".".join(("ltb", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


MODULES = {_dotted(file): sorted(n for n in imports(file, lazy=False) if n.startswith("ltb.")) for file in FILES}
DONE = set()


def test_no_module_imports_itself_by_a_detour():
    assert cycle(sorted(MODULES)) == []


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
    for file in reached(PACKAGE / "report" / "command.py", set()):
        assert not third_parties(imports(file, lazy=False)) & TRAINS, file
        assert file.relative_to(PACKAGE).parts[0] in {"__init__.py", "report", "analysis", "records", "common"}


def test_the_entry_point_imports_nothing_slow():
    for file in reached(PACKAGE / "train.py", set()):
        assert not third_parties(imports(file, lazy=False)), file


def test_nothing_unpickles():
    """What others read may be written as torch writes it; it is compared without unpickling more than tensors."""
    exports = PACKAGE / "run" / "export_formats.py"
    for file in FILES:
        text = file.read_text()
        if file == exports:
            text = re.sub(r"torch\.load\(out, weights_only=True\)|torch\.save\(|load_from_checkpoint``", "", text)
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


# Group of conf/ -> the modules that its classes are found in, and their base.
CLASS_GROUPS = {
    "criterion": (["ltb.core.criteria"], "ltb.core.criteria.Criterion"),
    "allocation": (["ltb.core.allocation"], "ltb.core.allocation.Allocation"),
    "schedule": (["ltb.core.schedules"], "ltb.core.schedules.Schedule"),
    "rewind": (["ltb.core.rewind"], "ltb.core.rewind.Rewind"),
    "control": (["ltb.core.controls"], "ltb.core.controls.Control"),
    "dynamics": (["ltb.core.dynamics"], "ltb.core.dynamics.Dynamics"),
    "objective": (["ltb.core.objectives"], "ltb.core.objectives.Objective"),
    "execution": (["ltb.execution"], "ltb.core.execution.Execution"),
    "rewind_rule": (["ltb.core.rewind_rules"], "ltb.core.rewind_rules.RewindRule"),
    "student": (["ltb.run.students"], "ltb.run.students.Student"),
    "measure": (["ltb.core.measure", "ltb.measures"], "ltb.core.measure.Measure"),
}


@pytest.mark.parametrize("group", sorted(CLASS_GROUPS))
def test_a_choice_is_one_class_and_one_yaml_of_its_name(group):
    """weights.yaml makes Weights, erk.yaml ERK; and every class that can be chosen has a file."""
    modules, base = CLASS_GROUPS[group][0], get_object(CLASS_GROUPS[group][1])
    made = {}
    for file in (ROOT / "conf" / group).glob("*.yaml"):
        for target in targets(yaml.safe_load(file.read_text())):
            assert target.lower() in {f"{module}.{file.stem.replace('_', '')}" for module in modules}
            made[target.rpartition(".")[2]] = file
    classes = [
        c
        for module in modules
        for c in vars(importlib.import_module(module)).values()
        if inspect.isclass(c) and issubclass(c, base) and not inspect.isabstract(c)
    ]
    assert {c.__name__ for c in classes} == set(made)


def test_what_a_pruned_network_minimises_the_dense_one_may_too():
    of_pruned, of_dense = (
        {file.name for file in (ROOT / "conf" / name).glob("*.yaml")} for name in ("objective", "dense_objective")
    )
    assert of_pruned == of_dense


if __name__ == "__main__":
    print(house())
