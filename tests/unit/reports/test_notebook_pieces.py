"""Pieces of notebooks about runs: complete, escaped, without scripts, and the same as text."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from msgspec import structs

from stepml.client import LogLine, LogLines
from stepml.client.tabular import Epochs
from stepml.reports import courses
from stepml.reports.attempt_table import attempt_table, function_table
from stepml.reports.compared_runs import ComparedRuns
from stepml.reports.fragments import Page, fragment
from stepml.reports.run_card import run_card, run_text
from stepml.reports.run_plot import run_figure
from stepml.reports.run_progress import RunProgress
from stepml.reports.run_record import RunRecord
from stepml.reports.tables import MOST_LINES, MOST_ROWS, Table, TableRow
from tests.support.run_records import HOSTILE, failed_record, run_record

RUNNING = replace(run_record(n_epochs=2), status="RUNNING", ended_at=None, final=None)
RECORDS = {
    "whole": run_record(),
    "failed": failed_record(),
    "running": RUNNING,
    "not started": RunRecord("new", "RUNNING", job="{"),
    "refused": RunRecord("refused", "FAILED", job="{", failure=failed_record().failure),
}


def card(record: RunRecord) -> tuple[str, str]:
    progress = RunProgress.of_record(record)
    return fragment(run_card(progress)), run_text(progress)


def tags(html: str) -> set[str]:
    """Return the tags of well-formed HTML, outside of its styles."""
    body = re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    return {each.tag for each in ElementTree.fromstring(body).iter()}


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_a_card_says_as_html_and_as_text_how_a_run_stands(record: RunRecord) -> None:
    html, text = card(record)
    status = RunProgress.of_record(record).status
    for form in (html, text):
        assert record.job_id in form
        assert status in form
        assert ("accuracy" in form) == bool(record.epochs)
        assert ("BadRowError" in form) == (record.failure is not None)
    assert ("svg" in tags(html)) == (len(record.epochs) > 1)


@pytest.mark.parametrize(
    ("record", "share"),
    [(RUNNING, "66.7%"), (run_record(), "100.0%"), (RECORDS["not started"], "0.0%")],
)
def test_the_bar_is_as_long_as_the_work_done(record: RunRecord, share: str) -> None:
    assert f'style="width:{share}"' in card(record)[0]


@pytest.mark.parametrize(("error", "helps"), [("BadRowError", False), ("PeerLostError", True)])
def test_a_card_offers_a_retry_where_it_can_help(error: str, helps: bool) -> None:
    record = failed_record()
    assert record.failure is not None
    for form in card(replace(record, failure=replace(record.failure, error=error))):
        assert "run.logs(rank=1)" in form
        assert ("run.retry()" in form) == helps


@pytest.mark.parametrize("record", [run_record(text=HOSTILE), failed_record(text=HOSTILE)])
def test_hostile_text_is_shown_as_text(record: RunRecord) -> None:
    line = LogLine("1", 0, HOSTILE, "ERROR", HOSTILE, 1, 0, {HOSTILE: HOSTILE})
    other = replace(record, job_id=HOSTILE, environment={HOSTILE: HOSTILE})
    pieces = [
        card(record)[0],
        Epochs(record.attempts)._repr_html_(),
        LogLines([line])._repr_html_(),
        ComparedRuns([record, other])._repr_html_(),
    ]
    for html in pieces:
        assert not {"script", "img", "b", "link"} & tags(html)
    page = Page(f"<p>{HOSTILE}</p>", HOSTILE)._repr_html_()
    assert tags(page) == {"div", "iframe"}
    assert 'sandbox=""' in page


def test_every_attempt_has_a_row_and_the_failed_ones_their_error() -> None:
    record = failed_record(text="line 17")
    table = attempt_table(record.attempts)
    assert [row.cells[:2] for row in table.rows] == [
        [str(each.epoch), str(each.number)] for each in record.attempts
    ]
    failed = [row.cells[-1] for row in table.rows if row.colour == "bad"]
    assert failed == ["rank 1: Runtime.ExitError: line 17", "rank 1: BadRowError: line 17"]


def test_every_function_has_a_row_with_the_parts_that_took_time() -> None:
    record = run_record(n_ranks=2, n_epochs=1)
    table = function_table({each.epoch: each.functions for each in record.epochs})
    assert [row.cells[1] for row in table.rows] == [
        *("rank 0", "rank 1", "merger of chunk 0", "merger of chunk 1"),
        "reducer",
    ]
    assert "wait" in table.header
    assert "cold start" not in table.header


def test_the_seconds_of_calls_that_were_killed_have_a_column() -> None:
    functions = list(run_record(n_ranks=3, n_epochs=2).epochs[1].functions)
    killed = structs.replace(functions[0], start=functions[0].start + 12, calls=2)
    paused = structs.replace(functions[1], calls=2)  # its start is that of its first call
    table = function_table({2: [killed, paused, *functions[2:]]})
    at = table.header.index("earlier calls")
    assert [row.cells[at] for row in table.rows[:3]] == ["12.000", "", ""]
    assert [row.cells[at + 1] for row in table.rows[:3]] == ["0.080"] * 3


def test_of_long_tables_the_middle_is_left_out() -> None:
    rows = [TableRow([str(number), "a\nb" * 200]) for number in range(1000)]
    table = Table(["number", "text"], rows, frozenset({"text"}))
    lines = table.text().splitlines()
    assert len(lines) == MOST_LINES + 2
    assert max(map(len, lines)) <= 120
    assert [lines[1].split()[0], lines[-1].split()[0]] == ["0", "999"]
    assert table.html().count("<tr") == MOST_ROWS + 2


def test_a_page_is_saved_where_it_is_wanted(tmp_path: Path) -> None:
    path = Page("half of a pair: \ud800", "odd").save(tmp_path / "new" / "page.html")
    assert path.read_bytes() == b"half of a pair: \\ud800"


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_a_plot_shows_itself_with_a_panel_for_each_kind_of_value(record: RunRecord) -> None:
    figure = run_figure(record, courses.DOLLAR)
    picture, size = figure._repr_png_()
    assert picture.startswith(b"\x89PNG")
    assert size["width"] > size["height"]
    panels = [each.get_title() for each in figure.axes]
    whole = ["loss", "on the validation rows", "seconds of the median rank"]
    assert panels == (whole if record.epochs else whole[:1])
    if record.epochs:
        assert [line.get_label() for line in figure.axes[0].lines] == ["validation", "training"]


def test_another_axis_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="by: expected one of epoch, second, dollar, got 'hour'"):
        courses.axis_named("hour")
