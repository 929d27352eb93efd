"""Checks the built site: every link has a target, and no page needs another host."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# What the browser loads by itself; a link that a reader follows may lead elsewhere.
_LOADED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src"}
_INFORMATION = {"canonical", "alternate", "next", "prev"}


class _Page(HTMLParser):
    """The anchors of a page, and what it links to or loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if value}
        self.anchors |= {values[each] for each in ("id", "name") if each in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        wanted = values.get(_LOADED.get(tag, ""))
        if wanted and values.get("rel") not in _INFORMATION:
            self.loaded.append(wanted)


@cache
def _page(path: Path) -> _Page:
    return _Page(path.read_text(encoding="utf-8"))


def defects(site: Path) -> Iterator[str]:
    """Yield a line for each link without a target, and for each request to another host."""
    for path in sorted(site.rglob("*.html")):
        name = path.relative_to(site).as_posix()
        if name == "404.html":
            continue  # its links begin at the root of a server
        page = _page(path)
        for url in page.loaded:
            if urlsplit(url).netloc:
                yield f"{name} loads {url}"
        for url in (*page.links, *page.loaded):
            if defect := _defect(url, path):
                yield f"{name} links to {url}: {defect}"


def _defect(url: str, page: Path) -> str | None:
    parts = urlsplit(url)
    if parts.scheme or parts.netloc:
        return None
    path = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if path.is_dir():
        path /= "index.html"
    if not path.is_file():
        return "there is no such file"
    has_anchors = parts.fragment and path.suffix == ".html"
    if has_anchors and unquote(parts.fragment) not in _page(path).anchors:
        return "there is no such place"
    return None
