"""Builds the site: ``python -m documentation.site build/site``."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from documentation.commands import commands_page
from documentation.decisions import decisions_page
from documentation.error_page import errors_page
from documentation.job_fields import fields_page
from documentation.links import defects
from documentation.pages import Pages
from documentation.python_api import python_page

ROOT = Path(__file__).parents[1]
CONFIGURATION = ROOT / "documentation" / "zensical.toml"
STYLES = ROOT / "documentation" / "site.css"
WORKER = ROOT / "documentation" / "worker.js"
ANOTHER_WORKER = "https://unpkg.com/iframe-worker/shim"  # which Zensical's pages load
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")

GENERATED = {
    "reference/job_fields.md": fields_page,
    "reference/commands.md": commands_page,
    "reference/python.md": python_page,
    "reference/errors.md": errors_page,
    "decisions/index.md": decisions_page,
}


def build(target: Path) -> None:
    """Build the site in ``target``, which is replaced; raise SystemExit with all defects."""
    with tempfile.TemporaryDirectory(prefix="stepml-site-") as directory:
        workplace = Path(directory)
        write_pages(workplace / "pages")
        shutil.copy(CONFIGURATION, workplace)
        _run_zensical(workplace)
        _search_without_network(workplace / "site")
        if found := [*unlisted(workplace / "pages"), *defects(workplace / "site")]:
            raise SystemExit("\n".join(found))
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(workplace / "site", target)


def write_pages(target: Path) -> None:
    """Write all pages: those of the repository, and those made from code."""
    pages = Pages(ROOT, target)
    pages.write()
    for name, make in GENERATED.items():
        pages.add(name, make())
    shutil.copy(STYLES, target)


def unlisted(pages: Path) -> Iterator[str]:
    """Yield a line for each page that the navigation does not name, and the other way round."""
    settings = tomllib.loads(CONFIGURATION.read_text(encoding="utf-8"))
    listed = set(_pages_of(settings["project"]["nav"]))
    there = {path.relative_to(pages).as_posix() for path in pages.rglob("*.md")}
    # Sources and single decisions are reached from other pages.
    needed = {each for each in there if not each.startswith(("source/", "decisions/0"))}
    yield from (f"the navigation lacks {each}" for each in sorted(needed - listed))
    yield from (f"the navigation names {each}, no page" for each in sorted(listed - there))


def _pages_of(entries: Any) -> Iterator[str]:
    for entry in entries:
        for value in entry.values():
            yield from [value] if isinstance(value, str) else _pages_of(value)


def _run_zensical(workplace: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--clean", "--strict"],
        cwd=workplace,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode != 0:  # the traceback at the end says only that there are issues
        told = _COLOURS.sub("", ended.stderr)
        raise SystemExit(told.partition("Traceback")[0] or told)


def _search_without_network(site: Path) -> None:
    """Let pages load our worker for the search instead of that of another host."""
    shutil.copy(WORKER, site / "assets" / "javascripts")
    for page in site.rglob("*.html"):
        above = "../" * (len(page.relative_to(site).parts) - 1)
        text = page.read_text(encoding="utf-8")
        ours = f"{above}assets/javascripts/{WORKER.name}"
        page.write_text(text.replace(ANOTHER_WORKER, ours), encoding="utf-8")


if __name__ == "__main__":
    build(Path(sys.argv[1]))
    print(f"Open {sys.argv[1]}/index.html")
