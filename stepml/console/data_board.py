"""The data of a stack for pages: folders of the bucket, and what a job takes an object for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from stepml.client.data_places import bucket_place
from stepml.client.data_views import (
    DataView,
    column_names,
    label_words,
    left_out,
    remarks,
    summary,
    values_in_words,
    view_of,
    weight_words,
)
from stepml.client.stored import Stored
from stepml.client.stored_folders import FolderPage, FolderSize, folder_page, folder_size
from stepml.console.board import Board
from stepml.console.feeds import Feed
from stepml.job.data import Data
from stepml.job.errors import InvalidDataError, InvalidJobError, StorageError
from stepml.job.places import absolute
from stepml.job.printable import printable
from stepml.reports.figures import shortened

LIST_PAUSE_S, COUNT_PAUSE_S = 15.0, 120.0
COUNTED_AT_ONCE = 4  # folders
FIRST_ROWS = 10
MOST_COLUMNS, WIDEST_CELL = 50, 40  # of the first rows
MOST_LISTED = 2_000  # columns


@dataclass(frozen=True, slots=True)
class Entry:
    """An object, or a folder, whose size may not be known yet.

    Attributes
    ----------
    place : str
        Its key; a folder ends with a slash.
    stored : Stored or None
        Its objects; None: they are being counted.
    is_whole : bool
        False: there are more than were counted.
    """

    place: str
    stored: Stored | None
    is_whole: bool = True

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.place.endswith("/")

    @property
    def newest(self) -> datetime | None:
        """The time at which the last of its objects was written."""
        return self.stored.newest if self.stored else None


@dataclass(frozen=True, slots=True)
class Understanding:
    """The understanding that a job has of data, in words.

    Attributes
    ----------
    problem : str
        Why a job would refuse them; empty if it would not.
    facts : tuple of str
    columns : tuple of tuple
        The number, name, type, missing values and values of each.
    names : tuple of str
        Of the values in a row.
    rows : tuple of tuple of str
        The first ones.
    remarks : tuple of str
    """

    problem: str = ""
    facts: tuple[str, ...] = ()
    columns: tuple[tuple[int, str, str, int, str], ...] = ()
    names: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    remarks: tuple[str, ...] = ()


def folder_feed(board: Board, prefix: str, token: str | None) -> Feed[FolderPage]:
    """Return the feed of what is directly in a folder."""
    client = board.client
    return board.feed(
        ("folder", prefix, token),
        lambda: folder_page(client.connection, client.stack.bucket, prefix, token),
        lambda _: LIST_PAUSE_S,
    )


def sizes_feed(board: Board, folders: tuple[str, ...]) -> Feed[dict[str, FolderSize]]:
    """Return the feed of the sizes of folders."""
    return board.feed(("sizes", folders), lambda: _sizes(board, folders), lambda _: COUNT_PAUSE_S)


def understanding_feed(board: Board, place: str) -> Feed[Understanding]:
    """Return the feed of what a job takes an object, or a folder, for."""
    return board.feed(("understanding", place), lambda: understanding(board, place), lambda _: None)


def entries_of(page: FolderPage, sizes: dict[str, FolderSize]) -> list[Entry]:
    """Return the contents of a folder: its folders first, with the sizes that are known."""
    found = []
    for each in page.folders:
        if (size := sizes.get(each)) is None:
            found.append(Entry(each, None))
        else:
            found.append(Entry(each, size.stored, size.is_whole))
    return found + [Entry(each.place, each) for each in page.objects]


def understanding(board: Board, place: str) -> Understanding:
    """Return a job's understanding of the data at a place in the stack's bucket."""
    own = board.client.stack.bucket
    uri = absolute(place, own)
    try:
        data = bucket_place(board.client.connection, uri, own)
        return in_words(view_of(data, Data(uri=uri), FIRST_ROWS))
    except (InvalidDataError, InvalidJobError, StorageError) as error:
        return Understanding(problem=str(error))


def in_words(view: DataView) -> Understanding:
    """Return a view of data in words, without the data."""
    facts = [", ".join(summary(view)), label_words(view), weight_words(view) or ""]
    if dropped := left_out(view):
        facts.append(f"left out: {', '.join(dropped[:MOST_COLUMNS])}")
    names = column_names(view) or [""] * max(map(len, view.first), default=0)
    return Understanding(
        "",
        tuple(printable(each) for each in facts if each),
        tuple(
            (each.column + 1, printable(each.name), each.kind, each.missing, values_in_words(each))
            for each in view.columns[:MOST_LISTED]
        ),
        tuple(map(_cell, names[:MOST_COLUMNS])),
        tuple(tuple(map(_cell, row[:MOST_COLUMNS])) for row in view.first),
        tuple(printable(each) for each in remarks(view)),
    )


def _cell(text: str) -> str:
    return shortened(printable(text), WIDEST_CELL)


def _sizes(board: Board, folders: tuple[str, ...]) -> dict[str, FolderSize]:
    client = board.client

    def size(folder: str) -> FolderSize:
        return folder_size(client.connection, client.stack.bucket, folder)

    with ThreadPoolExecutor(COUNTED_AT_ONCE) as threads:
        return dict(zip(folders, threads.map(size, folders), strict=True))
