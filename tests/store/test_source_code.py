"""What a stage key knows of code: its owner's name, a package's version, or all that a person's own files say."""

import ast
import contextlib
import functools
import importlib
import importlib.metadata
import linecache
import os
import shutil
import sys
import textwrap
import types
from pathlib import Path

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ltb
from ltb.store import ownership, source_files
from ltb.store.source_code import identities, identity

# A person's package: `model` reaches all but `unrelated`, `other` only through `relative` and `late` only when it is called.
FILES = {
    "proj/__init__.py": "",
    "proj/model.py": """
        import json

        from proj import absolute
        from proj.sub import relative as inner
        from .starred import *
        from .typed import *


        class Net:
            def forward(self, x, y=1):
                from proj.late import act
                return act(absolute.scale(x) + inner.shift(y) + starred.size)


        def build(width=3):
            return Net()
    """,
    "proj/absolute.py": "import proj.model\n\ndef scale(x):\n    return 2 * x\n",  # a cycle
    "proj/sub/__init__.py": "",
    "proj/sub/relative.py": "from ..other import ONE\n\ndef shift(x):\n    return x + ONE\n",
    "proj/other.py": "ONE = 1\n",
    "proj/late.py": "from math import tanh as act\n",
    "proj/starred/__init__.py": "__all__ = ['size']\n__all__ += ['added']\n",
    "proj/starred/added.py": "ONE = 1\n",
    "proj/typed/__init__.py": "__all__: list[str] = ['kind']\n",
    "proj/typed/kind.py": "ONE = 1\n",
    "proj/starred/size.py": "SIZE = 1\n",
    "proj/unrelated.py": "ONE = 1\n",
}


