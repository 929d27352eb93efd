"""The jobs of a parameter server: their rules, locks, figures and memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Self

from comm.wire import RunningChecksum
from ps_server.protocol.calls import (
    ALL_RANKS,
    MOST_NAME_BYTES,
    JobSettings,
    JobStatistics,
    Pushed,
    Target,
)
from ps_server.protocol.refusals import (
    ContributionsMissing,
    InvalidRequest,
    MemoryExceeded,
    UnknownJob,
)
from ps_server.state.asynchronous import Models
from ps_server.state.memory import Block, Memory, counted_bytes
from ps_server.state.rules import Rule
from ps_server.state.synchronous import Sums
from storage.base import Clock

LEAST_MESSAGE_BYTES = 32  # the header
_LEAST_RESERVED = 2**16  # of a job, with its description
_SPARE_MESSAGES = 3  # two steps' sums, and one that is read while it changes
_MOST_EPOCHS = 2**31 - 1
_MOST_NAMED = 20  # ranks in a message


@dataclass(slots=True)
class Counters:
    """Figures of a job's calls, with the names of `JobStatistics`."""

    pushes: int = 0
    repeated_pushes: int = 0
    pulls: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0
    waited_s: float = 0.0


class Job:
    """A registered job; ``with`` it, a call uses it, and raises `UnknownJob` if it is deleted.

    Attributes
    ----------
    changed : threading.Condition
        Its lock is the job's: all else here is used with it held.
    """

    def __init__(self, name: str, settings: JobSettings, memory: Memory, clock: Clock) -> None:
        self.name = name
        self.settings = settings
        kind = Sums if settings.rule == "bulk_synchronous" else Models
        self.rule: Rule = kind(settings, memory)
        self.changed = threading.Condition()
        self.counters = Counters()
        self.ranks = {ALL_RANKS}  # that have called
        self.used_at = clock.monotonic()
        self.n_waiting = 0
        self.is_deleted = False
        self.is_untouched = False  # restored, and not used since
        self._clock = clock

    def __enter__(self) -> Self:
        self.changed.acquire()
        try:
            self.require_exists()
        except UnknownJob:
            self.changed.release()
            raise
        self.used_at = self._clock.monotonic()
        self.is_untouched = False
        return self

    def __exit__(self, *error: object) -> None:
        self.changed.release()

    def require_exists(self) -> None:
        """Raise `UnknownJob` for a job that has been deleted meanwhile."""
        if self.is_deleted:
            raise UnknownJob(f"job {self.name!r} has been deleted")

    def require_target(self, target: Target, *, takes_sums: bool = True) -> None:
        """Raise `InvalidRequest` for a step or a rank that the job cannot have."""
        step, least, most = target.step, ALL_RANKS if takes_sums else 0, self.settings.world_size
        if not (1 <= step.epoch <= _MOST_EPOCHS and 0 <= step.batch <= _MOST_EPOCHS):
            raise InvalidRequest(
                f"step: expected an epoch from 1 and a batch from 0, got {step.epoch}, {step.batch}"
            )
        if not least <= target.rank < most:
            raise InvalidRequest(f"rank: expected {least} to {most - 1}, got {target.rank}")

    def missing_error(self, target: Target, ranks: list[int]) -> ContributionsMissing:
        """Return the refusal of a pull that waits for ``ranks``."""
        named = ", ".join(map(str, ranks[:_MOST_NAMED]))
        more = ", …" if len(ranks) > _MOST_NAMED else ""
        frontier = self.rule.frontier(target.attempt, target.step.epoch)
        text = f"{target.step} has to wait for rank {named}{more}"
        return ContributionsMissing(text, ranks, frontier)

    def statistics(self, now: float) -> JobStatistics:
        """Return the figures of the job."""
        return JobStatistics(
            job=self.name,
            rule=self.settings.rule,
            world_size=self.settings.world_size,
            ranks=len(self.ranks - {ALL_RANKS}),
            steps=self.rule.n_steps,
            held_bytes=sum(len(block.data) for block in self.rule.blocks()),
            idle_s=now - self.used_at,
            **asdict(self.counters),
            **self.rule.figures(),
        )


