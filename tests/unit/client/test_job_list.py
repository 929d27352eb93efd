"""Jobs for a page that stays open, against moto's server: what is read, and how often."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import pytest

from stepml.client import Client, JobList, JobListing, Run
from stepml.client.pacing import Pacing
from tests.support.clocks import TickingClock
from tests.support.moto_stack import JOB, JOB_TEXT, MotoStack, epoch_report

N_ENDED = 17  # more than are read at once


@pytest.fixture(scope="module")
def prefix(stack: MotoStack) -> str:
    """The names of jobs that have ended with a model begin with this."""
    prefix = f"done-{uuid.uuid4().hex[:8]}"
    client = stack.client()
    runs = []
    for number in range(N_ENDED):
        name = f"{prefix}-{number:02}"
        stack.put_results(name, [epoch_report(1, last=True)])
        runs.append(client.run(JOB, name))
    for run in runs:
        until_ended(run)
    return prefix


@pytest.fixture
def paced(stack: MotoStack) -> Client:
    client = stack.client()
    client.connection.pace(Pacing({}))
    return client


def until_ended(run: Run) -> None:
    while not run.state.ended:
        time.sleep(0.02)


def sent(client: Client) -> int:
    pacing = client.connection._pacing
    assert pacing is not None
    return pacing.sent.total()


def whole(jobs: JobList) -> Iterator[JobListing]:
    """Yield what looks without time show, until all is read."""
    listing = JobListing(is_whole=False)
    while not listing.is_whole:
        listing = jobs.look(within_s=0)
        yield listing


def test_jobs_that_have_ended_are_read_once(paced: Client, prefix: str) -> None:
    jobs = JobList(paced)
    first = jobs.look(name=prefix)
    before = sent(paced)

    again = jobs.look(name=prefix)

    assert [each.name for each in first.jobs] == [
        f"{prefix}-{number:02}" for number in reversed(range(N_ENDED))
    ]
    assert list(first.jobs) == [each for each in paced.jobs(100) if each.name.startswith(prefix)]
    assert sent(paced) - before <= 1 + 2 * 100  # of `paced.jobs`, which reads all
    assert all(one is other for one, other in zip(first.jobs, again.jobs, strict=True))


def test_a_look_without_news_asks_once(paced: Client, prefix: str) -> None:
    jobs = JobList(paced)
    jobs.look(name=prefix)
    before = sent(paced)
    jobs.look(name=prefix)

    assert sent(paced) == before + 1


def test_a_long_list_comes_in_parts_the_newest_first(paced: Client, prefix: str) -> None:
    clock = TickingClock(1)

    parts = list(whole(JobList(paced, clock.monotonic)))

    names = [each.name for each in parts[-1].jobs]
    assert len(parts) > 1
    assert names == [each.name for each in paced.jobs(100)]
    for part in parts:
        assert [each.name for each in part.jobs] == names[: len(part.jobs)]


def test_jobs_are_chosen_by_status_name_and_number(paced: Client, prefix: str) -> None:
    jobs = JobList(paced)

    few, upper = jobs.look(3, name=prefix), jobs.look(name=prefix.upper())

    assert (len(few.jobs), few.has_older, few.is_whole) == (3, True, True)
    assert (len(upper.jobs), upper.has_older) == (N_ENDED, False)
    assert jobs.look(status="FAILED", name=prefix) == JobListing()


def test_a_running_job_shows_each_new_epoch_and_its_end(stack: MotoStack) -> None:
    name = f"run-{uuid.uuid4().hex[:8]}"
    client = stack.client("endless")
    jobs = JobList(client)
    run = client.run(JOB_TEXT, name)
    stack.put_epochs(name, 1, ended=False)
    first, unchanged = jobs.look(name=name).jobs[0], jobs.look(name=name).jobs[0]
    stack.put_epochs(name, 3, ended=False)
    later = jobs.look(name=name).jobs[0]
    client.connection.client("stepfunctions").stop_execution(executionArn=run.arn)
    until_ended(run)
    ended = jobs.look(name=name).jobs[0]

    assert ended.why == "stopped"  # nobody said why
    assert unchanged is first
    assert (first.epochs, later.epochs, later.status) == (1, 3, "RUNNING")
    assert later.report is not None
    assert later.cost_usd == later.report.total_cost_usd
    assert (ended.status, ended.epochs) == ("ABORTED", 3)
    assert ended.ended_at is not None


def test_more_running_jobs_than_a_look_has_time_for_take_turns(stack: MotoStack) -> None:
    prefix = f"many-{uuid.uuid4().hex[:8]}"
    client = stack.client("endless")
    names = [f"{prefix}-{number:02}" for number in range(N_ENDED)]
    runs = [client.run(JOB_TEXT, name) for name in names]
    jobs = JobList(client, TickingClock(1).monotonic)
    *_, first = (jobs.look(name=prefix, within_s=0) for _ in range(2))
    for name in names:
        stack.put_epochs(name, 1, ended=False)

    partly, all_again = (jobs.look(name=prefix, within_s=0) for _ in range(2))

    assert first.is_whole and partly.is_whole
    assert 0 < sum(each.epochs for each in partly.jobs) < N_ENDED
    assert [each.epochs for each in all_again.jobs] == [1] * N_ENDED
    for run in runs:
        client.connection.client("stepfunctions").stop_execution(executionArn=run.arn)