@pytest.fixture(autouse=True)
def _fresh_imports(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if not name.startswith("ltb"):
            del sys.modules[name]
    importlib.invalidate_caches()


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return folder


def load(folder, target):
    """The thing that a dotted name stands for in a folder, its modules imported anew."""
    for name in [name for name in sys.modules if name.split(".")[0] in {path.stem for path in folder.iterdir()}]:
        del sys.modules[name]
    sys.path[:] = [str(folder), *(entry for entry in sys.path if not entry.startswith(str(folder.parent)))]
    importlib.invalidate_caches()
    module, _, name = target.rpartition(".")
    return getattr(importlib.import_module(module), name)


def source(folder, target="proj.model.Net"):
    return identity(load(folder, target))["source"]


EDITS = {
    # edit: (file, old text, new text, whether the identity differs)
    "a literal": ("proj/model.py", "y=1", "y=2", True),
    "a literal of another type": ("proj/model.py", "y=1", "y=1.0", True),
    "an operator": ("proj/model.py", ") + inner", ") - inner", True),
    "the order of arguments": ("proj/model.py", "x, y=1", "y, x=1", True),
    "an annotation": ("proj/model.py", "width=3", "width: int = 3", True),
    "a decorator": (
        "proj/model.py",
        "            def forward",
        "            @staticmethod\n            def forward",
        True,
    ),
    "a helper": ("proj/absolute.py", "2 * x", "3 * x", True),
    "a helper's helper, by relative imports": ("proj/other.py", "1", "2", True),
    "a helper imported inside a function": ("proj/late.py", "tanh as", "cosh as", True),
    "a package around the model": ("proj/__init__.py", "", "import os", True),
    "a package around a helper": ("proj/sub/__init__.py", "", "import os", True),
    "a module that * brings in": ("proj/starred/size.py", "1", "2", True),
    "a module that * brings in, by +=": ("proj/starred/added.py", "1", "2", True),
    "a module that * brings in, annotated": ("proj/typed/kind.py", "1", "2", True),
    "an unrelated file": ("proj/unrelated.py", "1", "2", False),
    "a comment": ("proj/model.py", "y=1):", "y=1):  # one", False),
    "a blank line": ("proj/model.py", "import json\n", "import json\n\n\n", False),
    "layout": ("proj/absolute.py", "2 * x", "(2*\n    x)", False),
    "a docstring": ("proj/model.py", "class Net:\n", 'class Net:\n            """A net."""\n\n', False),
    "a docstring of a module": ("proj/other.py", "ONE", '"""One."""\n\nONE', False),
    "a docstring of an attribute": ("proj/other.py", "ONE = 1\n", 'ONE = 1\n"""One."""\n', False),
    "nothing but quotes": ("proj/starred/__init__.py", "'size'", '"size"', False),
}


@pytest.mark.parametrize(("file", "old", "new", "differs"), EDITS.values(), ids=EDITS)
def test_what_an_edit_changes(tmp_path, file, old, new, differs):
    assert old in FILES[file]
    before = source(write(tmp_path / "a", FILES))
    after = source(write(tmp_path / "b", FILES | {file: FILES[file].replace(old, new, 1)}))
    assert (before != after) is differs


def test_an_edit_in_place_is_seen_at_the_next_call_though_nothing_is_imported_anew(tmp_path):
    net = load(write(tmp_path / "a", FILES), "proj.model.Net")
    before = identity(net)
    write(tmp_path / "a", {"proj/other.py": "ONE = 100\n"})
    assert identity(net) != before
    write(tmp_path / "a", {"proj/other.py": "ONE = 1\n"})
    assert identity(net) == before


def test_a_folder_that_is_moved_or_linked_keeps_its_identities(tmp_path):
    before = source(write(tmp_path / "a", FILES))
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert source(tmp_path / "b") == before
    (tmp_path / "c").symlink_to(tmp_path / "b")
    assert source(tmp_path / "c") == before


def test_modules_that_were_imported_already_or_not_give_the_same_identity(tmp_path):
    net = load(write(tmp_path / "a", FILES), "proj.model.Net")
    assert {"proj.late", "proj.starred.size"} - set(sys.modules) == {"proj.late"}
    before = identity(net)
    assert "proj.late" not in sys.modules
    importlib.import_module("proj.late")
    assert identity(net) == before


def test_packages_without_init_are_searched_though_not_imported(tmp_path):
    files = {
        "model.py": "def net():\n    from outer.inner.helper import act\n    return act\n",
        "outer/inner/helper.py": "act = 1\n",
    }
    before = source(write(tmp_path / "a", files), "model.net")
    after = source(write(tmp_path / "b", files | {"outer/inner/helper.py": "act = 2\n"}), "model.net")
    assert before != after
    assert "outer" not in sys.modules


def test_the_packages_around_a_model_count_though_it_does_not_import_them(tmp_path):
    files = {"proj/__init__.py": "", "proj/sub/__init__.py": "", "proj/sub/model.py": "class Net: ...\n"}
    before = source(write(tmp_path / "a", files), "proj.sub.model.Net")
    for package in ("proj/__init__.py", "proj/sub/__init__.py"):
        folder = write(tmp_path / package.replace("/", ""), files | {package: "SEED = 1\n"})
        assert source(folder, "proj.sub.model.Net") != before


def test_a_script_has_the_identity_of_the_module_it_also_is(tmp_path):
    folder = write(tmp_path / "a", {"script.py": "import helper\nclass Net:\n    pass\n", "helper.py": "A = 1\n"})
    as_module = source(folder, "script.Net")
    main = types.ModuleType("__main__")
    main.__file__ = str(folder / "script.py")
    exec((folder / "script.py").read_text(), vars(main))
    sys.modules["__main__"], kept = main, sys.modules["__main__"]
    try:
        assert identity(main.Net)["source"] == as_module
    finally:
        sys.modules["__main__"] = kept


BROKEN = {"model.py": "def net():\n    import helper\n", "helper.py": "x = = 1\n"}


def test_an_imported_file_that_does_not_parse_counts_by_its_bytes(tmp_path):
    before = source(write(tmp_path / "a", BROKEN), "model.net")
    assert source(write(tmp_path / "b", BROKEN | {"helper.py": "x = = 2\n"}), "model.net") != before
    assert source(write(tmp_path / "c", BROKEN), "model.net") == before


def test_a_file_that_is_gone_or_no_longer_parses_leaves_what_was_loaded_from_it(tmp_path):
    def lost(folder, text, left):
        thing = load(write(tmp_path / folder, {"model.py": text}), "model.Net")
        (tmp_path / folder / "model.py").write_text(left) if left else (tmp_path / folder / "model.py").unlink()
        return identity(thing)["source"]

    text = "class Net:\n    size = 1\n    def f(self):\n        return abs\n"
    for left in ("", "= broken"):
        assert lost(f"a{len(left)}", text, left) == lost(f"b{len(left)}", text, left)
        assert lost(f"a{len(left)}", text, left) != lost(f"c{len(left)}", text.replace("abs", "max"), left)
        assert lost(f"a{len(left)}", text, left) != lost(f"d{len(left)}", text.replace("1", "2"), left)


def test_own_bases_that_were_passed_and_not_imported_count(tmp_path):
    def derived(folder, text):
        folder = write(
            tmp_path / folder, {"base.py": text, "model.py": "def make(b):\n    class N(b): pass\n    return N\n"}
        )
        return identity(load(folder, "model.make")(load(folder, "base.Base")))

    before = derived("a", "class Base:\n    x = 1\n")
    assert before["name"] == "make.<locals>.N"
    assert derived("b", "class Base:\n    x = 2\n") != before
    assert derived("c", "class Base:\n    x = 1  # one\n") == before


@pytest.mark.parametrize("wraps", ["@functools.wraps(f)", ""], ids=["wraps", "no wraps"])
@pytest.mark.parametrize("edited", ["deco.py", "model.py"])
def test_a_wrapped_function_is_what_it_wraps_and_its_wrapper(tmp_path, wraps, edited):
    files = {
        "deco.py": f"""
            import functools
            def deco(f):
                {wraps}
                def inner(*args):
                    return f(*args) + 1
                return inner
        """,
        "model.py": "def net(x):\n    return x + 1\n",
    }

    def wrapped(folder, files):
        folder = write(tmp_path / folder, files)
        return identity(load(folder, "deco.deco")(load(folder, "model.net")))

    before = wrapped("a", files)
    assert before["name"] == ("net" if wraps else "deco.<locals>.inner")
    assert wrapped("b", files | {edited: files[edited].replace("+ 1", "+ 2")}) != before
    assert wrapped("c", files) == before


@pytest.mark.parametrize("text", ["import functools\n@functools.cache\ndef net():\n    return {}", "net = lambda: {}"])
def test_other_forms_of_functions_are_read_too(tmp_path, text):
    assert source(write(tmp_path / "a", {"m.py": text.format(1)}), "m.net") != source(
        write(tmp_path / "b", {"m.py": text.format(2)}), "m.net"
    )


def test_a_partial_is_what_it_calls_and_a_class_method_names_its_class(tmp_path):
    text = "class A:\n    @classmethod\n    def make(cls): ...\nclass B(A): ...\n"
    made = load(write(tmp_path / "a", {"m.py": text}), "m.B")
    assert identity(functools.partial(functools.partial(made, 1), 2)) == identity(made)
    assert identity(made.make)["name"] == "B.make"


# --- what is not a person's own

PYTHON = f"python {sys.version_info.major}.{sys.version_info.minor}"
NUMPY = f"numpy {numpy.__version__}"


@pytest.mark.parametrize(
    ("thing", "name", "package"),
    [
        (dict, "builtins.dict", PYTHON),
        (len, "builtins.len", PYTHON),
        (dict.fromkeys, "builtins.dict.fromkeys", PYTHON),
        (str.upper, "builtins.str.upper", PYTHON),
        (functools.partial(textwrap.dedent, "x"), "textwrap.dedent", PYTHON),
        (contextlib.contextmanager(textwrap.dedent), "textwrap.dedent", PYTHON),
        (numpy.random.default_rng, f"{numpy.random.default_rng.__module__}.default_rng", NUMPY),  # Cython's
        (Path, f"{Path.__module__}.Path", PYTHON),
        (given, "hypothesis.core.given", f"hypothesis {importlib.metadata.version('hypothesis')}"),
        (pytest.Item, "_pytest.nodes.Item", f"pytest {importlib.metadata.version('pytest')}"),
    ],
)
def test_code_of_packages_is_named_with_their_version(thing, name, package):
    assert identity(thing) == {"name": name, "package": package}


def test_another_version_of_a_package_is_another_identity(monkeypatch):
    before = identity(given)
    other = types.SimpleNamespace(version="0.0.1", read_text=lambda name: None)
    monkeypatch.setattr(importlib.metadata, "distribution", {"hypothesis": other}.__getitem__)
    ownership.package_of.cache_clear()
    after = identity(given)
    ownership.package_of.cache_clear()
    assert after == {"name": before["name"], "package": "hypothesis 0.0.1"} != before


def installed(code, where):
    """A distribution as pip leaves it that was installed from a folder."""
    record = [
        f"nets.py,sha256={code},10",
        "__pycache__/nets.pyc,,",
        f"nets-1.dist-info/direct_url.json,sha256={where},20",
        f"../../../bin/nets,sha256={where},9",
    ]
    texts = {"direct_url.json": f'{{"url": "{where}"}}', "RECORD": "\n".join(record)}
    return types.SimpleNamespace(version="1", read_text=texts.get)


def test_a_package_installed_again_from_a_folder_is_known_by_its_files(monkeypatch):
    found = {}
    for code, where in (("a", "one"), ("a", "two"), ("b", "one")):
        monkeypatch.setattr(importlib.metadata, "distribution", {"hypothesis": installed(code, where)}.__getitem__)
        ownership.package_of.cache_clear()
        found[code, where] = identity(given)["package"]
    ownership.package_of.cache_clear()
    assert found["a", "one"] == found["a", "two"] != found["b", "one"]
    assert all(name.startswith("hypothesis 1 ") for name in found.values())


@pytest.mark.parametrize(
    "line",
    [
        "import importlib\nhelp = importlib.import_module('helper')",
        "from importlib import import_module\nhelp = import_module('helper')",
        "help = __import__('helper')",
        "import importlib\ndef late():\n    return importlib.import_module('.helper', __package__)",
    ],
)
def test_a_module_that_is_imported_by_its_name_is_read(tmp_path, line):
    package = "pack." if "'.helper'" in line else ""
    text = f"{line}\nclass Net:\n    pass\n"
    found = []
    for content in ("ONE = 1\n", "ONE = 2\n"):
        place = package.replace(".", "/")
        files = {f"{place}m.py": text, f"{place}helper.py": content} | ({"pack/__init__.py": ""} if package else {})
        found.append(source(write(tmp_path / content[6], files), f"{package}m.Net"))
    assert found[0] != found[1]


def test_a_package_that_no_distribution_claims_is_unknown(tmp_path):
    folder = write(tmp_path / "site-packages", {"nobodys.py": "class Net:\n    pass\n"})
    assert identity(load(folder, "nobodys.Net")) == {"name": "nobodys.Net", "package": "nobodys unknown"}


def test_what_derives_from_a_packages_class_is_a_persons_own():
    assert set(identity(type("Own", (textwrap.TextWrapper,), {"__module__": __name__}))) == {"name", "source"}


def in_ltb(monkeypatch, module, file):
    """A class that says it belongs to a module of ltb's, which lies in `file`."""
    made = types.ModuleType(module)
    made.__file__ = str(file)
    monkeypatch.setitem(sys.modules, module, made)
    return type("MLP", (), {"__module__": module})


def test_code_of_ltb_is_its_name_alone_wherever_in_ltb_it_lies(monkeypatch):
    package = Path(ltb.__file__).parent
    assert identity(identity) == {"name": "identity"}
    assert identity(contextlib.contextmanager(identity)) == {"name": "identity"}
    assert identity(in_ltb(monkeypatch, "ltb.here", package / "here.py")) == {"name": "MLP"}
    assert identity(in_ltb(monkeypatch, "ltb.there.x", package / "there" / "x.py")) == {"name": "MLP"}


@pytest.mark.parametrize(("module", "inside"), [("ltb.models", False), ("ltb_mine", True), ("mine.ltb", False)])
def test_code_that_only_looks_like_that_of_ltb_is_a_persons_own(monkeypatch, tmp_path, module, inside):
    folder = Path(ltb.__file__).parent if inside else tmp_path
    assert set(identity(in_ltb(monkeypatch, module, folder / "net.py"))) == {"name", "source"}


def test_ltb_is_not_read_where_a_person_imports_it(tmp_path, monkeypatch):
    folder = write(tmp_path / "a", {"m.py": "from ltb.store import source_code\nNet = type('Net', (), {})\n"})
    read = []
    monkeypatch.setattr(source_files, "_parse", lambda path, *_: read.append(path) or source_files._File("", True))
    assert source(folder, "m.Net")
    assert set(read) == {str(folder / "m.py")}


# --- what was typed


def typed(text, file="<stdin>", **names):
    """The names that stand in __main__ after some text was typed."""
    main = types.ModuleType("__main__")
    vars(main).update(names)
    exec(compile(text, file, "exec"), vars(main))
    return main


CELLS = {
    # cell: (old text, new text, whether the identity of Net differs)
    "code of a method": ("x + 1", "x + 2", True),
    "a function it calls": ("def act(x):\n    return x", "def act(x):\n    return -x", True),
    "a value it uses": ("SIZES = [1", "SIZES = [2", True),
    "an alias it uses": ("maker = dict", "maker = list", True),
    "an attribute of the class": ("width = 3", "width = 4", True),
    "a default": ("k=5", "k=6", True),
    "methods that change places": (
        "def first(self): return 1\n    def last",
        "def last(self): return 1\n    def first",
        True,
    ),
    "something else": ("other = 1", "other = 2", False),
}
CELL = """
SIZES = [1, 2]
maker = dict
other = 1
def act(x):
    return x
class Net:
    width = 3
    def first(self): return 1
    def last(self): return 2
    def forward(self, x, k=5):
        return act(maker(x + 1)) + SIZES[0]
"""


@pytest.mark.parametrize("cached", [False, True], ids=["prompt", "notebook"])
@pytest.mark.parametrize(("old", "new", "differs"), CELLS.values(), ids=CELLS)
def test_what_was_typed_counts_with_what_it_uses(monkeypatch, old, new, differs, cached):
    assert old in CELL

    def digest(text, file):
        if cached:
            monkeypatch.setitem(linecache.cache, file, (len(text), None, text.splitlines(True), file))
        main = typed(text, file)
        monkeypatch.setitem(sys.modules, "__main__", main)
        return identity(main.Net)

    before = digest(CELL, "<cell 1>")
    assert (digest(CELL.replace(old, new), "<cell 2>") != before) is differs
    assert digest(CELL, "<cell 3>") == before


def test_comments_in_a_notebook_do_not_count(monkeypatch):
    def digest(text, file):
        monkeypatch.setitem(linecache.cache, file, (len(text), None, text.splitlines(True), file))
        return identity(typed(text, file).net)

    assert digest("def net():\n    return 1\n", "<a>") == digest("def net():\n    # one\n    return 1\n", "<b>")


def test_typed_code_reaches_a_persons_files(tmp_path):
    def digest(folder, text):
        load(write(tmp_path / folder, {"helper.py": text}), "helper.act")
        inside = typed("def net():\n    from helper import act\n    return act()").net
        outside = typed("import helper\ndef net():\n    return helper.act()").net
        return identity(inside), identity(outside)

    before = digest("a", "def act():\n    return 1\n")
    after = digest("b", "def act():\n    return 2\n")
    assert before[0] != after[0]
    assert before[1] != after[1]


@given(st.lists(st.sampled_from(["a = 1", "b(a)", "def f(x): return x", "'text'", "# note", ""]), max_size=6))
def test_lines_that_say_nothing_never_count(lines):
    def shape(lines):
        return source_files.shape(ast.parse("\n".join(lines)))

    telling = [line for line in lines if line not in ("'text'", "# note", "")]
    assert shape(lines) == shape([*telling, "'end'"])
    assert shape(lines) != shape([*lines, "c = 1"])


# --- names


def test_names_are_resolved_as_hydra_does(tmp_path):
    load(write(tmp_path / "a", FILES), "proj.model.Net")
    found = identities(["proj.model.Net", "textwrap.dedent", "proj.late.act"])
    assert list(found) == ["proj.model.Net", "textwrap.dedent", "proj.late.act"]
    assert found["proj.model.Net"] == identity(sys.modules["proj.model"].Net)
    assert found["textwrap.dedent"] == identity(textwrap.dedent)


def test_an_own_module_that_passes_something_on_counts(tmp_path):
    def found(folder, text):
        write(tmp_path / folder, {"api.py": text})
        load(tmp_path / folder, "api.net")
        return identities(["api.net"])["api.net"]

    first = found("a", "from functools import partial\nnet = partial(dict, width=1)\n")
    assert first["name"] == "dict"
    assert found("b", "from functools import partial\nnet = partial(dict, width=2)\n") != first


@pytest.mark.parametrize(
    "target", ["no_such_module.Net", "textwrap.no_such", "textwrap.dedent.no_such", "", "a..b", ".a"]
)
def test_a_name_that_is_nowhere_is_an_error_that_says_so(target):
    with pytest.raises(ValueError, match=f"^_target_={target}: a class or a function that can be imported"):
        identities([target])


@pytest.mark.parametrize(
    "thing",
    [3, "text", textwrap.TextWrapper(), textwrap.TextWrapper().wrap, os],
    ids=lambda thing: type(thing).__name__,
)
def test_an_instance_has_no_identity(thing):
    with pytest.raises(ValueError, match="a class or a function, not "):
        identity(thing)


def test_a_target_that_is_an_instance_is_named():
    with pytest.raises(ValueError, match=r"^_target_=math\.pi: a class or a function, not 3\.14"):
        identities(["math.pi"])


def test_a_second_call_reads_no_file(tmp_path, monkeypatch):
    net = load(write(tmp_path / "a", FILES), "proj.model.Net")
    before = identity(net)
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} was read again"))
    assert identity(net) == before
