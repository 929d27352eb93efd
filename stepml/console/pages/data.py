"""The data in the stack's bucket: folders, objects, and what a job takes them for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nicegui import ui

from stepml.client.stored_folders import FolderPage, FolderSize
from stepml.console.addresses import DATA, data_address, new_address
from stepml.console.board import Board
from stepml.console.data_board import (
    Entry,
    Understanding,
    entries_of,
    folder_feed,
    sizes_feed,
    understanding_feed,
)
from stepml.console.frame import frame
from stepml.console.live import Place, live
from stepml.console.widgets.notices import Notice
from stepml.console.widgets.table import Cell, Column, Table
from stepml.console.widgets.tags import Tag, button, copy_button, link
from stepml.job import keys
from stepml.job.places import DATA as OWN
from stepml.job.places import absolute
from stepml.reports.figures import count, size
from stepml.reports.pages import time_text

ROOTS = {OWN: "your data", "datasets/": "partitioned data sets", keys.CODE: "code"}
ColumnFact = tuple[int, str, str, int, str]


def register(board: Board) -> None:
    """Serve the view."""

    @ui.page(DATA)
    def view(folder: str = OWN, place: str = "", after: str = "") -> None:
        title = place or ("Data" if folder == OWN else folder)
        with frame(board, title, DATA):
            if not (place or folder).startswith(tuple(ROOTS)):
                Notice().empty(f"Data are below {', '.join(ROOTS)}; got {place or folder}.")
            elif place:
                _path(place)
                _understanding(board, place)
            else:
                _path(folder)
                Folder(board, folder, after)


def _path(place: str) -> None:
    """Show the way to a place: links to the folders in which it is."""
    with Tag("nav", classes="crumbs", aria_label="Folders"):
        for root, name in ROOTS.items():
            current = "page" if place == root else None
            link(name, data_address(root), aria_current=current)
    parts = place.rstrip("/").split("/")
    if len(parts) < 2:
        return
    with Tag("nav", classes="crumbs", aria_label="Path"):
        for depth, name in enumerate(parts[:-1], 1):
            link(f"{name}/", data_address("/".join(parts[:depth]) + "/"))
        Tag("span", parts[-1] + ("/" if place.endswith("/") else ""))


class Folder:
    """The direct contents of a folder.

    Parameters
    ----------
    board : Board
    folder : str
        Its prefix.
    after : str
        The token of a later page; "" for the first one.
    """

    def __init__(self, board: Board, folder: str, after: str) -> None:
        self._board, self._folder = board, folder
        self._page = FolderPage(folder, (), (), None)
        self._counted: dict[str, FolderSize] = {}
        self._followed: tuple[str, ...] = ()
        if folder != OWN and folder.startswith(OWN):
            _whole(folder)
        self._empty = Notice()
        self._table = Table(_columns(folder), lambda each: each.place, f"What is in {folder}")
        with Tag("nav", classes="pager", aria_label="More of this folder"):
            first = link("First page", data_address(folder))
            first.set_visibility(bool(after))
            self._next = link("Next page", data_address(folder))
            self._next.set_visibility(False)
        self._sizes: Place[dict[str, FolderSize]] = Place(self._count)
        live(folder_feed(board, folder, after or None), "the folder", self._show)

    def _show(self, page: FolderPage) -> None:
        self._page = page
        self._draw()
        self._next.put(href=data_address(self._folder, after=page.next))
        self._next.set_visibility(page.next is not None)
        if page.folders and page.folders != self._followed:
            self._followed = page.folders
            self._sizes.follow(sizes_feed(self._board, page.folders), "the sizes of folders")

    def _count(self, sizes: dict[str, FolderSize]) -> None:
        self._counted = sizes
        self._draw()

    def _draw(self) -> None:
        entries = entries_of(self._page, self._counted)
        self._table.show(entries)
        if entries:
            self._empty.clear()
        else:
            self._empty.empty(_nothing_in(self._folder))


def _nothing_in(folder: str) -> str:
    if folder.startswith(OWN):
        return f"Nothing is in {folder}. Upload a file or folder with: stepml data put PATH"
    return f"Nothing is in {folder}. Jobs write here."


def _columns(folder: str) -> list[Column[Entry]]:
    columns: list[Column[Entry]] = [
        Column("name", "Name", lambda each: _name(each, folder), lambda each: each.place),
        Column(
            "objects", "Objects", _objects, lambda each: each.stored and each.stored.n_objects, True
        ),
        Column("size", "Size", _size, lambda each: each.stored and each.stored.n_bytes, True),
        Column("written", "Written", _written, lambda each: each.newest),
    ]
    if folder.startswith(OWN):
        columns.append(Column("train", "New job", _train))
    return columns


def _name(entry: Entry, folder: str) -> Cell:
    own = entry.place.removeprefix(folder)
    if entry.is_folder:
        return Cell(own, data_address(entry.place), "wide")
    is_data = folder.startswith(OWN)
    return Cell(own, data_address(place=entry.place) if is_data else None, "wide")


def _objects(entry: Entry) -> Cell:
    if entry.stored is None:
        return Cell("…")
    return Cell(f"{'' if entry.is_whole else 'over '}{entry.stored.n_objects:,}")


def _size(entry: Entry) -> Cell:
    if entry.stored is None:
        return Cell("…")
    return Cell(f"{'' if entry.is_whole else 'over '}{size(entry.stored.n_bytes)}")


def _written(entry: Entry) -> Cell:
    return Cell(time_text(entry.newest) if entry.newest else "…", classes="whole")


def _train(entry: Entry) -> Cell:
    name = entry.place.rstrip("/").split("/")[-1]
    return Cell(f"train on {name}", new_address(uri=entry.place), "wide")


def _whole(folder: str) -> None:
    with Tag("p", classes="actions"):
        link("Look at the whole folder as one data set", data_address(place=folder))


def _understanding(board: Board, place: str) -> None:
    with Tag("div", classes="actions"):
        link("Train on this", new_address(uri=place), "button main")
        copy_button("Copy the URI", absolute(place, board.client.stack.bucket))
        button("Read again", lambda: board.refresh(("understanding", place)))
    shown = _Understood()
    live(understanding_feed(board, place), "the first rows", shown.show)


class _Understood:
    """A job's understanding of data."""

    def __init__(self) -> None:
        self._problem = Notice()
        self._body = ui.element("div")

    def show(self, found: Understanding) -> None:
        self._body.clear()
        if found.problem:
            self._problem.failed(f"A job would refuse this: {found.problem}")
            return
        self._problem.clear()
        with self._body:
            Tag("h2", "What a job takes it for")
            with Tag("ul"):
                for each in (*found.facts, *found.remarks):
                    Tag("li", each)
            if found.rows:
                Tag("h2", f"The first {count(len(found.rows), 'row')}")
                _rows(found)
            if found.columns:
                Tag("h2", count(len(found.columns), "column"))
                columns: Table[ColumnFact] = Table(_FACTS, lambda each: each[0], "Columns")
                columns.show(found.columns)


def _rows(found: Understanding) -> None:
    columns: list[Column[Any]] = [
        Column(str(at), name or str(at + 1), _value(at), is_number=True)
        for at, name in enumerate(found.names)
    ]
    table: Table[tuple[int, tuple[str, ...]]] = Table(columns, lambda row: row[0], "The first rows")
    table.show(list(enumerate(found.rows)))


def _value(at: int) -> Any:
    return lambda row: Cell(row[1][at] if at < len(row[1]) else "")


def _facts() -> Iterator[Column[ColumnFact]]:
    yield Column("number", "#", lambda each: Cell(f"{each[0]:,}"), lambda each: each[0], True)
    yield Column("name", "Name", lambda each: Cell(each[1]), lambda each: each[1])
    yield Column("type", "Type", lambda each: Cell(each[2]), lambda each: each[2])
    yield Column(
        "missing",
        "Missing",
        lambda each: Cell(f"{each[3]:,}" if each[3] else "–"),
        lambda each: each[3],
        True,
    )
    yield Column("values", "Values", lambda each: Cell(each[4]))


_FACTS = list(_facts())
