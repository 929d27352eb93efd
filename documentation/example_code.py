"""Collects the Python in pages and notebooks for mypy: ``python -m documentation.example_code``.

``make lint`` checks it in strict mode, as an editor would show it to a reader.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
# What a page may take for given: the reader's own rows.
GIVEN = """from typing import Any

import stepml

X: Any = None
y: Any = None
frame: Any = None
"""
_PYTHON = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_WRITTEN = re.compile(
    r"<<'(\w+)' *> *\S+\.py\n(.*?)^\1$|> *\S+\.py <<'(\w+)'\n(.*?)^\3$", re.DOTALL | re.MULTILINE
)
_OF_THE_NOTEBOOK = re.compile(r"^\s*[%!].*$", re.MULTILINE)  # magic and commands


def write_examples(target: Path) -> list[Path]:
    """Write a module for each page and notebook with Python; return their paths."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    return [
        _write(target, f"{_module_name(source)}{number or ''}", text)
        for source in _sources()
        for number, text in enumerate(_programs(source))
    ]


def _sources() -> Iterator[Path]:
    yield ROOT / "README.md"
    yield from sorted((ROOT / "docs").rglob("*.md"))
    yield from sorted((ROOT / "examples").rglob("*.ipynb"))
    yield from sorted((ROOT / "examples").rglob("*.py"))


def _programs(source: Path) -> Iterator[str]:
    """Yield the programs of a source: its blocks as one, then each file that it writes."""
    text = source.read_text(encoding="utf-8")
    if source.suffix == ".py":
        yield text
        return
    blocks = _cells(text) if source.suffix == ".ipynb" else _PYTHON.findall(text)
    if blocks:
        yield GIVEN + "\n".join(blocks)
    if source.suffix == ".md":
        yield from (each[1] or each[3] for each in _WRITTEN.findall(text))


def _cells(text: str) -> list[str]:
    cells = [each for each in json.loads(text)["cells"] if each["cell_type"] == "code"]
    return [_OF_THE_NOTEBOOK.sub("pass", "".join(each["source"])) + "\n" for each in cells]


def _module_name(source: Path) -> str:
    return re.sub(r"\W", "_", str(source.relative_to(ROOT).with_suffix("")))


def _write(target: Path, name: str, text: str) -> Path:
    path = target / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    return path


if __name__ == "__main__":
    print(*write_examples(Path(sys.argv[1])), sep="\n")
