"""The directory of a local AWS that lasts: a database, and files for large values.

Every commit survives the end of the process, however it ends. After a loss of power, the last
commits may be missing, and files of values may be cut.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from stepml.local.keeping.queue import Queue, Statement
from stepml.local.locks import try_lock

logger = logging.getLogger(__name__)

FORMAT = 1  # of the database; a later one may have other tables
DATABASE, LOCK, VALUES = "kept.sqlite", "lock", "values"
LAG_S = 0.1  # the longest that `later` waits for a commit
MOST_WAITING_BYTES = 32 * 2**20  # while the directory cannot be written
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
INLINE_BYTES = 32 * 1024  # larger values are files

_TABLES = """
CREATE TABLE objects(bucket TEXT, name TEXT, version INTEGER, doc TEXT, value TEXT, data BLOB,
    PRIMARY KEY(bucket, name, version));
CREATE TABLE items(owner TEXT, key TEXT, doc TEXT, PRIMARY KEY(owner, key));
CREATE TABLE log_events(owner TEXT, stream TEXT, time INTEGER, doc TEXT);
CREATE INDEX log_events_of ON log_events(owner);
CREATE TABLE definitions(hash TEXT PRIMARY KEY, text TEXT);
CREATE TABLE executions(arn TEXT PRIMARY KEY, machine TEXT, definition TEXT, doc TEXT);
CREATE INDEX executions_of ON executions(machine);
CREATE TABLE events(arn TEXT, id INTEGER, doc TEXT, PRIMARY KEY(arn, id)) WITHOUT ROWID;
CREATE TABLE states(arn TEXT PRIMARY KEY, doc TEXT);
CREATE TABLE results(arn TEXT, item INTEGER, doc TEXT, PRIMARY KEY(arn, item)) WITHOUT ROWID;
"""


class KeepError(Exception):
    """A directory cannot be the one of a local AWS; the message says why."""


class Store:
    """The open directory of one local AWS.

    Parameters
    ----------
    directory : Path
        Is made if it does not exist.
    give_up : callable
        Ends the local AWS. It is called once, in a thread of its own, if the directory cannot be
        written any more, and what waits has become larger than ``most_waiting_bytes``.
    most_waiting_bytes : int

    Raises
    ------
    KeepError
        Another local AWS uses it, it has files of something else, or of a later format.
    """

    def __init__(
        self,
        directory: Path,
        give_up: Callable[[], None] = lambda: None,
        most_waiting_bytes: int = MOST_WAITING_BYTES,
    ) -> None:
        self.directory = directory
        self._give_up = give_up
        self._lock_file = _locked(directory)
        try:
            self._database = _opened(directory / DATABASE)
        except KeepError:
            self._lock_file.close()
            raise
        self._values = directory / VALUES
        self._values.mkdir(exist_ok=True)
        self._values_bytes = sum(map(_size, self._values.glob("*/*")))
        self._using = threading.Lock()  # the connection, which threads take in turns
        self._queue = Queue(most_waiting_bytes)
        self._is_closed = threading.Event()
        self._writer = threading.Thread(target=self._write_on, name="keeping", daemon=True)
        self._writer.start()

    def later(self, *statements: Statement) -> None:
        """Write with the next commit, which is at most 0.1 seconds away."""
        self._queue.add(*statements)

    def write(self, *statements: Statement) -> None:
        """Write now, after everything that waits; all of it, or nothing."""
        self.later(*statements)
        self.commit()

    def commit(self) -> None:
        """Write everything that waits."""
        with self._using:
            batch = self._queue.take()
            if not batch.statements:
                return
            try:
                with self._database:
                    self._database.execute("BEGIN")
                    for statement, parameters in batch.statements:
                        self._execute(statement, parameters)
            except sqlite3.Error as error:
                was_lost = self._queue.is_lost
                if not self._queue.put_back(batch) and not was_lost:
                    self._end(error)
                raise

    def _end(self, reason: sqlite3.Error) -> None:
        """End the local AWS: the disk is full, perhaps, and memory must not be."""
        logger.critical(
            "%s cannot be written: %s; the local AWS ends, and its last %.0f MB are lost",
            *(self.directory, reason, self._queue.most_bytes / 2**20),
        )
        threading.Thread(target=self._give_up, name="giving-up", daemon=True).start()

    def _execute(self, statement: str, parameters: Sequence[Any]) -> None:
        try:
            self._database.execute(statement, parameters)
        except (UnicodeError, OverflowError, sqlite3.ProgrammingError):
            # The database can have no such value, so the others must not wait for it.
            logger.exception("%s lacks a value that it cannot have", self.directory)

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the answer to a query, after everything that waits."""
        self.commit()
        with self._using:
            return self._database.execute(query, parameters).fetchall()

    def add_value(self, value: bytes) -> str:
        """Write a large value into a file; return its name."""
        name = uuid.uuid4().hex
        path = self._path(name)
        path.parent.mkdir(exist_ok=True)
        try:
            path.write_bytes(value)
        except OSError:  # a full disk gets its place back
            path.unlink(missing_ok=True)
            raise
        self._values_bytes += len(value)
        return name

    def value(self, name: str) -> bytes:
        """Return the value of a file."""
        return self._path(name).read_bytes()

    def value_bytes(self, name: str) -> int:
        """Return the size of a value; less than it had if the machine lost power meanwhile."""
        return _size(self._path(name))

    def remove_values(self, names: Iterable[str]) -> None:
        """Delete the files of values that nothing refers to any more."""
        for name in names:
            path = self._path(name)
            self._values_bytes -= _size(path)
            path.unlink(missing_ok=True)

    def remove_all_values_but(self, names: Iterable[str]) -> None:
        """Delete files that a killed local AWS has left without a reference."""
        used = set(names)
        self.remove_values(path.name for path in self._values.glob("*/*") if path.name not in used)

    def size_bytes(self) -> int:
        """Return the bytes of all files."""
        others = [path for path in self.directory.iterdir() if path.is_file()]
        return self._values_bytes + sum(map(_size, others))

    def close(self) -> None:
        """Write what waits, and release the directory.

        Raises
        ------
        KeepError
            Something is lost, as the directory cannot be written.
        """
        if self._is_closed.is_set():
            return
        self._is_closed.set()
        self._writer.join()
        try:
            self.commit()
        except sqlite3.Error as error:
            raise self._loss(str(error)) from error
        finally:
            self._database.close()
            self._lock_file.close()
        if self._queue.is_lost:
            raise self._loss("it was full for too long")

    def _loss(self, why: str) -> KeepError:
        return KeepError(f"{self.directory} lacks the last changes, as it cannot be written: {why}")

    def _path(self, name: str) -> Path:
        return self._values / name[:2] / name

    def _write_on(self) -> None:
        is_writable = True
        while not self._is_closed.wait(LAG_S):
            try:
                self.commit()
                is_writable = True
            except sqlite3.Error as error:  # a full disk, perhaps; it is tried again
                if is_writable:
                    logger.error("%s cannot be written: %s", self.directory, error)  # noqa: TRY400
                is_writable = False


