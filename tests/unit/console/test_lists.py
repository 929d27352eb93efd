"""Lists and charts keep their elements, and send only what has changed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from nicegui import ui

from stepml.client.client import Client
from stepml.client.connection import Connection
from stepml.client.job_list import JobListing
from stepml.client.listing import JobSummary
from stepml.console.board import Board
from stepml.console.compared import Compared
from stepml.console.jobs_shown import JobsShown
from stepml.console.pages.compare import CompareView
from stepml.console.pages.jobs import JobsView
from stepml.console.widgets.charts import LineChart
from stepml.console.widgets.table import Cell, Column, Selection, Table
from stepml.reports.charts import Series
from stepml.reports.comparison import compare
from stepml.reports.run_record import RunRecord
from tests.support.drawn import Drawn, drawn
from tests.support.run_records import HOSTILE, failed_record, run_record
from tests.unit.console.test_jobs_shown import ENDED, FAILED, INVALID

Row = tuple[str, int | None]
COLUMNS: list[Column[Row]] = [
    Column("name", "Name", lambda row: Cell(row[0], f"/{row[0]}"), lambda row: row[0]),
    Column("size", "Size", lambda row: Cell(str(row[1])), lambda row: row[1], True),
]


def table(page_rows: int = 25, selection: Selection | None = None) -> Table[Row]:
    return Table(COLUMNS, lambda row: row[0], "Rows", page_rows=page_rows, selection=selection)


def press(page: Drawn, text: str) -> None:
    """Press a button as the browser does."""
    made = page.find("button", text)
    (listener,) = [each for each in made._event_listeners.values() if each.type == "click"]
    made._handle_event({"listener_id": listener.id, "args": []})


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Board:
    # Pages follow feeds in an event loop, of which there is none here.
    monkeypatch.setattr("stepml.console.live.Place.follow", lambda *_: None)
    monkeypatch.setattr(ui, "timer", lambda *_: None)
    return Board(Client(Connection(None, "http://127.0.0.1:9")))  # type: ignore[arg-type]


def test_a_row_is_changed_in_its_place_and_no_news_send_nothing() -> None:
    with drawn() as page:
        shown = table()
        shown.show([("a", 1), ("b", 2)])
        link = page.find("a", "b")
        page.sent()
        shown.show([("a", 1), ("b", 2)])
        assert page.sent() == 0
        shown.show([("a", 1), ("b", 3)])
        assert page.sent() == 1
        shown.show([("new", 0), ("b", 3)])
        assert page.find("a", "b") is link
        assert set(page.texts("a")) == {"b", "new"}


def test_a_heading_sorts_and_then_gives_the_order_back() -> None:
    rows: list[Row] = [("b", 2), ("c", None), ("a", 3)]
    with drawn() as page:
        shown = table(page_rows=1)
        shown.show(rows)
        seen = []
        for _ in range(4):
            seen.append(page.texts("a"))
            press(page, "Size")
    assert seen == [["b"], ["b"], ["a"], ["b"]]


def test_pages_are_turned_and_the_last_one_may_go() -> None:
    with drawn() as page:
        shown = table(page_rows=2)
        shown.show([(str(n), n) for n in range(5)])
        press(page, "Next")
        press(page, "Next")
        assert page.texts("a") == ["4"]
        shown.show([(str(n), n) for n in range(3)])
        assert page.texts("a") == ["2"]
        press(page, "Previous")
        assert page.texts("a") == ["0", "1"]


def test_a_link_may_come_and_go() -> None:
    column: Column[Cell] = Column("cell", "Cell", lambda cell: cell)
    with drawn() as page:
        shown = Table([column], lambda _: 0, "Cells")
        for cell in (Cell("text"), Cell("text", "/there", note="more"), Cell("text", share=0.5)):
            shown.show([cell])
            assert page.texts("a") == (["text"] if cell.address else [])
            assert ("more" in page.texts("span")) == bool(cell.note)


def test_ticked_rows_stay_ticked_on_other_pages() -> None:
    chosen: list[int] = []
    selection = Selection(["9"], lambda: chosen.append(len(selection.chosen)))
    with drawn() as page:
        shown = table(2, selection)
        shown.show([(str(n), n) for n in range(4)])
        selection.tick("0", True)
        selection.tick("9", False)
        press(page, "Next")
        press(page, "Previous")
        boxes = [each for each in page.tags if each.tag == "input"]
    assert [each.props.get("checked") for each in boxes] == [True, None]
    assert chosen == [2, 1]


def test_a_chart_without_news_sends_nothing() -> None:
    falling = Series("loss", [(1, 0.5), (2, 0.4)])
    with drawn() as page:
        chart = LineChart("Loss", "epoch")
        assert page.texts("p") == ["No values yet."]
        chart.show([falling])
        assert page.texts("p") == []
        page.sent()
        chart.show([Series("loss", [(1, 0.5), (2, 0.4)])])
        assert page.sent() == 0
        chart.show([Series("loss", [*falling.points, (3, 0.3)])])
        assert page.sent() == 1


def test_jobs_are_shown_with_their_errors_and_a_new_one_sends_its_row(board: Board) -> None:
    old = [FAILED, INVALID, *(replace(ENDED, name=f"job-{n}") for n in range(10))]
    with drawn() as page:
        view = JobsView(board, JobsShown())
        view.show(JobListing(tuple(old)))
        assert any(text.startswith("rank 3: BadRowError") for text in page.texts("span"))
        assert "12 jobs" in page.texts("p")
        page.sent()
        view.show(JobListing((ENDED, *old)))
        assert 0 < page.sent() < 80
        assert "13 jobs" in page.texts("p")


@pytest.mark.parametrize(
    ("shown", "jobs", "said"),
    [
        (JobsShown(), (), "There are no jobs yet. Start one: "),
        (JobsShown(status="FAILED"), (), "No job is like this. "),
        (JobsShown(text="nothing"), (ENDED,), "None of the newest 1 job is like this. "),
    ],
)
def test_an_empty_list_says_what_to_do(
    board: Board, shown: JobsShown, jobs: tuple[JobSummary, ...], said: str
) -> None:
    with drawn() as page:
        JobsView(board, shown).show(JobListing(jobs, has_older=bool(jobs)))
        assert said in page.texts("span")
        assert not page.texts("caption")


def test_jobs_are_compared_before_all_are_read_and_update_in_place(board: Board) -> None:
    names = ("first", "second", "third")
    known = [
        replace(run_record(), job_id="second"),
        replace(failed_record(HOSTILE), job_id="third"),
    ]
    with drawn() as page:
        view = CompareView(board, Compared(names, by="second"))
        view.show(compare([RunRecord("first", ""), *known]))
        assert page.texts("b") == ["A", "B", "C"]
        results = page.find("h2", "Results")
        page.sent()
        view.show(compare([RunRecord("first", ""), *known]))
        assert page.sent() == 0
        view.show(compare([replace(run_record(), job_id="first"), *known]))
        assert page.find("h2", "Results") is results
