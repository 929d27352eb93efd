"""Everything that a local AWS has, in a directory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from stepml.local.keeping.kept_executions import KeptExecutions
from stepml.local.keeping.kept_items import KeptItems
from stepml.local.keeping.kept_logs import KeptLogs
from stepml.local.keeping.kept_objects import KeptObjects
from stepml.local.keeping.requests import may_change_resources
from stepml.local.keeping.resuming import resume_servers
from stepml.local.keeping.shelves import Shelf
from stepml.local.keeping.snapshot import Snapshot
from stepml.local.keeping.store import KeepError, Store, readable


class Keeping:
    """Everything that a local AWS has, in a directory.

    Parameters
    ----------
    directory : Path
    give_up : callable
        Ends the local AWS; see `Store`.

    Raises
    ------
    KeepError
        The directory cannot be used.
    """

    def __init__(self, directory: Path, give_up: Callable[[], None]) -> None:
        self.directory = directory
        self._store = Store(directory, give_up)
        self._snapshot = Snapshot(directory)
        with readable(directory):
            self._objects, self._items = KeptObjects(self._store), KeptItems(self._store)
            self._executions = KeptExecutions(self._store)
        logs = KeptLogs(self._store)
        self._shelves: list[Shelf] = [self._objects, self._items, logs, self._executions]
        self._following = threading.Lock()

    def begin(self) -> None:
        """Give moto what the directory has, and write all changes from now on.

        Raises
        ------
        KeepError
            The directory is damaged.
        """
        for shelf in self._shelves:
            shelf.watch()
        self._snapshot.read()
        with readable(self.directory):
            self._follow()
        for execution in self._executions.interrupted:
            execution.announce()

    def resume(self) -> None:
        """Start the servers of stacks, now that requests are answered."""
        resume_servers()

    def answered(self, environ: Mapping[str, Any]) -> None:
        """Write what a request has changed, before its answer leaves.

        Parameters
        ----------
        environ : mapping
            The request, as in WSGI.
        """
        self._objects.save_touched()
        self._items.save_touched()
        if may_change_resources(environ):
            self._follow()
            self._snapshot.write()

    def described(self) -> dict[str, Any]:
        """Return the directory and its size."""
        return {"directory": str(self.directory), "size_bytes": self._store.size_bytes()}

    def close(self) -> None:
        """Write the rest, and release the directory.

        Raises
        ------
        KeepError
            Something is lost, as the directory cannot be written.
        """
        with closing(self._store):
            try:
                self._snapshot.write()
            except OSError as error:
                raise KeepError(f"{self.directory} cannot be written: {error.strerror}") from error

    def _follow(self) -> None:
        with self._following:
            for shelf in self._shelves:
                shelf.follow()
