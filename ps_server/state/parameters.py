"""The state of a parameter server: jobs, the pushes of their ranks, and their pulls.

No sockets: Thrift and gRPC answer from here. All methods may be called by many threads. Each job
has a lock of its own, so that jobs do not wait for each other; sums are made and models changed
under it, while messages arrive and leave without it.

**Memory.** A registered job has memory set aside for all that it can need at once: a message of
each rank, sums of two steps, and one message that is read while it changes. Sums for ranks that are
called again use memory that no job has set aside, and go when it is needed.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Any, Self

from ps_server.protocol.calls import (
    ALL_RANKS,
    JobSettings,
    Pushed,
    Registration,
    Statistics,
    StepStatus,
    Target,
)
from ps_server.protocol.refusals import Draining, InvalidRequest, JobConflict, MemoryExceeded
from ps_server.state.jobs import LEAST_MESSAGE_BYTES, Incoming, Job, Jobs, require_name
from ps_server.state.memory import Block, Memory
from ps_server.state.rules import decoded
from ps_server.state.snapshots import JobImage, Snapshot, read_snapshot
from stepml.job.step import Step
from storage.base import Clock

_UNTOUCHED_S = 1200.0  # longer than a function lives


@dataclass(kw_only=True, eq=False)
class Parameters:
    """The jobs of a parameter server, and the calls on them.

    A call raises the refusals of `ps_server.protocol.refusals`: `InvalidRequest` for wrong
    arguments, `UnknownJob`, and after `drain`, if it begins something, `Draining`. The calls that
    clients make are described in `ps_server.over_thrift.client.ParameterClient`.

    Attributes
    ----------
    incarnation : str
        Another one each time a server starts.
    """

    limit_bytes: int  # of all messages together
    expiry_s: float = 86_400.0  # after which `expire` deletes an unused job
    clock: Clock = time

    def __post_init__(self) -> None:
        self.incarnation = uuid.uuid4().hex
        self._started_at = self.clock.monotonic()
        self._memory = Memory(self.limit_bytes)
        self._jobs = Jobs(self._memory, self.clock)
        self._is_draining = False

    def register(self, job: str, settings: JobSettings) -> Registration:
        """Set memory aside for a job, or raise `JobConflict` or `MemoryExceeded`.

        A repetition changes nothing.
        """
        self._refuse_draining()
        require_name("job", job)
        with self._jobs.lock:  # so that nobody deletes it meanwhile
            if job not in self._jobs.by_name:
                self._jobs.add(job, settings)
                return Registration(self.incarnation, is_new=True, is_restored=False)
            with self._jobs.named(job) as known:
                if known.settings != settings:
                    raise JobConflict(
                        f"job {job!r} is registered with {known.settings}, not with {settings}"
                    )
                return Registration(self.incarnation, False, known.rule.is_restored)

    def exists(self, job: str, step: Step) -> StepStatus:
        with self._jobs.named(job) as found:
            found.require_target(Target(job, step, ALL_RANKS))
            return found.rule.status(step)

    def receive(self, target: Target, size: int) -> Incoming:
        """Begin a push of ``size`` bytes, with memory for them unless it counted before.

        `StepForgotten`: it comes too late. `MemoryExceeded`: there is no room for it now.
        """
        self._refuse_draining()
        require_name("attempt", target.attempt, may_be_empty=True)
        with self._jobs.named(target.job) as job:
            job.require_target(target, takes_sums=job.settings.rule == "bulk_synchronous")
            most = job.settings.message_bytes
            if not LEAST_MESSAGE_BYTES <= size <= most:
                raise InvalidRequest(
                    f"size: expected 32 to the {most} bytes that the job is registered with, "
                    f"got {size}"
                )
            repeated = job.rule.repeated(target)
            if repeated is not None:
                self._count(job, target, repeated)
        return Incoming(job, target, size, repeated or self._jobs.take(size))

    def push(self, incoming: Incoming) -> Pushed:
        """Apply a received message; a second one for the same rank and step is ignored.

        `DamagedVector`: its checksum is wrong, or it is not like the others of its step.
        """
        job, target = incoming.job, incoming.target
        if incoming.repeated is not None:
            return incoming.repeated
        try:
            message = decoded(incoming.memory, target, incoming.checksum.value())
            with job:
                pushed = job.rule.push(target, incoming.taken(), message)
                self._count(job, target, pushed)
                job.counters.received_bytes += incoming.size
                if job.n_waiting and job.rule.wakes(target.step):
                    job.changed.notify_all()
                return pushed
        finally:
            incoming.close()

    def pull(self, target: Target, wait_s: float = 0.0) -> Block:
        """Return a step's sum, or a model; wait for other ranks at most ``wait_s`` seconds.

        The block does not change until the caller drops it. `ContributionsMissing` names the ranks
        when the time is over. `StepForgotten`: there is no such sum or model any more.
        """
        began = self.clock.monotonic()
        with self._jobs.named(target.job) as job:
            job.require_target(target)
            try:
                self._wait(job, target, began + wait_s)
                block = job.rule.pulled(target)
            finally:
                job.counters.waited_s += self.clock.monotonic() - began
            job.counters.pulls += 1
            job.counters.sent_bytes += len(block.data)
            job.ranks.add(target.rank)
            return block

    def forget(self, job: str, through: Step) -> None:
        with self._jobs.named(job) as found:
            found.rule.forget(through)

    def reset(self, job: str, epoch: int) -> None:
        with self._jobs.named(job) as found:
            found.rule.reset(epoch)

    def delete(self, prefix: str) -> int:
        """Delete all jobs whose names begin with ``prefix``, and return how many.

        An empty one is refused: other deployments may use the server, too.
        """
        require_name("prefix", prefix)
        return self._jobs.delete(lambda job: job.name.startswith(prefix))

    def expire(self) -> int:
        """Delete the jobs that have not been used for a long time, and return how many."""
        now = self.clock.monotonic()

        def is_expired(job: Job) -> bool:
            # A restored job may have ended between the snapshot and the crash: then nobody deletes
            # it. A function that still needs it calls within its life.
            expiry_s = min(self.expiry_s, _UNTOUCHED_S) if job.is_untouched else self.expiry_s
            return not job.n_waiting and now - job.used_at > expiry_s

        return self._jobs.delete(is_expired)

    def drain(self) -> None:
        """Refuse all new work, and end all waits."""
        self._is_draining = True
        for job in self._jobs.all():
            with job.changed:
                job.changed.notify_all()

    def statistics(self, connections: int = 0) -> Statistics:
        """Return figures of the server and of all jobs."""
        now, jobs = self.clock.monotonic(), []
        for job in self._jobs.all():
            with job.changed:
                jobs.append(job.statistics(now))
        return Statistics(
            incarnation=self.incarnation,
            uptime_s=now - self._started_at,
            connections=connections,
            reserved_bytes=self._jobs.reserved_bytes,
            used_bytes=self._memory.used_bytes,
            limit_bytes=self._memory.limit_bytes,
            jobs=tuple(jobs),
        )

    def state(self) -> object:
        """Return a value that differs once anything in a snapshot has changed."""
        jobs = [(job.name, job.counters.pushes, job.rule.n_steps) for job in self._jobs.all()]
        return self._jobs.n_registered, jobs

    def take_snapshot(self) -> Snapshot:
        """Return a snapshot of all jobs, each at one moment; the caller closes it."""
        images = []
        for job in self._jobs.all():
            with job.changed:
                if not job.is_deleted:
                    blocks = [block.hold(for_snapshot=True) for block in job.rule.blocks()]
                    images.append(JobImage(job.name, job.settings, job.rule.export(), blocks))
        return Snapshot(images)

    @classmethod
    def restore(cls, data: memoryview, **settings: Any) -> Self:
        """Return the state that a `Snapshot` has written; jobs without room are left out.

        ``settings`` are those of the class. `ValueError`: it is no snapshot of this version.
        """
        restored = cls(**settings)
        for image in read_snapshot(data, restored._memory):
            try:
                job = restored._jobs.add(image.name, image.settings)
            except MemoryExceeded:
                for block in image.blocks:
                    block.drop()
                continue
            job.rule.restore(image.fields, iter(image.blocks))
            job.rule.is_restored = job.is_untouched = True
        return restored

    def _wait(self, job: Job, target: Target, deadline: float) -> None:
        while missing := job.rule.missing(target):
            remaining_s = deadline - self.clock.monotonic()
            if remaining_s <= 0:
                raise job.missing_error(target, missing)
            self._refuse_draining()
            job.n_waiting += 1
            try:
                job.changed.wait(remaining_s)
            finally:
                job.n_waiting -= 1
            job.require_exists()

    def _count(self, job: Job, target: Target, pushed: Pushed) -> None:
        job.counters.pushes += 1
        job.counters.repeated_pushes += pushed.is_repeated
        job.ranks.add(target.rank)

    def _refuse_draining(self) -> None:
        if self._is_draining:
            raise Draining("the server is about to stop")
