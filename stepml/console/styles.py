"""The style sheet of the console: the colours and parts of reports, and its own."""

from __future__ import annotations

from pathlib import Path

from stepml.reports import pages

REPORTS = Path(pages.__file__).parent / "templates"
OWN = Path(__file__).parent / "assets" / "console.css"


def style_sheet() -> str:
    """Return the whole style sheet, as text."""
    light, dark, parts = (
        (REPORTS / name).read_text() for name in ("light.css", "dark.css", "parts.css")
    )
    # The browser's page has one of these classes, by the system's setting or the person's choice.
    themes = f"body {{ {light} }}\nbody.body--dark {{ {dark} }}\n"
    return themes + parts + OWN.read_text()
