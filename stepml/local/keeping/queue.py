"""Statements that wait for the next commit to a database."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

STATEMENT_BYTES = 100  # about, without its texts and bytes

Statement = tuple[str, Sequence[Any]]  # with its parameters


class Batch(NamedTuple):
    """The statements of one commit."""

    statements: list[Statement]
    n_bytes: int


class Queue:
    """Statements in their order, for any number of threads.

    Parameters
    ----------
    most_bytes : int
        Of statements whose commit has failed: beyond it, all of them are dropped, and later ones.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.is_lost = False  # statements were dropped
        self._lock = threading.Lock()
        self._statements: list[Statement] = []
        self._bytes = 0

    def add(self, *statements: Statement) -> None:
        """Append statements."""
        with self._lock:
            if not self.is_lost:
                self._statements.extend(statements)
                self._bytes += sum(map(_size, statements))

    def take(self) -> Batch:
        """Return all statements, and wait for new ones."""
        with self._lock:
            taken = Batch(self._statements, self._bytes)
            self._statements, self._bytes = [], 0
            return taken

    def put_back(self, batch: Batch) -> bool:
        """Put statements before all others; return False if they are too many and are dropped."""
        with self._lock:
            self._statements = batch.statements + self._statements
            self._bytes += batch.n_bytes
            if self._bytes > self.most_bytes:
                self.is_lost = True
                self._statements, self._bytes = [], 0
            return not self.is_lost


def _size(statement: Statement) -> int:
    values = (each for each in statement[1] if isinstance(each, str | bytes))
    return STATEMENT_BYTES + sum(map(len, values))
