"""The list of decisions."""

from __future__ import annotations

from pathlib import Path

DIRECTORY = Path(__file__).parents[1] / "docs" / "decisions"

HEAD = """# Decisions

Half a page for each decision that others will ask about: its context, the choice, and what follows.

"""


def decisions_page() -> str:
    """Return the page that lists all decisions by their titles."""
    return HEAD + "".join(f"- [{_title(each)}]({each.name})\n" for each in _pages())


def _pages() -> list[Path]:
    return sorted(each for each in DIRECTORY.glob("*.md") if each.name[0].isdigit())


def _title(page: Path) -> str:
    return page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
