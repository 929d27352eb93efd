"""The commands in the documentation: blocks of Markdown, and what they are expected to print."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.paths import ROOT

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "how_to").glob("*.md")),
]
GIVEN = "given"  # the reader's terminal needs the block, but the test has what it gives
_BLOCK = re.compile(
    r"(?:<!-- (?P<mark>[^>]*) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_CODE = re.compile(r"exits with (\d+)")
_HEREDOC = re.compile(r"<<'(\w+)'[^\n]*\n.*?^\1$", re.DOTALL | re.MULTILINE)
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")


@dataclass
class Block:
    """Commands of a page, their exit code, and the output that the page shows."""

    text: str
    is_given: bool = False
    exit_code: int = 0
    shown: str = ""


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of commands of a page; a block of text belongs to the one before."""
    found: list[Block] = []
    for block in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        mark = block["mark"] or ""
        code = _CODE.match(mark)
        if block["kind"] == "sh":
            exit_code = int(code[1]) if code else 0
            found.append(Block(block["text"], mark == GIVEN, exit_code))
        elif block["kind"] == "text" and found:
            found[-1].shown = block["text"]
    return found


def commands_of(text: str) -> Iterator[list[str]]:
    """Yield the words of each ``stepml`` command in a block of commands."""
    plain = _HEREDOC.sub("", text).replace("\\\n", " ")
    for line in filter(re.compile(r"(^|[;|] *|&& *) *stepml ").search, plain.splitlines()):
        words = shlex.split(line, comments=True)
        for command in _separated(words):
            if command[:1] == ["stepml"]:
                yield command[1:]


def _separated(words: list[str]) -> Iterator[list[str]]:
    command: list[str] = []
    for word in words:
        ends = word in {"|", "&&", "||", "do", ">", ";"} or ("=" in word and not command)
        if not ends:
            command.append(word.removesuffix(";"))
        if (ends or word.endswith(";")) and command:
            yield command
            command = []
    if command:
        yield command


def missing(shown: str, printed: str) -> str | None:
    """Return the first part of the shown output that was not printed, in its order, or None.

    Numbers may differ, and so may line ends and blanks; "…" stands for anything.
    """
    rest = _normal(printed)
    for part in map(_normal, shown.split("…")):
        if not part:
            continue
        before, found, rest = rest.partition(part)
        if not found:
            return f"{part!r} not in {before!r}"
    return None


def _normal(text: str) -> str:
    return " ".join(_NUMBER.sub("#", text).split())


def run_page(page: Path, directory: Path, environment: Mapping[str, str]) -> None:
    """Run the blocks of a page one after another in a directory, and compare their output."""
    exported: dict[str, str] = {}
    for block in blocks_of(page):
        exported |= dict(re.findall(r"^export (\w+)=(\S+)", block.text, re.MULTILINE))
        if not block.is_given:
            _run_block(block, directory, {**exported, **environment})


def _run_block(block: Block, directory: Path, environment: Mapping[str, str]) -> None:
    ended = subprocess.run(
        ["bash", "-eu", "-c", block.text],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    printed = ended.stdout + ended.stderr
    assert ended.returncode == block.exit_code, f"{block.text}\n{printed}"
    assert missing(block.shown, printed) is None, f"{block.text}\n{missing(block.shown, printed)}"