class Jobs:
    """All jobs, and the memory set aside for them.

    Attributes
    ----------
    by_name : dict
        The table.
    lock : threading.RLock
        Of the table; taken before a job's lock, never after.
    """

    def __init__(self, memory: Memory, clock: Clock) -> None:
        self.lock = threading.RLock()
        self.n_registered = 0
        self.reserved_bytes = 0
        self._memory = memory
        self._clock = clock
        self.by_name: dict[str, Job] = {}

    def all(self) -> list[Job]:
        """Return all jobs of this moment."""
        with self.lock:
            return [*self.by_name.values()]

    def named(self, name: str) -> Job:
        """Return the job called ``name``, or raise `UnknownJob`."""
        job = self.by_name.get(name)
        if job is None:
            require_name("job", name)
            raise UnknownJob(f"job {name!r} is not registered")
        return job

    def add(self, name: str, settings: JobSettings) -> Job:
        """Add a job and set its memory aside, or raise `MemoryExceeded`."""
        job = Job(name, settings, self._memory, self._clock)
        needed, limit = reserved_bytes(settings), self._memory.limit_bytes
        free = limit - self.reserved_bytes
        if needed > free:
            raise MemoryExceeded(
                f"job {name!r} needs {needed} bytes ({settings.world_size} ranks, messages of "
                f"{settings.message_bytes} bytes); {free} of {limit} are free",
                *(needed, free, limit),
            )
        self.reserved_bytes += needed
        self.n_registered += 1
        self.by_name[name] = job
        return job

    def delete(self, selects: Callable[[Job], bool]) -> int:
        """Delete the selected jobs, and return how many."""
        with self.lock:
            selected = [job for job in self.by_name.values() if selects(job)]
            for job in selected:
                del self.by_name[job.name]
                self.reserved_bytes -= reserved_bytes(job.settings)
                with job.changed:
                    job.is_deleted = True
                    job.rule.reset(0)
                    job.changed.notify_all()
        if selected:
            self._memory.trim()
        return len(selected)

    def take(self, size: int) -> Block:
        """Return memory for a message; drop sums of earlier steps if there is no room for it."""
        while (block := self._memory.take_within_limit(size)) is None:
            self._make_room(size)  # many arrive at the same time, and others may have taken it
        return block

    def _make_room(self, size: int) -> None:
        for job in self.all():
            with job.changed:
                while self._memory.free_bytes < counted_bytes(size) and job.rule.evict():
                    pass
        free, limit = self._memory.free_bytes, self._memory.limit_bytes
        if free < counted_bytes(size):
            raise MemoryExceeded(
                f"a message of {size} bytes has no room now; {free} of {limit} bytes are free",
                *(size, free, limit),
            )


class Incoming:
    """A message on its way in; the caller writes each piece to its `place`.

    Attributes
    ----------
    repeated : Pushed or None
        The answer, if the push counted before: then there is no memory.
    """

    __slots__ = ("_block", "checksum", "job", "memory", "received", "repeated", "size", "target")

    def __init__(self, job: Job, target: Target, size: int, found: Block | Pushed) -> None:
        self.job, self.target, self.size = job, target, size
        self.repeated = found if isinstance(found, Pushed) else None
        self._block = None if isinstance(found, Pushed) else found
        self.memory = memoryview(b"") if self._block is None else self._block.data.data
        self.checksum = RunningChecksum()
        self.received = 0

    @property
    def is_whole(self) -> bool:
        return self.received == self.size

    def place(self, n_bytes: int) -> memoryview | None:
        """Return the memory of the next piece, or None if its bytes are not needed."""
        start, rest = self.received, self.size - self.received
        if not 0 < n_bytes <= rest:
            raise InvalidRequest(f"piece: expected 1 to {rest} bytes, by the size, got {n_bytes}")
        return self.memory[start : start + n_bytes] if self.repeated is None else None

    def arrived(self, n_bytes: int) -> None:
        """Add a piece to the checksum; without any piece, a push computes it."""
        start, self.received = self.received, self.received + n_bytes
        if self.received >= LEAST_MESSAGE_BYTES and self.repeated is None:
            begin = 0 if start < LEAST_MESSAGE_BYTES else start
            self.checksum.add(self.memory[begin : self.received])

    def taken(self) -> Block:
        """Return the block, which belongs to the caller now."""
        block, self._block = self._block, None
        assert block is not None  # the message has not been pushed, and not been given up
        self.memory = memoryview(b"")
        return block

    def close(self) -> None:
        """Give the memory back, unless the message has been pushed."""
        if self._block is not None:
            self.taken().drop()


def reserved_bytes(settings: JobSettings) -> int:
    """Return the memory that is set aside for a job."""
    # A sum of compressed contributions is made uncompressed, at twice their size or less.
    widened = 2 if settings.compression == "float16" else 1
    messages = settings.world_size + _SPARE_MESSAGES * widened
    if settings.server_update:
        messages += 2  # the optimiser's moments
    return max(_LEAST_RESERVED, messages * settings.message_bytes)


def require_name(field_name: str, name: str, *, may_be_empty: bool = False) -> None:
    """Raise `InvalidRequest` for a name that is too long, or not of printable ASCII."""
    good = name.isascii() and name.isprintable() and len(name) <= MOST_NAME_BYTES
    if not good or not (name or may_be_empty):
        raise InvalidRequest(
            f"{field_name}: expected 1 to {MOST_NAME_BYTES} printable ASCII characters, "
            f"got {name[:50]!r}"
        )
