"""The package of an entry point, if another one of its name is installed on this machine.

On AWS, functions have few libraries. Locally they have those of the Python that runs StepML, among
which may be the very package whose code was sent, perhaps in another version.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

# StepML, and the libraries of functions: their names are never those of own code.
RESERVED = frozenset(
    {
        *("stepml", "lambdas", "comm", "storage", "ps_server"),
        *("boto3", "botocore", "msgspec", "numpy", "pyarrow", "pymemcache", "redis", "thrift"),
        *("torch", "xxhash"),
    }
)


def is_reserved(name: str) -> bool:
    """Return whether a module's name, without dots, is that of another one in all functions."""
    return name in RESERVED or name in sys.stdlib_module_names


class OwnFinder:
    """Finds some top-level modules in one directory, before all others."""

    def __init__(self) -> None:
        self._directory: Path | None = None
        self._names: set[str] = set()

    def prefer(self, directory: Path, name: str) -> None:
        """Find ``name`` in ``directory`` from now on, and there no name of another directory."""
        if directory != self._directory:
            self._directory = directory
            self._names.clear()
        if not is_reserved(name):
            self._names.add(name)
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the place of a module, as Python's import system asks for it."""
        if self._directory is None or name not in self._names:
            return None
        return PathFinder.find_spec(name, [str(self._directory)])
