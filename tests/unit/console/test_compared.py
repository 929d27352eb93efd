"""The jobs that a person compares, and what is shown of them."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest

from stepml.console.compared import MOST_JOBS, Compared
from stepml.reports.comparison import compare
from stepml.reports.comparison_facts import compared_lines, compared_measures, fact_tables
from stepml.reports.courses import EPOCH
from stepml.reports.run_record import RunRecord
from tests.support.run_records import HOSTILE, failed_record, run_record


@pytest.mark.parametrize(
    "chosen",
    [
        Compared(),
        Compared(("a", "b"), "dollar", ("A", "B"), (("loss", True), ("f1", False))),
    ],
)
def test_an_address_has_all_choices(chosen: Compared) -> None:
    assert Compared.of_query(parse_qsl(urlsplit(chosen.address).query)) == chosen


def test_an_address_with_mistakes_is_one_without_choices() -> None:
    pairs = [("by", "hour"), ("job", ""), ("odd", "x")]
    assert Compared.of_query(pairs) == Compared()


def test_jobs_may_be_listed_with_commas() -> None:
    pairs = [("job", "a"), ("jobs", "b,a,,c")]
    assert Compared.of_query(pairs) == Compared(("a", "b", "c"))


def test_each_job_is_compared_once_and_some_at_most() -> None:
    many = [("job", f"job-{number % 20}") for number in range(40)]
    assert Compared.of_query(many).names == tuple(f"job-{n}" for n in range(MOST_JOBS))


def test_other_jobs_have_other_letters() -> None:
    chosen = Compared(("a", "b"), hidden=("B",)).with_scale("loss", False)
    assert chosen.with_jobs(("b",)) == Compared(("b",), scales=(("loss", False),))
    assert chosen.is_log("loss") is False
    assert chosen.is_log("f1") is None


def test_a_job_that_is_not_read_yet_keeps_its_place() -> None:
    comparison = compare([RunRecord("first", ""), run_record(), failed_record(HOSTILE)])
    lines = compared_lines(comparison, "loss", EPOCH)
    assert [each.name for each in lines] == ["A", "B", "C"]
    assert not lines[0].points
    assert all(len(row.cells) == 3 for table in fact_tables(comparison) for row in table.rows)


def test_a_measure_is_compared_once() -> None:
    comparison = compare([replace(run_record(), job_id=name) for name in ("a", "b")])
    measures = compared_measures(comparison)
    assert measures[0] == comparison.measure
    assert len(set(measures)) == len(measures)
    courses = [compared_lines(comparison, name, EPOCH)[0].points for name in measures]
    assert all(points != courses[0] for points in courses[1:])
