"""Reads events of CloudWatch Logs: those of a group in a time, chosen by fields or words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from stepml.client.connection import Connection, translated

if TYPE_CHECKING:
    from mypy_boto3_logs.type_defs import FilteredLogEventTypeDef


def log_events(
    connection: Connection,
    group: str,
    begin: datetime,
    end: datetime,
    *,
    pattern: str = "",
    stream: str = "",
    most_pages: int | None = None,
) -> Iterator[FilteredLogEventTypeDef]:
    """Yield the events of a log group, the oldest first.

    Parameters
    ----------
    connection : Connection
    group : str
    begin, end : datetime
    pattern : str
        See `of_fields`. The local AWS ignores patterns of fields.
    stream : str
        The only log stream; by default all.
    most_pages : int, optional
        Pages that are read, of up to 10,000 events or 1 MB.

    Raises
    ------
    AccessError
        CloudWatch Logs cannot be reached or refuses.
    """
    pages = connection.client("logs").get_paginator("filter_log_events")
    chosen: dict[str, Any] = {"startTime": _milliseconds(begin), "endTime": _milliseconds(end)}
    if pattern:
        chosen["filterPattern"] = pattern
    if stream:
        chosen["logStreamNames"] = [stream]
    with translated(connection.endpoint_url):
        for page in islice(pages.paginate(logGroupName=group, **chosen), most_pages):
            yield from page["events"]


def of_fields(fields: Mapping[str, str | int]) -> str:
    """Return the pattern of the lines that are JSON objects with these fields."""
    terms = " && ".join(f"($.{name} = {json.dumps(value)})" for name, value in fields.items())
    return f"{{ {terms} }}"


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