@contextmanager
def readable(directory: Path) -> Iterator[None]:
    """Raise `KeepError` if the database of a directory is damaged."""
    try:
        yield
    except sqlite3.Error as error:
        raise KeepError(f"{directory / DATABASE} cannot be read: {error}") from error


def require_usable(directory: Path) -> None:
    """Check that a local AWS can use ``directory``.

    Raises
    ------
    KeepError
    """
    _locked(directory).close()
    if (directory / DATABASE).exists():
        _opened(directory / DATABASE).close()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # it has just been deleted
        return 0


def _locked(directory: Path) -> IO[bytes]:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _require_own(directory, {path.name for path in directory.iterdir()} - {LOCK})
        file = (directory / LOCK).open("ab")
    except OSError as error:
        raise KeepError(f"{directory}: {error.strerror}") from error
    if not try_lock(file):
        file.close()
        raise KeepError(f"{directory} is used by another local AWS, which is running")
    return file


def _require_own(directory: Path, names: set[str]) -> None:
    """Check that a directory is a new one, or that of a local AWS, which only its owner changes."""
    if not names:
        directory.chmod(0o700)
    elif DATABASE not in names:
        raise KeepError(
            f"{directory} has files that are not those of a local AWS; name a new directory"
        )
    found = directory.stat()
    if found.st_uid != os.geteuid() or found.st_mode & OTHERS_WRITE:
        raise KeepError(
            f"{directory} may be changed by others, and has programs that the local AWS runs; "
            f"make it yours alone: chmod 700 {directory}"
        )


def _opened(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    try:
        _prepare(database)
    except sqlite3.Error as error:
        database.close()
        raise KeepError(f"{path} cannot be opened: {error}") from error
    except KeepError as error:
        database.close()
        raise KeepError(f"{path.parent} {error}") from error
    return database


def _prepare(database: sqlite3.Connection) -> None:
    [(found,)] = database.execute("PRAGMA user_version")
    if found not in (0, FORMAT):
        raise KeepError(
            f"was written by another StepML, in format {found}; this one reads format {FORMAT}"
        )
    if found == 0:
        database.execute("PRAGMA journal_mode = WAL")
        database.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {FORMAT}; COMMIT;")
    database.execute("PRAGMA synchronous = NORMAL")
