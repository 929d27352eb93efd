"""The state of a parameter server and its rules: jobs, what ranks push to them, and what they pull.

No sockets: Thrift and gRPC answer from here, and it can be tested alone. All methods may be called
by many threads. Each job has a lock of its own, so that jobs do not wait for each other; sums are
made and models changed under it, while messages arrive and leave without it.

**Memory.** A job sets aside what it can need at once when it is registered: a message of each rank,
sums of two steps, and what is being sent or written while it changes. Sums that are kept for ranks
that are called again lie in what nobody has set aside, and go when that is needed.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO, Self

from comm.wire import RunningChecksum
from ps_server.protocol.calls import (
    ALL_RANKS,
    MOST_NAME_BYTES,
    JobSettings,
    JobStatistics,
    Pushed,
    Registration,
    Statistics,
    StepStatus,
)
from ps_server.protocol.refusals import (
    ContributionsMissing,
    DamagedVector,
    Draining,
    InvalidRequest,
    JobConflict,
    MemoryExceeded,
    UnknownJob,
)
from ps_server.state.asynchronous import Models
from ps_server.state.memory import Block, Memory, counted_bytes
from ps_server.state.rules import Rule, decoded
from ps_server.state.snapshots import JobImage, Snapshot, read_snapshot
from ps_server.state.synchronous import Sums
from stepml.job.step import Step
from storage.base import Clock

_LEAST_MESSAGE_BYTES = 32  # the header
_LEAST_RESERVED = 2**16  # of a job, with what describes it
_SPARE_MESSAGES = 3  # two steps' sums, and one that is read while it changes
_MOST_EPOCHS = 2**31 - 1
_UNTOUCHED_S = 1200.0  # longer than a function lives


class Incoming:
    """A message on its way in.

    Attributes
    ----------
    memory : memoryview
        Where its bytes are to be written, all of them.
    """

    __slots__ = ("_block", "_checksum", "attempt", "job", "memory", "rank", "step")

    def __init__(self, job: _Job, step: Step, rank: int, attempt: str, block: Block) -> None:
        self.job, self.step, self.rank, self.attempt = job, step, rank, attempt
        self._block: Block | None = block
        self._checksum = RunningChecksum()
        self.memory = block.data.data

    def arrived(self, start: int, stop: int) -> None:
        """Say that a piece is there; unless all are told of, they are looked at in the end."""
        if stop >= _LEAST_MESSAGE_BYTES:
            self._checksum.add(self.memory[0 if start < _LEAST_MESSAGE_BYTES else start : stop])

    def write(self, start: int, piece: bytes) -> None:
        """Copy a piece to its place."""
        stop = start + len(piece)
        self.memory[start:stop] = piece
        self.arrived(start, stop)

    @property
    def checksum(self) -> int | None:
        """That of the pieces that `arrived`."""
        return self._checksum.value()

    def taken(self) -> Block:
        """Return the block, which belongs to the caller now."""
        block, self._block = self._block, None
        if block is None:
            raise ValueError("the message has been pushed, or given up")
        self.memory = memoryview(b"")
        return block

    def close(self) -> None:
        """Give the memory back, unless the message has been pushed."""
        if self._block is not None:
            self.taken().drop()


class Outgoing:
    """A message on its way out.

    Attributes
    ----------
    data : memoryview
        Its bytes; they do not change until `close`.
    """

    __slots__ = ("_block", "data")

    def __init__(self, block: Block) -> None:
        self._block: Block | None = block
        self.data = block.data.data.toreadonly()

    def close(self) -> None:
        """Say that it has been sent, or that it will not be."""
        block, self._block = self._block, None
        self.data = memoryview(b"")
        if block is not None:
            block.drop()


@dataclass(slots=True)
class _Counters:
    """What a job has seen."""

    pushes: int = 0
    repeated_pushes: int = 0
    pulls: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0
    waited_s: float = 0.0
    ranks: set[int] = field(default_factory=set)


class _Job:
    def __init__(self, name: str, settings: JobSettings, memory: Memory, now: float) -> None:
        self.name = name
        self.settings = settings
        kind = Sums if settings.rule == "bulk_synchronous" else Models
        self.rule: Rule = kind(settings, memory)
        self.changed = threading.Condition()  # its lock is the job's
        self.counters = _Counters()
        self.used_at = now
        self.n_waiting = 0
        self.is_deleted = False
        self.is_untouched = False  # restored, and not used since

    def require_step(self, step: Step, rank: int, *, takes_sums: bool) -> None:
        """Raise `InvalidRequest` for a step or a rank that the job cannot have."""
        if not (1 <= step.epoch <= _MOST_EPOCHS and 0 <= step.batch <= _MOST_EPOCHS):
            raise InvalidRequest(
                f"step: expected an epoch from 1 and a batch from 0, got {step.epoch}, {step.batch}"
            )
        least = ALL_RANKS if takes_sums else 0
        if not least <= rank < self.settings.world_size:
            raise InvalidRequest(
                f"rank: expected {least} to {self.settings.world_size - 1}, got {rank}"
            )


class Parameters:
    """All that a parameter server has.

    Parameters
    ----------
    limit_bytes : int
        Of all messages together.
    expiry_s : float
        Seconds after which a job that nobody uses is deleted by `expire`.
    clock : Clock

    Attributes
    ----------
    incarnation : str
        Another one each time a server starts.
    """

    def __init__(
        self, *, limit_bytes: int, expiry_s: float = 86_400.0, clock: Clock = time
    ) -> None:
        self.incarnation = uuid.uuid4().hex
        self._expiry_s = expiry_s
        self._clock = clock
        self._started_at = clock.monotonic()
        self._memory = Memory(limit_bytes)
        self._jobs: dict[str, _Job] = {}
        self._n_registered = 0
        self._reserved_bytes = 0
        self._lock = threading.Lock()  # of the two above; held before a job's, never after
        self._is_draining = False

    def register(self, job: str, settings: JobSettings) -> Registration:
        """Set memory aside for a job; a repetition changes nothing.

        Raises
        ------
        JobConflict
            It is registered with other settings.
        MemoryExceeded
            There is no room for it beside the others.
        InvalidRequest, Draining
        """
        self._refuse_draining()
        _require_name("job", job)
        with self._lock:  # so that nobody deletes it meanwhile
            known = self._jobs.get(job)
            if known is None:
                self._jobs[job] = self._admitted(job, settings)
                return Registration(self.incarnation, is_new=True, is_restored=False)
            if known.settings != settings:
                raise JobConflict(
                    f"job {job!r} is registered with {known.settings}, not with {settings}"
                )
            with self._using(job):
                return Registration(self.incarnation, False, known.rule.is_restored)

    def exists(self, job: str, step: Step) -> StepStatus:
        """Return which ranks have pushed to a step."""
        with self._using(job) as found:
            found.require_step(step, ALL_RANKS, takes_sums=True)
            return found.rule.status(step)

    def receive(
        self, job: str, step: Step, rank: int, message_bytes: int, attempt: str = ""
    ) -> Incoming | None:
        """Return where a message of ``message_bytes`` may be written that is about to arrive.

        None says that it is not needed: it counted before.

        Raises
        ------
        InvalidRequest
            The rank, the step or the size is wrong.
        StepForgotten
            It comes too late.
        MemoryExceeded
            There is no room for it now.
        UnknownJob, Draining
        """
        self._refuse_draining()
        _require_name("attempt", attempt, may_be_empty=True)
        with self._using(job) as found:
            synchronous = found.settings.rule == "bulk_synchronous"
            found.require_step(step, rank, takes_sums=synchronous)
            most = found.settings.message_bytes
            if not _LEAST_MESSAGE_BYTES <= message_bytes <= most:
                raise InvalidRequest(
                    f"size: expected 32 to the {most} bytes that the job is registered with, "
                    f"got {message_bytes}"
                )
            if not found.rule.needs(step, rank, attempt):
                return None
        # Many arrive at the same time: there may be room for one of them.
        while (block := self._memory.take_within_limit(message_bytes)) is None:
            self._make_room(message_bytes)
        return Incoming(found, step, rank, attempt, block)

    def push(self, incoming: Incoming, based_on: int = 0) -> Pushed:
        """Have a message count that has arrived; of two for the same rank and step the first does.

        Raises
        ------
        DamagedVector
            It is not what was sent, or not like the others of its step.
        StepForgotten, InvalidRequest, UnknownJob
        """
        job, step, rank = incoming.job, incoming.step, incoming.rank
        block = incoming.taken()
        size = len(block.data)
        try:
            message = decoded(block, f"rank {rank}'s push to {step}", incoming.checksum)
        except DamagedVector:
            block.drop()
            raise
        with job.changed:
            if job.is_deleted:
                block.drop()
                raise UnknownJob(f"job {job.name!r} has been deleted")
            job.used_at = self._clock.monotonic()
            pushed = job.rule.push(step, rank, incoming.attempt, block, message, based_on)
            self._count_push(job, rank, pushed)
            job.counters.received_bytes += size
            if job.n_waiting and job.rule.wakes(step):
                job.changed.notify_all()
            return pushed

    def push_repeated(self, job: str, step: Step, rank: int) -> Pushed:
        """Return the answer to a push that `receive` did not need."""
        with self._using(job) as found:
            pushed = found.rule.repeated(step, rank)
            self._count_push(found, rank, pushed)
            return pushed

    def pull(
        self, job: str, step: Step, rank: int, wait_s: float = 0.0, attempt: str = ""
    ) -> Outgoing:
        """Return a step's sum, or a model, waiting for other ranks at most ``wait_s`` seconds.

        Raises
        ------
        ContributionsMissing
            The time is out; names the ranks.
        StepForgotten, InvalidRequest, UnknownJob, Draining
        """
        began = self._clock.monotonic()
        with self._using(job) as found:
            found.require_step(step, rank, takes_sums=True)
            missing = found.rule.missing(step, rank, attempt)
            while missing:
                remaining_s = began + wait_s - self._clock.monotonic()
                if remaining_s <= 0:
                    found.counters.waited_s += self._clock.monotonic() - began
                    raise _missing(found, step, missing, attempt)
                self._refuse_draining()
                found.n_waiting += 1
                try:
                    found.changed.wait(remaining_s)
                finally:
                    found.n_waiting -= 1
                if found.is_deleted:
                    raise UnknownJob(f"job {job!r} has been deleted")
                missing = found.rule.missing(step, rank, attempt)
            outgoing = Outgoing(found.rule.pulled(step, rank))
            counters = found.counters
            counters.pulls += 1
            counters.sent_bytes += len(outgoing.data)
            counters.waited_s += self._clock.monotonic() - began
            if rank != ALL_RANKS:
                counters.ranks.add(rank)
            return outgoing

    def forget(self, job: str, through: Step) -> None:
        """Let go of all steps of an epoch up to ``through``: nobody will ask for them."""
        with self._using(job) as found:
            found.rule.forget(through)

    def reset(self, job: str, epoch: int) -> None:
        """Let go of all steps of an epoch as if there had been none; 0: of all epochs."""
        with self._using(job) as found:
            found.rule.reset(epoch)

    def delete(self, prefix: str) -> int:
        """Delete all jobs whose names begin with ``prefix``, and return how many.

        Raises
        ------
        InvalidRequest
            ``prefix`` is empty: other deployments may use the server, too.
        """
        _require_name("prefix", prefix)
        with self._lock:
            return self._delete([name for name in self._jobs if name.startswith(prefix)])

    def expire(self) -> int:
        """Delete jobs that nobody has used for a long time, and return how many."""
        now = self._clock.monotonic()
        with self._lock:
            return self._delete(
                [
                    name
                    for name, job in self._jobs.items()
                    if not job.n_waiting and now - job.used_at > self._expiry_of(job)
                ]
            )

    def drain(self) -> None:
        """Refuse whatever begins from now on, and end all waits."""
        self._is_draining = True
        for job in self._all_jobs():
            with job.changed:
                job.changed.notify_all()

    def statistics(self, connections: int = 0) -> Statistics:
        """Return what is told about all jobs."""
        return Statistics(
            incarnation=self.incarnation,
            uptime_s=self._clock.monotonic() - self._started_at,
            connections=connections,
            reserved_bytes=self._reserved_bytes,
            used_bytes=self._memory.used_bytes,
            limit_bytes=self._memory.limit_bytes,
            jobs=tuple(self._statistics_of(job) for job in self._all_jobs()),
        )

    def state(self) -> object:
        """Return another value once anything has changed that a snapshot holds."""
        jobs = [(job.name, job.counters.pushes, job.rule.n_steps) for job in self._all_jobs()]
        return self._n_registered, jobs

    def take_snapshot(self) -> Snapshot:
        """Return all that is there at this moment, job by job, to be written; to be closed."""
        images = []
        for job in self._all_jobs():
            with job.changed:
                if not job.is_deleted:
                    images.append(JobImage(job.name, job.settings, *job.rule.export()))
        return Snapshot(images)

    @classmethod
    def restore(
        cls,
        file: BinaryIO,
        *,
        limit_bytes: int,
        expiry_s: float = 86_400.0,
        clock: Clock = time,
    ) -> Self:
        """Return what a `Snapshot` wrote to ``file``; jobs without room are left out.

        Raises
        ------
        ValueError
            It is no snapshot of this version.
        """
        restored = cls(limit_bytes=limit_bytes, expiry_s=expiry_s, clock=clock)
        for image in read_snapshot(file, restored._memory):
            try:
                job = restored._admitted(image.name, image.settings)
            except MemoryExceeded:
                for block in image.blocks:
                    block.drop()
                continue
            job.rule.restore(image.fields, iter(image.blocks))
            job.rule.is_restored = job.is_untouched = True
            restored._jobs[image.name] = job
        return restored

    @contextmanager
    def _using(self, name: str) -> Iterator[_Job]:
        """Yield the job called ``name``, with its lock held."""
        job = self._jobs.get(name)
        if job is None:
            _require_name("job", name)
            raise UnknownJob(f"job {name!r} is not registered")
        with job.changed:
            if job.is_deleted:
                raise UnknownJob(f"job {name!r} has been deleted")
            job.used_at = self._clock.monotonic()
            job.is_untouched = False
            yield job

    def _expiry_of(self, job: _Job) -> float:
        """Return after how many seconds a job expires.

        One that came back with a snapshot may have ended between that and the crash: then nobody
        will ever ask for it again. Whoever does so comes within the life of a function.
        """
        return min(self._expiry_s, _UNTOUCHED_S) if job.is_untouched else self._expiry_s

    def _all_jobs(self) -> list[_Job]:
        with self._lock:
            return [*self._jobs.values()]

    def _admitted(self, name: str, settings: JobSettings) -> _Job:
        """Return a new job with its memory set aside."""
        job = _Job(name, settings, self._memory, self._clock.monotonic())
        needed = reserved_bytes(settings)
        limit = self._memory.limit_bytes
        free = limit - self._reserved_bytes
        if needed > free:
            raise MemoryExceeded(
                f"job {name!r} needs {needed} bytes ({settings.world_size} ranks, messages of "
                f"{settings.message_bytes} bytes); {free} of {limit} are free",
                needed,
                free,
                limit,
            )
        self._reserved_bytes += needed
        self._n_registered += 1
        return job

    def _delete(self, names: list[str]) -> int:
        for name in names:
            job = self._jobs.pop(name)
            self._reserved_bytes -= reserved_bytes(job.settings)
            with job.changed:
                job.is_deleted = True
                job.rule.close()
                job.changed.notify_all()
        if names:
            self._memory.trim()
        return len(names)

    def _make_room(self, size: int) -> None:
        """Let go of sums that are kept for ranks that are called again, if need be."""
        if self._memory.free_bytes >= counted_bytes(size):
            return
        for job in self._all_jobs():
            with job.changed:
                while self._memory.free_bytes < counted_bytes(size) and job.rule.evict():
                    pass
        free, limit = self._memory.free_bytes, self._memory.limit_bytes
        if free < counted_bytes(size):
            raise MemoryExceeded(
                f"a message of {size} bytes has no room now; {free} of {limit} bytes are free",
                size,
                free,
                limit,
            )

    def _refuse_draining(self) -> None:
        if self._is_draining:
            raise Draining("the server is about to stop")

    def _count_push(self, job: _Job, rank: int, pushed: Pushed) -> None:
        job.counters.pushes += 1
        job.counters.repeated_pushes += pushed.is_repeated
        if rank != ALL_RANKS:
            job.counters.ranks.add(rank)

    def _statistics_of(self, job: _Job) -> JobStatistics:
        with job.changed:
            counters, rule = job.counters, job.rule
            models = [*rule.models()] if isinstance(rule, Models) else []
            return JobStatistics(
                job=job.name,
                rule=job.settings.rule,
                world_size=job.settings.world_size,
                ranks=len(counters.ranks),
                steps=rule.n_steps,
                held_bytes=sum(len(block.data) for block in rule.blocks()),
                pushes=counters.pushes,
                repeated_pushes=counters.repeated_pushes,
                pulls=counters.pulls,
                received_bytes=counters.received_bytes,
                sent_bytes=counters.sent_bytes,
                waited_s=counters.waited_s,
                updates=sum(model.version for model in models),
                staleness_sum=sum(model.staleness_sum for model in models),
                staleness_max=max((model.staleness_max for model in models), default=0),
                lost_updates=sum(model.lost for model in models),
                idle_s=self._clock.monotonic() - job.used_at,
            )


def reserved_bytes(settings: JobSettings) -> int:
    """Return how much memory is set aside for a job."""
    # A sum of compressed contributions is made uncompressed, at twice their size or less.
    widened = 2 if settings.compression == "float16" else 1
    messages = settings.world_size + _SPARE_MESSAGES * widened
    if settings.server_update:
        messages += 2  # the optimiser's moments
    return max(_LEAST_RESERVED, messages * settings.message_bytes)


def _missing(job: _Job, step: Step, ranks: list[int], attempt: str) -> ContributionsMissing:
    told = ", ".join(map(str, ranks[:20])) + (", …" if len(ranks) > 20 else "")
    frontier = job.rule.frontier(attempt, step.epoch)
    return ContributionsMissing(f"{step} has to wait for rank {told}", ranks, frontier)


def _require_name(field_name: str, name: str, *, may_be_empty: bool = False) -> None:
    good = name.isascii() and name.isprintable() and len(name) <= MOST_NAME_BYTES
    if not good or not (name or may_be_empty):
        raise InvalidRequest(
            f"{field_name}: expected 1 to {MOST_NAME_BYTES} printable ASCII characters, "
            f"got {name[:50]!r}"
        )
