"""README.md stays short, shows what it is about first, and leads to files that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = ("README.md", "notebooks/in_depth.md", "notebooks/recipes.md", "cassettes/README.md", "tests/README.md")


def test_readme_is_short() -> None:
    assert len(TEXT.splitlines()) < 250


def test_first_screen_shows_a_picture_and_a_command() -> None:
    first = TEXT.partition("\n## ")[0]
    assert len(first.splitlines()) < 40
    assert "uf.candles(" in first
    assert "](notebooks/chart.png)" in first
    assert "<!-- demo -->" in first


def test_readme_leads_to_every_guide() -> None:
    for guide in (ROOT / "notebooks").glob("guide_*.ipynb"):
        assert f"](notebooks/{guide.name})" in TEXT
        assert f"](notebooks/ko/{guide.name})" in TEXT


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)\s#]+)[^)]*\)", text) if "://" not in link]
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []
