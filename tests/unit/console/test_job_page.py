"""The page of a job shows its facts where they belong, and sends only what has changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stepml.client.client import Client
from stepml.client.connection import Connection
from stepml.client.job_watch import JobLook
from stepml.console.board import Board
from stepml.console.calm import FEW, MOST_S, Calm
from stepml.console.compared import Compared
from stepml.console.jobs_board import JobNow
from stepml.console.pages.job import Chosen, JobView
from stepml.console.widgets.cells import Cell
from stepml.console.widgets.compared_jobs import ComparedJobs
from stepml.console.widgets.epochs_table import EpochsTable, FailedAttempts
from stepml.console.widgets.job_head import JobHead
from stepml.console.widgets.part import Part
from stepml.console.widgets.tags import Tag
from stepml.console.widgets.timeline import EpochChooser, Timeline
from stepml.graphs.marks import Mark
from stepml.records.execution import Execution, ExecutionState
from stepml.records.history import Phase
from stepml.reports.attempt_head import attempt_words
from stepml.reports.run_progress import RunProgress
from stepml.reports.run_record import RunRecord
from tests.support.clocks import HandClock
from tests.support.drawn import drawn
from tests.support.run_records import HOSTILE, START, resumed_record, run_record

ARN = "arn:aws:states:us-east-1:123456789012:execution:stepml-train:measured"


def job_now(record: RunRecord) -> JobNow:
    state = ExecutionState(
        Execution(record.job_id, ARN), record.status, START, record.ended_at, record.job, None, None
    )
    epochs = tuple(record.epochs)
    look = JobLook(state, Phase("RunEpoch"), record, epochs, len(epochs), None, True)
    return JobNow(look, RunProgress.of_record(record))


def running(n_epochs: int, **changed: Any) -> RunRecord:
    return replace(run_record(40, n_epochs), status="RUNNING", ended_at=None, final=None, **changed)


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Board:
    # The times of functions are read in a thread of the event loop, of which there is none here.
    monkeypatch.setattr("stepml.console.live.Place.follow", lambda *_: None)
    return Board(Client(Connection(None, "http://127.0.0.1:9")))  # type: ignore[arg-type]


def test_a_new_epoch_of_a_long_job_sends_little_and_no_news_send_nothing(board: Board) -> None:
    before, after = running(400), running(401)
    clock = HandClock()
    with drawn() as page:
        view = JobView(board, Chosen("measured", epoch="", sort=""), Calm(clock.monotonic))
        shown = job_now(before)
        view.show(shown)
        page.sent()
        view.show(shown)
        unchanged = page.sent()
        view.show(job_now(after))
        changed = page.sent()
        clock.sleep(MOST_S)
        view.show(job_now(after))
        drawn_again = page.sent()
    assert unchanged <= 2  # the time so far
    assert 0 < changed <= 40
    assert 0 < drawn_again <= 120  # charts as well


def test_a_new_epoch_draws_no_more_than_parts_of_the_page(board: Board) -> None:
    clock = HandClock()
    with drawn() as page:
        view = JobView(board, Chosen("measured"), Calm(clock.monotonic))
        view.show(job_now(running(400)))
        page.changed()
        view.show(job_now(running(401)))
        clock.sleep(MOST_S)
        view.show(job_now(running(402)))  # charts as well
        changed = page.changed()
        parts = [[each for each in tag.ancestors() if isinstance(each, Part)] for tag in changed]
    assert changed
    # Outside of any part, each change would draw the whole page.
    assert [tag.tag for tag, part in zip(changed, parts, strict=True) if not part] == []


@pytest.mark.parametrize(
    ("n_epochs", "changes", "is_due"),
    [
        (400, {}, False),
        (400, {"status": "SUCCEEDED"}, True),  # nothing comes after it
        (FEW, {}, True),
    ],
)
def test_charts_rest_while_a_long_job_runs(
    n_epochs: int, changes: dict[str, Any], is_due: bool
) -> None:
    clock = HandClock()
    calm = Calm(clock.monotonic)
    record = running(n_epochs)
    first, second = (job_now(replace(record, **each)).look for each in ({}, changes))
    assert calm.is_due(first)
    clock.sleep(0.9)
    assert not calm.is_due(first)
    assert calm.is_due(second) is is_due
    clock.sleep(MOST_S)
    assert calm.is_due(second) is not is_due


def test_the_rest_of_charts_begins_with_the_news() -> None:
    clock = HandClock()
    calm = Calm(clock.monotonic)
    assert calm.is_due(job_now(running(400)).look)
    clock.sleep(10 * MOST_S)
    news = job_now(running(401)).look
    assert not calm.is_due(news)
    clock.sleep(MOST_S)
    assert calm.is_due(news)


def test_the_rest_of_a_long_job_is_drawn_as_soon_as_it_is_read() -> None:
    look = job_now(running(400)).look
    calm = Calm(HandClock().monotonic)
    assert calm.is_due(replace(look, is_whole=False))
    assert calm.is_due(look)


def test_a_job_that_has_not_begun_has_a_page(board: Board) -> None:
    record = replace(running(1), attempts=[], spec=None, dataset=None)
    with drawn() as page:
        JobView(board, Chosen("measured", epoch="", sort="")).show(job_now(record))
        said = page.texts("p")
    assert said.count("No epoch has ended yet.") == 3


@pytest.mark.parametrize("status", ["FAILED", "RUNNING"])
def test_a_job_that_ended_before_its_first_epoch_has_no_empty_parts(
    board: Board, status: str
) -> None:
    record = replace(running(1), attempts=[], dataset=None, status=status)
    with drawn() as page:
        JobView(board, Chosen("measured")).show(job_now(record))
        said, titles, ways = page.texts("p"), page.texts("h2"), page.texts("a")
    epochs = {"Learning", "Time of the ranks", "Epochs", "Cost and time"}
    is_over = status == "FAILED"
    assert is_over == (not epochs & set(titles)) == (not epochs & set(ways))
    assert is_over == (not any("No epoch has" in text for text in said))
    assert {"States", "The job"} <= set(titles) & set(ways)


def test_the_failed_epoch_is_one_click_away() -> None:
    record = run_record(3, 4)
    with drawn() as page:
        FailedAttempts("measured").show(record)
        failed = record.failed_attempts[0]
        link = page.find("a", str(failed.epoch))
    assert link.props["href"] == f"/jobs/measured/epochs/{failed.epoch}?attempt={failed.number}"


def test_why_an_attempt_failed_is_text_and_not_too_long() -> None:
    with drawn() as page:
        FailedAttempts("measured").show(run_record(3, 4, text=f"{HOSTILE} {'x' * 10**6}"))
        texts = page.texts("span")
    assert any("<script>" in text for text in texts)
    assert max(map(len, texts)) < 400


def test_attempts_are_sorted_by_any_figure() -> None:
    record = run_record(3, 6)
    with drawn() as page:
        table = EpochsTable("measured", "-loss", 1, lambda **_: None)
        table.show(record)
        rows = [tag.text for tag in page.tags if tag.tag == "a"]
    by_loss = sorted(record.epochs, key=lambda each: -each.loss)
    assert rows[: len(by_loss)] == [str(each.epoch) for each in by_loss]


def test_a_timeline_marks_stragglers_and_changes_in_its_place() -> None:
    second, third = run_record(4, 4).epochs[1:3]  # the first one has cold starts
    with drawn() as page:
        timeline = Timeline("measured")
        timeline.show(second, second.functions)
        bars = {tag.id for tag in page.tags if tag.tag == "i"}
        timeline.show(third, third.functions)
        after = {tag.id for tag in page.tags if tag.tag == "i"}
        page.sent()
        timeline.show(third, third.functions)
        unchanged = page.sent()
        notes = [text for text in page.texts("td") if "straggler" in text]
        marked = [tag for tag in page.tags if "is-marked" in tag.classes]
    assert len(notes) == len(marked) == len(third.stragglers) > 0
    assert bars == after
    assert unchanged == 0


def test_a_bar_is_read_as_its_numbers() -> None:
    report = run_record(4, 1).epochs[0]
    with drawn() as page:
        Timeline("measured").show(report, report.functions)
        said = [str(tag.props.get("aria-label")) for tag in page.tags if tag.props.get("role")]
    assert any("compute 0.4 s" in text and "cold start 0.25 s" in text for text in said)


@pytest.mark.parametrize(
    ("given", "newest", "shown"), [(None, 7, 7), (3, 7, 3), (90, 7, 7), (None, 0, 0), (3, 0, 0)]
)
def test_the_timeline_is_of_the_chosen_epoch_or_the_newest(
    given: int | None, newest: int, shown: int
) -> None:
    with drawn():
        chooser = EpochChooser(given, lambda _: None)
        chooser.show(newest)
    assert chooser.epoch == shown


def test_a_resumed_job_says_whose_epochs_it_goes_on_with(board: Board) -> None:
    with drawn() as page:
        JobView(board, Chosen("measured")).show(job_now(resumed_record(5, 3)))
        said = page.texts("span")
        ways = [tag.props["href"] for tag in page.tags if tag.tag == "a" and tag.text == "earlier"]
    assert said.count("Epochs 1 to 3 are those of ") == 2  # in the head, and with the epochs
    assert ways == ["/jobs/earlier"] * 2


def test_what_is_chosen_is_in_the_address() -> None:
    chosen = Chosen("a", epoch="", sort="-loss")
    assert chosen.address(epoch=3) == "/jobs/a?epoch=3&sort=-loss"
    assert chosen.address(sort=None) == "/jobs/a"


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ("SUCCEEDED", "succeeded"),
        ("FAILED", "failed"),
        ("ABORTED", "stopped"),
        ("TIMED_OUT", "timed out"),
        ("RUNNING", "running"),
    ],
)
def test_a_status_is_the_same_word_everywhere(status: str, word: str) -> None:
    whole = run_record(text="no improvement")
    record = replace(whole, status=status, final=whole.final if status == "SUCCEEDED" else None)
    attempt = replace(record.attempts[-1], status=status)
    with drawn() as page:
        JobHead("measured").show(job_now(record))
        ComparedJobs(Compared(("measured",))).show(record)
        head, compared = (each.text for each in page.tags if f"status {status}" in classes(each))
        (line, *_) = page.texts("p")
    assert head == f"● {word}"
    assert Cell.of_status(status).text == compared == Mark(status).words == word  # type: ignore[arg-type]
    assert attempt_words(attempt, 1) == f"{word}, attempt 1 of 1"
    assert ("converged: no improvement" in line) == (status == "SUCCEEDED")


def classes(tag: Tag) -> str:
    return " ".join(tag.classes)
