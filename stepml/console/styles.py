"""The style sheet of the console: the colours and parts of reports, and its own."""

from __future__ import annotations

from pathlib import Path

from stepml.reports import pages

REPORTS = Path(pages.__file__).parent / "templates"
OWN = Path(__file__).parent / "assets"


def style_sheet() -> str:
    """Return the whole style sheet, as text."""
    light, dark, parts = (
        (REPORTS / name).read_text() for name in ("light.css", "dark.css", "parts.css")
    )
    # The browser's page has one of these classes, by the system's setting or the person's choice.
    themes = f"body {{ {light} }}\nbody.body--dark {{ {dark} }}\n"
    # The shell first; each other area has a file.
    areas = sorted(OWN.glob("*.css"), key=lambda each: (each.name != "console.css", each.name))
    return themes + parts + "".join(each.read_text() for each in areas)
