"""Pages that show a file, or list a directory, of the repository, for links to it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path, PurePosixPath

_LANGUAGES = {".py": "python", ".json": "json", ".yaml": "yaml", ".toml": "toml", ".sh": "sh"}
# Search finds the documentation, not the code.
_HEAD = "---\nsearch:\n  exclude: true\n---\n\n# `{name}`\n\n"


class SourcePages:
    """Collects the files and directories that pages link to.

    Parameters
    ----------
    root : Path
        The repository.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._wanted: set[str] = set()

    def page_of(self, name: str) -> str:
        """Return the page of a file or a directory, and write it with the others."""
        if not (self._root / name).exists():
            raise FileNotFoundError(f"a page links to {name}, which does not exist")
        self._wanted.add(name)
        return _page(name)

    def write(self, target: Path) -> None:
        """Write the pages of all that was asked for below ``target``."""
        for name in sorted(self._wanted):
            place = target / _page(name)
            place.parent.mkdir(parents=True, exist_ok=True)
            is_directory = (self._root / name).is_dir()
            text = self._listing(name) if is_directory else self._file(name)
            place.write_text(_HEAD.format(name=name) + text, encoding="utf-8")

    def _file(self, name: str) -> str:
        text = (self._root / name).read_text(encoding="utf-8").rstrip("\n")
        return f"~~~~{_LANGUAGES.get(Path(name).suffix, 'text')}\n{text}\n~~~~\n"

    def _listing(self, name: str) -> str:
        listed = subprocess.run(
            ["git", "ls-files", "--", f"{name}/"],
            cwd=self._root,
            check=True,
            capture_output=True,
            text=True,
        )
        return "\n".join(f"- {self._entry(each, name)}" for each in listed.stdout.split()) + "\n"

    def _entry(self, name: str, directory: str) -> str:
        shown = f"`{name}`"
        if name not in self._wanted:
            return shown
        relative = os.path.relpath(_page(name), PurePosixPath(_page(directory)).parent)
        return f"[{shown}]({relative})"


def _page(name: str) -> str:
    return f"source/{name.replace('/', '-')}.md"
