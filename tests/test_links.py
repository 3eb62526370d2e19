"""Links in READMEs lead to files and headings that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("experiments/**/*.md"))]


def anchors(text):
    """The anchors of a page's headings, as they are made of their words."""
    return {
        re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", text, re.M)
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_link_leads_somewhere(page):
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    lost = [
        link
        for link in links
        if (link[0] == "#" and link[1:] not in anchors(text))
        or (link[0] != "#" and not (page.parent / link.partition("#")[0]).exists())
    ]
    assert lost == []
