"""The channels: which ones this stack has, what is in use of them, and by which jobs."""

from __future__ import annotations

from nicegui import ui

from stepml.client.channel_usage import ChannelUsage
from stepml.client.job_list import JobListing
from stepml.console.addresses import CHANNELS, JOBS, view_address
from stepml.console.board import Board
from stepml.console.channels_board import (
    ChannelRow,
    bytes_text,
    channel_rows,
    channels_feed,
    items_text,
    state_text,
)
from stepml.console.frame import frame
from stepml.console.jobs_board import jobs_feed
from stepml.console.jobs_shown import Asked
from stepml.console.live import live
from stepml.console.widgets.table import Cell, Column, Table
from stepml.console.widgets.tags import Tag
from stepml.reports.figures import count

ABOUT = (
    "Ranks exchange their updates through a channel: exchange.channel of a job. Keys and bytes are "
    "those that the service itself, or CloudWatch, counts."
)


def register(board: Board) -> None:
    """Serve the view."""

    @ui.page(CHANNELS)
    def view() -> None:
        with frame(board, "Channels", CHANNELS):
            _Channels(board)


class _Channels:
    def __init__(self, board: Board) -> None:
        self._channels: list[ChannelUsage] = []
        self._listing: JobListing | None = None
        Tag("p", ABOUT, "soft")
        self._table = Table(_columns(), lambda each: each.name, "Channels")
        live(channels_feed(board), "the channels", self._count)
        live(jobs_feed(board, Asked(status="RUNNING")), "the running jobs", self._list)

    def _count(self, channels: list[ChannelUsage]) -> None:
        self._channels = channels
        self._draw()

    def _list(self, listing: JobListing) -> None:
        self._listing = listing
        self._draw()

    def _draw(self) -> None:
        self._table.show(channel_rows(self._channels, self._listing))


def _columns() -> list[Column[ChannelRow]]:
    return [
        Column("name", "Channel", lambda each: Cell(each.name, classes="whole")),
        Column("state", "Here", _state),
        Column("place", "Service", lambda each: Cell(_service(each), classes="wide")),
        Column("items", "Keys", lambda each: Cell(items_text(each)), lambda each: each.items, True),
        Column(
            "bytes", "Bytes", lambda each: Cell(bytes_text(each)), lambda each: each.n_bytes, True
        ),
        Column("jobs", "Running jobs", _jobs, lambda each: len(each.jobs)),
        Column("patterns", "Patterns", lambda each: Cell(", ".join(each.patterns), classes="wide")),
        Column("remark", "Counted", lambda each: Cell(each.remark or each.lacking, classes="wide")),
    ]


def _state(row: ChannelRow) -> Cell:
    return Cell(state_text(row), classes="good whole" if row.is_up else "soft whole")


def _service(row: ChannelRow) -> str:
    return f"{row.service} {row.place}".strip()


def _jobs(row: ChannelRow) -> Cell:
    if not row.jobs:
        return Cell("none")
    address = view_address(JOBS, channel=row.name, status="RUNNING")
    return Cell(count(len(row.jobs), "job"), address)
