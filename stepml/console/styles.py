"""The files that pages load: the style sheet, the script and the sign of the console."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from stepml.reports import pages

REPORTS = Path(pages.__file__).parent / "templates"
OWN = Path(__file__).parent / "assets"
SIGN = OWN / "favicon.svg"


def style_sheet() -> str:
    """Return the whole style sheet: the colours and parts of reports, and the console's own."""
    light, dark, parts = (
        (REPORTS / name).read_text(encoding="utf-8")
        for name in ("light.css", "dark.css", "parts.css")
    )
    # The script sets the theme before anything is painted.
    themes = (
        f":root {{ color-scheme: light; {light} }}\n"
        f':root[data-theme="dark"] {{ color-scheme: dark; {dark} }}\n'
    )
    # The shell first; each other area has a file.
    areas = sorted(OWN.glob("*.css"), key=lambda each: (each.name != "console.css", each.name))
    return "".join([themes, parts, *(each.read_text(encoding="utf-8") for each in areas)])


def script() -> str:
    """Return the script of pages."""
    return (OWN / "console.js").read_text(encoding="utf-8")


def versioned(address: str, content: str) -> str:
    """Return an address that changes with its content, so that browsers may keep it."""
    return f"{address}?{sha256(content.encode()).hexdigest()[:16]}"
