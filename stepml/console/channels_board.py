"""The channels of a stack for pages: what is in use of each, and the jobs that use it."""

from __future__ import annotations

from dataclasses import dataclass

from stepml.client.channel_usage import ChannelUsage, Usage, channel_usage
from stepml.client.job_list import JobListing
from stepml.console.board import Board
from stepml.console.feeds import Feed
from stepml.console.jobs_shown import facts_of
from stepml.job.channels import Pattern
from stepml.records.execution import RUNNING
from stepml.reports.figures import size

PAUSE_S, LOCAL_PAUSE_S = 30.0, 5.0  # CloudWatch has a number a minute


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """A channel, in words.

    Attributes
    ----------
    name, service, place : str
    is_configured : bool
        Whether the stack has it.
    is_up : bool or None
        None: unknown.
    lacking : str
        What the stack lacks otherwise.
    patterns : tuple of str
    items, n_bytes : int or None
        What is in use of it.
    remark : str
        How old these numbers are, or why there are none.
    jobs : tuple of str
        The running jobs that use it.
    """

    name: str
    service: str
    place: str
    is_configured: bool
    is_up: bool | None
    lacking: str
    patterns: tuple[Pattern, ...]
    items: int | None
    n_bytes: int | None
    remark: str
    jobs: tuple[str, ...]


def channels_feed(board: Board) -> Feed[list[ChannelUsage]]:
    """Return the feed of the channels."""
    client = board.client
    pause_s = LOCAL_PAUSE_S if client.connection.is_local else PAUSE_S
    return board.feed(
        "channels", lambda: channel_usage(client.connection, client.stack), lambda _: pause_s
    )


def channel_rows(channels: list[ChannelUsage], listing: JobListing | None) -> list[ChannelRow]:
    """Return the channels with the running jobs that use them, as far as these are known."""
    jobs = [] if listing is None else [each for each in listing.jobs if each.status in RUNNING]
    users = [(facts_of(each)["channel"], each.name) for each in jobs]
    return [
        ChannelRow(
            each.channel.name,
            each.channel.service,
            each.place,
            each.is_configured,
            each.usage.is_up,
            "" if each.is_configured else f"this stack has no {each.channel.lacking}",
            each.channel.patterns,
            each.usage.items,
            each.usage.n_bytes,
            remark(each.usage),
            tuple(name for channel, name in users if channel == each.channel.name),
        )
        for each in channels
    ]


def state_text(row: ChannelRow) -> str:
    """Return whether jobs can use it now, for a cell; what is not known is not said to be up."""
    if not row.is_configured:
        return "absent"
    return {True: "up", False: "not up", None: "not known"}[row.is_up]


def items_text(row: ChannelRow) -> str:
    """Return the number of keys, for a cell."""
    return "–" if row.items is None else f"{row.items:,}"


def bytes_text(row: ChannelRow) -> str:
    """Return the bytes in use, for a cell."""
    return "–" if row.n_bytes is None else size(row.n_bytes)


def remark(usage: Usage) -> str:
    """Return how old the numbers are, or why there are none."""
    time = f"at {usage.counted_at:%H:%M} UTC" if usage.counted_at else ""
    return ", ".join(filter(None, [usage.remark, time]))
