"""The report on a run shows whatever a run can be, in one small file that loads nothing."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import pytest
from msgspec import structs

from stepml.job.parts import Parts, Role
from stepml.reports.costs import TAKEN_OVER, cost_rows, costs_by_kind
from stepml.reports.phases import phase_seconds
from stepml.reports.run_page import run_page, write_run_page
from stepml.reports.run_record import RunRecord
from stepml.reports.timelines import EARLIER, PARTS, ROLES, START, timeline_rows
from tests.support.run_records import HOSTILE, failed_record, resumed_record, run_record

MOST_BYTES = 2_000_000
LOADING = {"src", "href", "srcset", "data", "action", "poster", "background"}


class Reading(HTMLParser):
    """The tags, attributes, ids and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.ids: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids += [str(value) for name, value in attrs if name == "id"]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def without_parts(record: RunRecord) -> RunRecord:
    """Return a record as an earlier version would have left it."""
    assert record.final is not None
    history = [
        structs.replace(each, functions=[], quantiles={}, communication_share=None, costs={})
        for each in record.final.history
    ]
    final = structs.replace(record.final, history=history)
    return replace(record, final=final, attempts=[], started_at=None, ended_at=None)


RECORDS = {
    "whole": run_record(),
    "one epoch and rank": run_record(1, 1),
    "failed": failed_record(),
    "earlier version": without_parts(run_record()),
    "refused": RunRecord("refused", "FAILED", job="{", failure=failed_record().failure),
    "running": replace(failed_record(), status="RUNNING", ended_at=None, failure=None),
    "stopped on AWS": replace(failed_record(), status="ABORTED", is_local=False),
}


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_whatever_a_run_is_its_report_is_complete_and_loads_nothing(record: RunRecord) -> None:
    page = run_page(record)
    read = Reading(page)
    assert {"job", "repeat"} <= set(read.ids)
    assert ("failure" in read.ids) == (record.failure is not None)
    assert ("learning" in read.ids) == bool(record.epochs)
    assert ("time" in read.ids) == bool(record.epochs)
    assert not {"script", "img", "link", "iframe"} & set(read.tags)
    assert not read.attributes & LOADING
    for drawing in re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL):
        ElementTree.fromstring(drawing)
        assert "nan" not in drawing


def test_the_report_says_what_became_of_the_run() -> None:
    text = Reading(run_page(run_record(text="improved"))).text
    assert "converged : improved" in text
    assert "logistic_regression by model_averaging on 4 workers over s3" in text
    assert "1.56 s, straggler, cold" in text
    assert "US dollars of the preparation" in text
    assert "6 attempts at 5 epochs; 1 of them did not succeed." in text
    assert "rank 1: Runtime.ExitError: improved" in text
    assert "stepml run - --local <<'JOB'" in text
    assert "stepml retry" not in text


@pytest.mark.parametrize(("error", "helps"), [("BadRowError", False), ("PeerLostError", True)])
def test_a_retry_is_offered_where_it_can_help(error: str, helps: bool) -> None:
    record = failed_record()
    assert record.failure is not None
    text = Reading(run_page(replace(record, failure=replace(record.failure, error=error)))).text
    assert "stepml logs measured --rank 1 --local" in text
    assert ("stepml retry measured --local" in text) == helps


def test_of_many_ranks_and_epochs_the_report_stays_small() -> None:
    page = run_page(run_record(1600, 500))
    assert len(page.encode()) < MOST_BYTES
    text = Reading(page).text
    assert "10 of 500 epochs" in text
    assert "1560 ranks left out" in text
    assert "rank 1 " in text  # a straggler
    assert "each column is the mean of 5" in text
    assert "without 300 in the middle" in text


@pytest.mark.parametrize("text", ["a\x00\x1b[31m\n\u2028", "half of a pair: \ud800"])
def test_any_text_can_be_written(text: str, tmp_path: Path) -> None:
    page = write_run_page(failed_record(text=text), tmp_path).read_bytes()
    assert text.encode(errors="backslashreplace") in page


def test_the_time_of_killed_calls_is_a_part_of_its_own() -> None:
    report = run_record(4, 2).epochs[1]
    functions = list(report.functions)
    functions[2] = structs.replace(functions[2], start=functions[2].start + 12, calls=2)
    rows, _ = timeline_rows(report, functions)
    again, others = rows[2], [*rows[:2], *rows[3:]]
    assert again.parts[EARLIER] == pytest.approx(12)
    assert again.parts[START] == pytest.approx(rows[0].parts[START])
    assert sum(again.parts.values()) == pytest.approx(
        functions[2].start + functions[2].parts.seconds
    )
    assert not any(each.parts[EARLIER] for each in others)


def test_a_resumed_run_has_a_part_for_the_epochs_that_it_took_over() -> None:
    ended, running = resumed_record(5, 3), resumed_record(5, 3, final=None, status="RUNNING")
    names = [[row.name for row in cost_rows(each)] for each in (ended, running)]
    for record in (ended, running):
        assert sum(costs_by_kind(record).values()) == pytest.approx(record.cost_usd)
    assert costs_by_kind(ended)[TAKEN_OVER] == pytest.approx(ended.epochs[2].total_cost_usd)
    assert {"epochs 1 to 3, of earlier", "preparation"} <= set(names[0])
    assert "epochs 1 to 3, of earlier, and preparation" in names[1]
    assert "epochs 1 to 3, of earlier" in run_page(ended)


def test_costs_and_seconds_by_kind_are_those_of_the_run() -> None:
    record = run_record()
    assert sum(costs_by_kind(record).values()) == pytest.approx(record.cost_usd)
    assert record.started_at is not None
    assert record.ended_at is not None
    seconds = (record.ended_at - record.started_at).total_seconds()
    assert sum(phase_seconds(record).values()) == pytest.approx(seconds)


def test_every_part_and_role_of_a_function_is_drawn() -> None:
    assert set(Parts.__struct_fields__) < set(PARTS)
    assert set(ROLES) == set(get_args(Role))


def test_hostile_text_is_shown_as_text() -> None:
    for page in (run_page(run_record(text=HOSTILE)), run_page(failed_record(text=HOSTILE))):
        read = Reading(page)
        assert not {"script", "img", "b", "link"} & set(read.tags)
        assert " ".join(HOSTILE.split()) in read.text


@pytest.mark.parametrize(("n_ranks", "n_epochs", "shown"), [(4, 25, 25), (4, 90, 30), (40, 90, 10)])
def test_a_report_has_as_many_timelines_as_it_has_room_for(
    n_ranks: int, n_epochs: int, shown: int
) -> None:
    assert run_page(run_record(n_ranks, n_epochs)).count("Functions of epoch") == 2 * shown
