"""Reads the log lines of a job's functions from CloudWatch Logs; each is a JSON object."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from stepml.client.arguments import integer
from stepml.client.connection import Connection, translated
from stepml.client.log_events import log_events, of_fields
from stepml.client.log_lines import LogLine
from stepml.client.stack import Stack
from stepml.job.errors import InvalidJobError
from stepml.job.parse import parse_job
from stepml.packaging.functions import function_names, log_group, log_groups_prefix
from stepml.records.errors import InvalidArgumentError
from stepml.records.execution import ExecutionState
from stepml.records.json_answers import json_object

if TYPE_CHECKING:
    from mypy_boto3_logs.type_defs import FilteredLogEventTypeDef

# Lines arrive in CloudWatch Logs with some delay, and another machine's clock dates them.
MARGIN = timedelta(seconds=60)
# Fields of `LogLine`, or known to its reader.
_PLACED = frozenset({"level", "message", "job_id", "epoch", "rank", "request_id", "timestamp"})


def require_rank(rank: int | None, job: str) -> None:
    """Raise `InvalidArgumentError` if the job, a JSON text, has no such rank."""
    if rank is None:
        return
    try:
        last = parse_job(job).workers - 1
    except InvalidJobError:  # it was refused, so it has no ranks
        return
    found = integer(rank)
    if found is None or not 0 <= found <= last:
        raise InvalidArgumentError(f"rank: expected 0 to {last}, got {rank!r}")


def read_logs(
    connection: Connection, stack: Stack, job: ExecutionState, rank: int | None = None
) -> list[LogLine]:
    """Return the lines of a job, of one rank or all, oldest first."""
    end = job.ended_at + MARGIN if job.ended_at else None
    found = _lines(connection, stack, job, rank, job.started_at - MARGIN, end)
    return sorted(found, key=lambda line: line.timestamp_ms)


def follow_logs(
    connection: Connection,
    stack: Stack,
    describe: Callable[[], ExecutionState],
    sleep: Callable[[float], None],
    rank: int | None = None,
) -> Iterator[LogLine]:
    """Yield a job's new lines until the job has ended."""
    seen: set[str] = set()
    job = describe()
    begin = job.started_at - MARGIN
    while True:
        found = sorted(
            _lines(connection, stack, job, rank, begin, None), key=lambda line: line.timestamp_ms
        )
        new = [line for line in found if line.event_id not in seen]
        seen.update(line.event_id for line in new)
        yield from new
        if job.ended:
            return
        if new:
            newest = datetime.fromtimestamp(new[-1].timestamp_ms / 1000, job.started_at.tzinfo)
            begin = max(begin, newest - MARGIN)
        sleep(connection.poll_s)
        job = describe()  # before reading, so that the last lines before the end are read


def _lines(
    connection: Connection,
    stack: Stack,
    job: ExecutionState,
    rank: int | None,
    begin: datetime,
    end: datetime | None,
) -> Iterator[LogLine]:
    job_id = job.execution.name
    end = end or datetime.now(begin.tzinfo) + MARGIN
    pattern = of_fields({"job_id": job_id} | ({} if rank is None else {"rank": rank}))
    for function, group in _groups(connection, stack).items():
        for event in log_events(connection, group, begin, end, pattern=pattern):
            if json_object(event["message"]).get("job_id") != job_id:
                continue  # another job's, or a line of the platform or of a library
            line = parsed_line(event, function)
            if rank in (None, line.rank):
                yield line


def _groups(connection: Connection, stack: Stack) -> dict[str, str]:
    """Return the existing log groups by function."""
    prefix = log_groups_prefix(stack.name)
    pages = connection.client("logs").get_paginator("describe_log_groups")
    with translated(connection.endpoint_url):
        found = {
            group["logGroupName"]
            for page in pages.paginate(logGroupNamePrefix=prefix)
            for group in page["logGroups"]
        }
    groups = {function: log_group(stack.name, function) for function in function_names()}
    return {function: group for function, group in groups.items() if group in found}


def parsed_line(event: FilteredLogEventTypeDef, function: str) -> LogLine:
    """Return a line of a function, of a library or of the platform."""
    entry = json_object(event["message"])
    if "message" not in entry:
        entry = {"message": event["message"].rstrip()}
    request_id = entry.get("request_id")
    return LogLine(
        event_id=event["eventId"],
        timestamp_ms=event["timestamp"],
        function=function,
        level=str(entry.get("level", "")),
        message=str(entry["message"]),
        epoch=_integer(entry.get("epoch")),
        rank=_integer(entry.get("rank")),
        fields={name: value for name, value in entry.items() if name not in _PLACED},
        request_id=request_id if isinstance(request_id, str) else None,
    )


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
