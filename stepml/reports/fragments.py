"""Pieces of HTML for the outputs of notebooks, with styles that change nothing around them."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from stepml.reports.pages import rendered
from stepml.reports.svg import element, joined
from stepml.whole_files import write_whole


def fragment(*parts: Markup) -> str:
    """Return parts as one piece, which follows the light or dark theme of the notebook."""
    return rendered("fragment.html.j2", body=joined(*parts))


class Page:
    """A page of HTML in one file, which needs no network; a notebook shows it in a frame.

    Parameters
    ----------
    html : str
        The whole page.
    title : str
        A few words on it.
    """

    def __init__(self, html: str, title: str) -> None:
        self.html = html
        self.title = title

    def save(self, path: Path | str) -> Path:
        """Write the page to a file, and return its path.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        # Half of a surrogate pair in an error message is no reason to have no page.
        write_whole(target, self.html.encode(errors="backslashreplace"))
        return target

    def __repr__(self) -> str:
        return f"Page({self.title!r}, {len(self.html):,} characters); .save(path) writes it"

    def _repr_html_(self) -> str:
        # Without any right: nothing that a page contains can reach the notebook.
        return fragment(element("iframe", sandbox="", title=self.title, srcdoc=self.html))
