"""The facts that views of the console follow, without pages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from stepml.console.board import Board
from stepml.console.channels_board import channels_feed
from stepml.console.data_board import folder_feed, sizes_feed, understanding_feed
from stepml.console.executions_board import attempt_feed, events_feed, executions_feed, log_feed
from stepml.console.feeds import Feed, Reading
from stepml.console.jobs_board import functions_feed, job_feed, jobs_feed
from stepml.console.pages.new import started_feed
from stepml.console.places import places_feed
from stepml.records.execution import EpochAttempt, Execution
from stepml.records.visits import Attempt, Visit

WAIT_S = 240.0
NOW = datetime.now(UTC)
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:stepml-executor"


def first_reading(feed: Feed[Any]) -> Reading[Any]:
    """Follow a fact until it is known, or known to be unreadable."""
    return asyncio.run(_read(feed))


async def _read(feed: Feed[Any]) -> Reading[Any]:
    heard: asyncio.Future[Reading[Any]] = asyncio.get_running_loop().create_future()

    def hear(reading: Reading[Any]) -> None:
        if not heard.done():
            heard.set_result(reading)

    leave = feed.follow(hear)
    try:
        return await asyncio.wait_for(heard, WAIT_S)
    finally:
        leave()


def views(board: Board, job: str, epoch_arn: str) -> dict[str, Callable[[], Feed[Any]]]:
    """Return the readings of each part of the console, for a job and one execution of an epoch."""
    execution = Execution(epoch_arn.rpartition(":")[2], epoch_arn)
    attempt = EpochAttempt(execution, 1, 1, 0, 0, "SUCCEEDED", NOW, NOW, None, None)
    arn = board.client.named(job).arn
    called = Attempt(
        1, "FAILED", NOW, NOW + timedelta(seconds=1), request_id="a-b", function=FUNCTION
    )
    visit = Visit("RunExecutor", "Task", "FAILED", NOW, NOW, 1, 2, "{}", attempts=(called,))
    return {
        "jobs": lambda: jobs_feed(board),
        "job": lambda: job_feed(board, job),
        "functions": lambda: functions_feed(board, job, 1),
        "graph": lambda: executions_feed(board, arn),
        "epoch": lambda: attempt_feed(board, job, attempt),
        "log": lambda: log_feed(board, job, arn, visit, called),
        "events": lambda: events_feed(board, arn, visit),
        "channels": lambda: channels_feed(board),
        "start again": lambda: started_feed(board, job),
        "places": lambda: places_feed(board),
        "folder": lambda: folder_feed(board, "data/", None),
        "sizes": lambda: sizes_feed(board, ("data/",)),
        "rows": lambda: understanding_feed(board, "data/x.csv"),
    }
