"""Pages of data: folders with the sizes that are known, and rows as text."""

from __future__ import annotations

from collections.abc import Hashable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from stepml.client.client import Client
from stepml.client.connection import Connection
from stepml.client.data_places import local_place
from stepml.client.data_views import view_of
from stepml.client.stored import Stored
from stepml.client.stored_folders import FolderPage, FolderSize
from stepml.console.board import Board
from stepml.console.data_board import WIDEST_CELL, entries_of, in_words, understanding
from stepml.console.feeds import Feed, Reading
from stepml.console.pages.data import Folder
from stepml.job.data import Data
from tests.support.drawn import drawn
from tests.support.moto_stack import MotoStack

THEN = datetime(2026, 1, 2, tzinfo=UTC)
HOSTILE = '"<script>alert(1)</script>\x1b[2J' + "x" * 1000 + '"'


def test_folders_come_first_and_are_counted_later() -> None:
    size = Stored("data/b/", 10_000, 7, THEN)
    page = FolderPage("data/", ("data/a/", "data/b/"), (Stored("data/c.csv", 1, 2, THEN),), None)
    found = entries_of(page, {"data/b/": FolderSize(size, is_whole=False)})
    assert [(each.place, each.is_whole) for each in found] == [
        ("data/a/", True),
        ("data/b/", False),
        ("data/c.csv", True),
    ]
    assert [each.newest for each in found] == [None, THEN, THEN]


def test_a_folder_that_another_tab_shows_is_there_at_once() -> None:
    board = Board(Client(Connection(None, "http://127.0.0.1:9")))  # type: ignore[arg-type]
    page = FolderPage("data/", ("data/a/",), (), None)
    sizes = {"data/a/": FolderSize(Stored("data/a/", 5, 7, THEN), is_whole=True)}
    known: dict[Hashable, object] = {
        ("folder", "data/", None): page,
        ("sizes", page.folders): sizes,
    }
    for key, value in known.items():
        feed: Feed[object] = board.feed(key, partial(dict.get, known, key), lambda _: None)
        feed.reading = Reading(value, read_at=THEN)
    with drawn() as shown:
        shown.call(lambda: Folder(board, "data/", ""))
        assert "a/" in shown.texts("a")
        assert "7 B" in shown.texts("td")
        assert not [each for each in shown.texts("p") if "defect" in each]


def test_rows_are_short_text_without_control_characters(tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text(f"a,name\n1,{HOSTILE}\n2,plain\n")
    place = local_place(rows)
    found = in_words(view_of(place, Data(uri=place.uri), 5))
    assert found.names == ("name", "a")
    assert len(found.rows) == 2
    cells = [cell for row in found.rows for cell in row]
    assert all(each.isprintable() and len(each) <= WIDEST_CELL for each in cells)
    assert [each[1] for each in found.columns] == ["a"]


def test_data_that_a_job_would_refuse_say_why(stack: MotoStack) -> None:
    stack.put("data/odd.csv", b"nonsense")
    board = Board(stack.client())
    assert "data/odd.csv" in understanding(board, "data/odd.csv").problem
    assert "nothing lies at" in understanding(board, "data/none.csv").problem
