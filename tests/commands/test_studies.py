"""What READMEs say of a study is what its rows say: tables, quoted sentences and verdicts are made again and compared.

- A table in the README of a study with a `study.py` is one that it prints, literally; one made by hand has a line
  `<!-- by hand: WHY -->` above it.
- A sentence of a paragraph that begins with **Verdict or **Answer is one that the study prints, or has a mark for each comparison
  that it speaks of, before its full stop: `<!-- IMP − random: higher -->` is the first cell of a printed row and how its last
  one begins. Outside of the study's own README its name is in front: `<!-- generalisation | IMP − random: higher -->`.
  A sentence that compares nothing says so: `<!-- no comparison -->`.
- What is between `<!-- printed by experiments/NAME -->` and `<!-- end -->`, anywhere, is printed by that study; in the README of
  the repository no number with its ± is elsewhere.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path

import altair as alt
import pytest

ROOT = Path(__file__).parents[2]
EXPERIMENTS = ROOT / "experiments"
STUDIES = sorted(path.parent.name for path in EXPERIMENTS.glob("*/study.py") if (path.parent / "README.md").exists())
OTHERS = [path for path in (ROOT / "README.md", EXPERIMENTS / "questions.md") if path.exists()]
QUOTED = re.compile(r"<!-- printed by experiments/(\w+) -->(.*?)<!-- end -->", re.DOTALL)
MARK = re.compile(r"<!-- (?:(\w+) \| )?(.+?): ([^:>]+?) -->")
NOTHING = "<!-- no comparison -->"


@pytest.fixture(scope="module")
def printed():
    """What a study prints from its committed rows; figures are not drawn."""
    said = {}

    def of(name):
        if name not in said:
            with pytest.MonkeyPatch.context() as patch:
                out = []
                for chart in (alt.Chart, alt.LayerChart, alt.HConcatChart, alt.VConcatChart, alt.FacetChart):
                    patch.setattr(chart, "save", lambda *_, **__: None)
                patch.setattr("builtins.print", lambda *parts: out.append(" ".join(map(str, parts))))
                patch.setattr(sys, "argv", ["study"])
                importlib.import_module(f"experiments.{name}.study").main()
            said[name] = "\n".join(out)
        return said[name]

    return of


def tables(text):
    """The tables of a Markdown text, each with the line above it: (line, table)."""
    found, above, block = [], "", []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            block.append(line.strip())
        else:
            found += [(above, "\n".join(block))] * bool(block)
            above, block = line.strip() or ("" if block else above), []
    return found


def plain(text):
    """A text without emphasis and marks, and with one blank for any run of them."""
    return " ".join(re.sub(r"<!--.*?-->|\*\*", " ", text, flags=re.DOTALL).replace(" .", ".").split())


def rows(text):
    """The first cell and the last one of each row of all tables."""
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for _, table in tables(text)
        for line in table.splitlines()
    ]
    return [(row[0], row[-1]) for row in cells]


def sentences(text):
    """The sentences of the paragraphs that give a verdict."""
    for paragraph in re.split(r"\n\s*\n", text):
        if re.match(r"\s*\*\*(Verdict|Answer)", paragraph):
            flat = " ".join(re.sub(r"^\s*\*\*(Verdict|Answer)[^*]*\*\*", "", paragraph).split())
            yield from filter(None, re.split(r"(?<=[.!?])\s+(?=[A-Z*])", flat))


def wrong(text, printed, study=None):
    """What a text says that its study does not print."""
    found = []
    for name, quoted in QUOTED.findall(text):
        found += [] if plain(quoted) in plain(printed(name)) else [f"{name} does not print: {plain(quoted)[:200]}"]
    for sentence in sentences(QUOTED.sub("", text)):
        marks = MARK.findall(sentence)
        for of, comparison, verdict in marks:
            there = rows(printed(of or study))
            if not any(first == comparison and last.startswith(verdict) for first, last in there):
                found.append(f"no row {comparison}: {verdict} of {of or study}")
        literal = study is not None and plain(sentence) in plain(printed(study))
        if not (marks or literal or NOTHING in sentence):
            found.append(f"a verdict without a mark: {sentence}")
    return found


@pytest.mark.parametrize("name", STUDIES)
def test_the_readme_of_a_study_is_what_its_rows_say(name, printed):
    text = (EXPERIMENTS / name / "README.md").read_text(encoding="utf-8")
    assert tables(text)
    there = {table for _, table in tables(printed(name))}
    by_hand = [table for above, table in tables(text) if table not in there and not above.startswith("<!-- by hand: ")]
    assert by_hand == []
    assert wrong(text, printed, name) == []


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.name)
def test_what_is_said_of_studies_elsewhere_is_what_their_rows_say(path, printed):
    text = path.read_text(encoding="utf-8")
    assert wrong(text, printed) == []
    assert not re.findall(r".*\d ± \d.*", QUOTED.sub("", text)) or path.name != "README.md"


def test_notebooks_leave_verdicts_to_their_cells():
    """No sentence of theirs says of a method that it is better or worse: what is decided is printed."""
    methods = re.compile(r"(?i)\b(imp|one[-_ ]shot|rewinding|shuffled?|reinit|random|initialisation|masks?)\b")
    verdict = re.compile(r"(?i)\b(better|worse|beats?|matters|costs?|wins?|decisive)\b")
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        said = [one for one in re.split(r"(?<=[.!?])\s+|\n\n", text) if methods.search(one) and verdict.search(one)]
        assert [one for one in said if not re.search(r"(?i)\b(whether|question)\b|`", one)] == []


def test_a_false_verdict_is_found():
    said = "| difference | verdict |\n| --- | --- |\n| a − b | higher |\n\na is best.\n"
    check = lambda text: wrong(f"**Verdict.** {text}", {"x": said}.__getitem__, "x")  # noqa: E731
    assert check("a is higher <!-- a − b: higher -->. It is small <!-- no comparison -->. a is best.") == []
    assert check("a is lower <!-- a − b: lower -->.") == ["no row a − b: lower of x"]
    assert check("b is best.") == ["a verdict without a mark: b is best."]
    assert wrong("<!-- printed by experiments/x -->\nb is best\n<!-- end -->", {"x": said}.__getitem__) == [
        "x does not print: b is best"
    ]
