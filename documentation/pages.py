"""The pages of the site that are files of the repository, with links that hold in the site."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from documentation.source_pages import SourcePages

# Files outside of docs/ that are pages, and their places in the site.
OUTSIDE = {
    "README.md": "index.md",  # the site has a first page of its own
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "tests/README.md": "tests.md",
}
_LINK = re.compile(r"(?P<before>!?\[[^\]]*\]\()(?P<target>[^)#\s]*)(?P<anchor>#[^)\s]*)?\)")
_FENCE = re.compile(r"^ *(```|~~~)")
_SCREENSHOT = re.compile(r"<!-- screenshot (?P<name>\S+): (?P<words>.+) -->")
SCREENSHOTS = Path("build", "screenshots")  # of `make screenshots`; the site alone shows them


class Pages:
    """Copies Markdown into the site, and turns links to other files into links to their text.

    Parameters
    ----------
    root : Path
        The repository.
    target : Path
        The directory of the site's pages.
    """

    def __init__(self, root: Path, target: Path) -> None:
        self._root = root
        self._target = target
        self._sources = SourcePages(root)
        self._screenshots = sorted((root / SCREENSHOTS).glob("*.png"))

    def write(self) -> None:
        """Write every page of ``docs/``, the pages outside of it, and the files that they name."""
        for path in sorted((self._root / "docs").rglob("*")):
            if path.suffix == ".md":
                self._copy(path, str(path.relative_to(self._root / "docs")))
            elif path.is_file():
                place = self._target / path.relative_to(self._root / "docs")
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(path.read_bytes())
        for picture in self._screenshots:
            (self._target / "screenshots").mkdir(exist_ok=True)
            (self._target / "screenshots" / picture.name).write_bytes(picture.read_bytes())
        for name, page in OUTSIDE.items():
            if page != "index.md":
                self._copy(self._root / name, page)
        self._sources.write(self._target)

    def _copy(self, source: Path, page: str) -> None:
        text = source.read_text(encoding="utf-8")
        self.add(page, "".join(self._lines(text, source.parent, page)))

    def add(self, page: str, text: str) -> None:
        """Write ``text`` as the page of that name."""
        place = self._target / page
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")

    def _lines(self, text: str, directory: Path, page: str) -> Iterator[str]:
        in_code = False
        for line in text.splitlines(keepends=True):
            in_code ^= bool(_FENCE.match(line))
            yield line if in_code else self._prose(line, directory, page)

    def _prose(self, line: str, directory: Path, page: str) -> str:
        with_links = self._with_links(line, directory, page)
        return _SCREENSHOT.sub(partial(self._picture, page), with_links)

    def _picture(self, page: str, mark: re.Match[str]) -> str:
        if mark["name"] not in {each.name for each in self._screenshots}:
            return mark[0]
        above = "../" * (len(PurePosixPath(page).parts) - 1)
        return f"![{mark['words']}]({above}screenshots/{mark['name']})"

    def _with_links(self, line: str, directory: Path, page: str) -> str:
        def replaced(link: re.Match[str]) -> str:
            target = link["target"]
            if not target or "://" in target or target.startswith("mailto:"):
                return link[0]
            place = self._place(Path(os.path.normpath(directory / target)))
            relative = os.path.relpath(place, PurePosixPath(page).parent)
            return f"{link['before']}{relative}{link['anchor'] or ''})"

        return _LINK.sub(replaced, line)

    def _place(self, path: Path) -> str:
        """Return the place in the site of a file or a directory of the repository."""
        name = path.relative_to(self._root).as_posix()
        if name in OUTSIDE:
            return OUTSIDE[name]
        if path.is_relative_to(self._root / "docs"):
            index = path / "index.md" if path.is_dir() else path
            return index.relative_to(self._root / "docs").as_posix()
        return self._sources.page_of(name)
