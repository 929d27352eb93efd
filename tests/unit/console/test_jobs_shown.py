"""The jobs that the list shows, and their order."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

import pytest

from stepml.client.listing import JobSummary
from stepml.console.jobs_shown import PORTION, Asked, JobsShown
from stepml.console.widgets.job_columns import job_columns
from stepml.console.widgets.table import in_order
from stepml.job.parse import parse_job
from stepml.records.failures import Failure, first_failure
from tests.support.moto_stack import JOB_TEXT, epoch_report

NOW = datetime(2026, 11, 30, 8, 0, tzinfo=UTC)
ENDED = JobSummary(
    name="digits-1",
    status="SUCCEEDED",
    started_at=NOW,
    ended_at=NOW,
    spec=parse_job(JOB_TEXT),
    epochs=1,
    report=epoch_report(1, last=True),
    cost_usd=0.5,
)
FAILED = replace(
    ENDED,
    name="Digits-2",
    status="FAILED",
    report=None,
    failure=Failure("BadRowError", "line 7 has <b>two</b>\nlabels", 3),
)
INVALID = replace(FAILED, name="other", spec=None, failure=None, cost_usd=None)
JOBS = [INVALID, FAILED, ENDED]


@pytest.mark.parametrize(
    ("shown", "found"),
    [
        (JobsShown(), JOBS),
        (JobsShown(status="FAILED"), [INVALID, FAILED]),
        (JobsShown(text="digits"), [FAILED, ENDED]),
        (JobsShown(text=" labels  DIGITS"), [FAILED]),
        (JobsShown(model="logistic_regression"), [FAILED, ENDED]),
        (JobsShown(channel="redis"), []),
    ],
)
def test_a_job_is_shown_if_it_is_like_all_choices(
    shown: JobsShown, found: list[JobSummary]
) -> None:
    assert shown.of(JOBS) == found


@pytest.mark.parametrize(
    "shown",
    [
        JobsShown(),
        JobsShown("FAILED", "kmeans", "s3", "a & b = <c>", "-cost", 3, 2, ("one", "two")),
    ],
)
def test_an_address_has_all_choices(shown: JobsShown) -> None:
    query = dict(parse_qsl(urlsplit(shown.address).query))
    assert JobsShown.of_query(query) == shown


@pytest.mark.parametrize(
    "query",
    [{"page": "-1"}, {"page": "x"}, {"older": "1e9"}, {"status": "odd"}, {"page": "9" * 99}],
)
def test_an_address_with_mistakes_is_one_without_choices(query: dict[str, str]) -> None:
    assert JobsShown.of_query(query) == JobsShown()


def test_a_change_begins_at_the_first_page() -> None:
    shown = JobsShown(page=3)
    assert shown.with_(status="FAILED").page == 1
    assert shown.with_(page=4).page == 4


def test_older_jobs_are_asked_for_by_number_or_by_the_longest_word() -> None:
    assert JobsShown(text="a").asked == Asked()
    assert JobsShown(older=2).asked == Asked(3 * PORTION)
    assert JobsShown("FAILED", text="of digits", older=1).asked == Asked(
        PORTION, "FAILED", "digits"
    )


@pytest.mark.parametrize("sign", ["", "-"])
def test_jobs_without_a_value_come_last(sign: str) -> None:
    for column in job_columns():
        if column.order is not None:
            found = in_order(job_columns(), sign + column.key, JOBS)
            values = [column.order(each) for each in found]
            known = [value for value in values if value is not None]
            assert values == known + [None] * (len(values) - len(known))
            assert known == sorted(known, reverse=bool(sign))


def test_every_cell_of_every_job_is_a_text() -> None:
    cells = {job.name: [column.cell(job) for column in job_columns()] for job in JOBS}
    assert cells["Digits-2"][0].note == "rank 3: BadRowError: line 7 has <b>two</b> labels"
    assert all(isinstance(cell.text, str) for row in cells.values() for cell in row)


def test_the_time_of_a_job_is_that_of_its_final_report() -> None:
    (time,) = [column for column in job_columns() if column.key == "time"]
    assert time.cell(replace(ENDED, reported_seconds=26.5)).text == "26.5 s"
    assert time.cell(ENDED).text == "0.0 s"


def test_a_stopped_job_says_by_whom() -> None:
    silent = replace(FAILED, status="ABORTED", failure=first_failure("ABORTED"))
    told = replace(silent, failure=first_failure("ABORTED", "StoppedByUser", "by Ann\n<b>"))
    assert [each.why for each in (silent, told, ENDED)] == ["stopped", "stopped: by Ann <b>", ""]
    assert job_columns()[0].cell(told).note == "stopped: by Ann <b>"
    assert JobsShown(text="ann").of([silent, told]) == [told]


def test_a_running_job_has_a_bar() -> None:
    running = replace(ENDED, status="RUNNING", ended_at=None)
    (epochs,) = [column for column in job_columns() if column.key == "epochs"]
    assert epochs.cell(ENDED).share is None
    assert running.spec is not None
    assert epochs.cell(running).share == 1 / running.spec.stop.max_epochs
