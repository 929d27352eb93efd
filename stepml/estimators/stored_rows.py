"""The rows that this process has stored in buckets, so that several fits share an upload.

Rows stay for a minute after their last fit, if they are few: the candidates of a grid search train
on the same folds one after another. They are deleted then, when more rows come, or when the process
ends. Each process has keys of its own, so none deletes rows that another one reads.
"""

from __future__ import annotations

import atexit
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Lock, Timer
from typing import TYPE_CHECKING
from uuid import uuid4

from stepml.client.connection import Connection
from stepml.client.row_uploads import send_rows
from stepml.client.stack import Stack
from stepml.client.stored import delete_stored
from stepml.estimators.leftovers import await_deletions
from stepml.job import data_keys, keys
from stepml.records.errors import AccessError

if TYPE_CHECKING:
    from stepml.client.packed_rows import PackedRows

IDLE_S = 60.0
MOST_IDLE_BYTES = 2**28  # of all rows without a fit

_Key = tuple[str, str, str]  # endpoint or region, bucket, digest


@dataclass(slots=True, eq=False)
class Held:
    """Rows in a bucket that fits read.

    Attributes
    ----------
    copies : set of str
        Digests of their partitioned copies, which jobs have made.
    """

    connection: Connection
    stack: Stack
    n_bytes: int
    place: str  # their prefix
    copies: set[str] = field(default_factory=set)
    n_fits: int = 0  # that run
    used_at: float = 0.0
    _sending: Lock = field(default_factory=Lock)

    def store(self, rows: PackedRows) -> None:
        """Store ``rows`` at their place, unless they are there; other fits wait for it."""
        with self._sending:
            send_rows(self.connection, self.stack, rows, self.place)

    def delete(self) -> None:
        """Delete the rows and their partitioned copies."""
        for place in (self.place, *map(data_keys.data_set, self.copies)):
            delete_stored(self.connection, self.stack.bucket, place)


class StoredRows:
    """The rows that this process has stored.

    Parameters
    ----------
    idle_s : float
        Seconds after the last fit until rows are deleted.
    clock : callable
        Returns seconds.
    """

    def __init__(self, idle_s: float = IDLE_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._idle_s = idle_s
        self._clock = clock
        self.forget()

    def forget(self) -> None:
        """Begin with no rows, as in a process that another one has forked."""
        self._token = uuid4().hex[:12]
        self._held: dict[_Key, Held] = {}
        self._lock = Lock()
        self._timer: Timer | None = None

    @contextmanager
    def holding(self, connection: Connection, stack: Stack, rows: PackedRows) -> Iterator[Held]:
        """Have a place for rows until the block ends; `Held.store` puts them there."""
        held = self._begin(connection, stack, rows)
        try:
            yield held
        finally:
            self.release(held)

    def hold(self, held: Held) -> None:
        """Keep rows, which a fit holds, beyond its end: until `release`."""
        with self._lock:
            held.n_fits += 1

    def release(self, held: Held) -> None:
        """End a fit, or what `hold` has begun."""
        with self._lock:
            held.n_fits -= 1
            held.used_at = self._clock()
            surplus = self._surplus()
            if self._timer is None:
                self._timer = self._new_timer()
        try:
            self._delete(surplus)
        except AccessError as error:
            warnings.warn(f"rows of earlier fits could not be deleted: {error}", stacklevel=2)

    def delete_idle(self, since_s: float = 0.0) -> None:
        """Delete the rows that no fit has used for some seconds.

        Raises
        ------
        AccessError
            A bucket cannot be reached or refuses.
        """
        latest = self._clock() - since_s
        with self._lock:
            old = [each for each in self._idle() if each.used_at <= latest]
        self._delete(old)

    def _begin(self, connection: Connection, stack: Stack, rows: PackedRows) -> Held:
        key = (connection.place, stack.bucket, rows.digest)
        with self._lock:
            if key not in self._held:
                place = keys.fit_rows(self._token, rows.digest)
                self._held[key] = Held(connection, stack, rows.n_bytes, place)
            self._held[key].n_fits += 1
            return self._held[key]

    def _idle(self) -> list[Held]:
        """Return the rows without a fit, the one that was used longest ago first."""
        idle = [each for each in self._held.values() if not each.n_fits]
        return sorted(idle, key=lambda each: each.used_at)

    def _surplus(self) -> list[Held]:
        idle = self._idle()
        left = sum(each.n_bytes for each in idle)
        found = []
        for each in idle:
            if left > MOST_IDLE_BYTES:
                found.append(each)
                left -= each.n_bytes
        return found

    def _new_timer(self) -> Timer:
        timer = Timer(self._idle_s, self._delete_old)
        timer.daemon = True
        timer.start()
        return timer

    def _delete_old(self) -> None:
        with suppress(AccessError):  # the local AWS may have ended
            self.delete_idle(self._idle_s)
        with self._lock:
            self._timer = self._new_timer() if self._held else None

    def _delete(self, meant: Iterable[Held]) -> None:
        with self._lock:
            gone = [each for each in meant if not each.n_fits]
            self._held = {key: each for key, each in self._held.items() if each not in gone}
        for each in gone:
            each.delete()


STORED_ROWS = StoredRows()
os.register_at_fork(after_in_child=STORED_ROWS.forget)


def clean_up() -> None:
    """Delete everything that fits of this process have stored and that none of them uses now.

    This happens by itself a minute after the last fit, and when the process ends.

    Raises
    ------
    AccessError
        A bucket cannot be reached or refuses.
    """
    await_deletions()
    STORED_ROWS.delete_idle()


@atexit.register
def _at_the_end() -> None:
    with suppress(AccessError):
        clean_up()
