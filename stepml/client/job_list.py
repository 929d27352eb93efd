"""The jobs of a stack for a page that stays open: what can no longer change is read once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING

from stepml.client.epochs import EXECUTIONS_PAGE
from stepml.client.listing import JobSummary, job_executions, running_summary, summary_of
from stepml.client.reading import READERS, read_each
from stepml.records.execution import RUNNING

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions.type_defs import ExecutionListItemTypeDef

    from stepml.client.client import Client

LOOK_S = 1.0  # for a look, about
MOST_SEARCHED = 10_000  # executions whose names are compared
_AT_ONCE = 2 * READERS


@dataclass(frozen=True, slots=True)
class JobListing:
    """The newest jobs of a stack.

    Attributes
    ----------
    jobs : tuple of JobSummary
        Newest first.
    is_whole : bool
        Whether all that were asked for have been read once; if not, the next look has more.
    has_older : bool
        Whether there are older ones than those that were asked for.
    """

    jobs: tuple[JobSummary, ...] = ()
    is_whole: bool = True
    has_older: bool = False


class JobList:
    """The jobs of a stack, which are looked at again and again. Several threads may use one.

    A job that has ended is read once, one that runs at each look. A job without news is the same
    object as before.

    Parameters
    ----------
    client : Client
    clock : callable, optional
        Returns the time in seconds.
    """

    def __init__(self, client: Client, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._known: dict[str, _Known] = {}  # by ARN
        self._looking = Lock()

    def look(
        self, limit: int = 100, status: str | None = None, name: str = "", within_s: float = LOOK_S
    ) -> JobListing:
        """Return the newest jobs.

        Parameters
        ----------
        limit : int
            At most so many.
        status : str, optional
            Only jobs with this status of their execution.
        name : str
            Only jobs whose name contains this, in capital or small letters.
        within_s : float
            After so many seconds no further jobs are read. New ones that are left come at the next
            looks, so that a long list begins to show at once; others stay as they were read last.
        """
        with self._looking:
            deadline = self._clock() + within_s
            found = list(islice(self._executions(limit, status, name.lower()), limit + 1))
            items = found[:limit]
            self._read(items, deadline)
            known = [self._known.get(each["executionArn"]) for each in items]
        jobs = tuple(each.job for each in known if each is not None and each.job is not None)
        return JobListing(jobs, None not in known, len(found) > limit)

    def _executions(
        self, limit: int, status: str | None, name: str
    ) -> Iterator[ExecutionListItemTypeDef]:
        at_once = EXECUTIONS_PAGE if name else min(limit + 1, EXECUTIONS_PAGE)
        all_jobs = job_executions(self._client.connection, self._client.stack, status, at_once)
        if not name:
            return all_jobs
        return (each for each in islice(all_jobs, MOST_SEARCHED) if name in each["name"].lower())

    def _read(self, items: Sequence[ExecutionListItemTypeDef], deadline: float) -> None:
        """Read jobs that may have news: new ones first, then those that were read longest ago."""
        left = sorted((each for each in items if not self._is_known(each)), key=self._read_at)
        for begin in range(0, len(left), _AT_ONCE):
            read_each(self._read_one, left[begin : begin + _AT_ONCE])
            if self._clock() >= deadline:
                return

    def _read_at(self, item: ExecutionListItemTypeDef) -> float:
        known = self._known.get(item["executionArn"])
        return float("-inf") if known is None else known.read_at

    def _is_known(self, item: ExecutionListItemTypeDef) -> bool:
        known = self._known.get(item["executionArn"])
        return known is not None and known.is_of(item)

    def _read_one(self, item: ExecutionListItemTypeDef) -> None:
        arn, at = item["executionArn"], self._clock()
        known = self._known.get(arn)
        connection, stack = self._client.connection, self._client.stack
        before = None if known is None else known.job
        if item["status"] in RUNNING:
            job = running_summary(connection, stack, item, before)
        else:
            job = summary_of(connection, stack, item)
        job = before if job == before else job
        self._known[arn] = _Known(job, _state(item), at)


@dataclass(frozen=True, slots=True)
class _Known:
    job: JobSummary | None  # None: the execution continues another job
    state: tuple[object, ...]  # of the execution when it was read
    read_at: float  # by the clock of the list

    def is_of(self, item: ExecutionListItemTypeDef) -> bool:
        """Return whether the job cannot have changed."""
        return item["status"] not in RUNNING and self.state == _state(item)


def _state(item: ExecutionListItemTypeDef) -> tuple[object, ...]:
    return item["status"], item.get("stopDate"), item.get("redriveCount", 0)
