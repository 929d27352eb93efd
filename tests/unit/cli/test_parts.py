"""The time of epochs by part, as tables of 80 columns and as flat rows."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from stepml.cli.parts import epoch_parts_lines, function_lines
from stepml.job.parts import FunctionTimes, Parts, Role, Traffic
from stepml.job.reports import EpochReport
from stepml.records.execution import SUCCEEDED, EpochAttempt, Execution
from stepml.records.failures import Failure
from stepml.reports.epoch_rows import attempt_rows, csv_text, function_rows
from tests.support.moto_stack import epoch_report

COLUMNS = 80
NAMES = Parts.__struct_fields__
seconds = st.floats(0, 21_600)
parts = st.builds(Parts, *[seconds] * len(NAMES))
n_bytes = st.integers(0, 2**40)
traffics = st.builds(Traffic, st.integers(0, 10**7), n_bytes, n_bytes)
roles: st.SearchStrategy[Role] = st.sampled_from(["rank", "merger", "evaluator", "reducer"])
functions = st.builds(
    FunctionTimes,
    roles,
    st.integers(0, 1599),
    seconds,
    parts,
    is_cold=st.booleans(),
    init=st.floats(0, 900),
    calls=st.integers(1, 255),
    cost_usd=st.floats(0, 100),
    traffic=st.fixed_dictionaries({"s3": traffics, "parameter_server": traffics}),
)


def measured(epoch: int, n_seconds: float = 0.25, share: float = 0.5) -> EpochReport:
    quantiles = dict.fromkeys(("start", *NAMES), [n_seconds] * 5)
    costs = {"functions": 0.0001, "states": 0.000025}
    return replace(
        epoch_report(epoch, last=False),
        quantiles=quantiles,
        communication_share=share,
        costs=costs,
        functions=[
            FunctionTimes("rank", 1, 0.5, Parts(wait=2), traffic={"s3": Traffic(3, 4, 5)}),
            FunctionTimes("reducer", 0, 1.5, Parts(load=1), traffic={"redis": Traffic(1)}),
        ],
    )


def attempt(epoch: int, number: int = 1, report: EpochReport | None = None) -> EpochAttempt:
    failure = None if report else Failure("WaitTimeoutError", "nobody came", rank=2)
    return EpochAttempt(
        execution=Execution(f"job-e{epoch}", "arn"),
        epoch=epoch,
        number=number,
        redrive=0,
        retry=number - 1,
        status=SUCCEEDED if report else "FAILED",
        started_at=datetime(2026, 1, 2, tzinfo=UTC),
        ended_at=datetime(2026, 1, 2, 0, 0, 3, tzinfo=UTC),
        report=report,
        failure=failure,
    )


@given(st.integers(1, 99_999), seconds, st.floats(0, 1))
def test_the_table_of_epochs_has_80_columns(epoch: int, n_seconds: float, share: float) -> None:
    lines = [line for line, _ in epoch_parts_lines([measured(epoch, n_seconds, share)])]
    assert max(map(len, lines)) <= COLUMNS
    assert lines[0].split() == ["epoch", "start", *NAMES, "comm"]
    assert len(lines[1].split()) == len(lines[0].split())


@given(st.lists(functions, min_size=1, max_size=3))
def test_the_tables_of_functions_have_80_columns(found: list[FunctionTimes]) -> None:
    lines = [line for line, _ in function_lines(found)]
    assert max(map(len, lines)) <= COLUMNS
    assert lines[0].split() == ["start", *NAMES]


def test_the_cost_by_kind_adds_up_to_the_epochs() -> None:
    text = " ".join(line for line, _ in epoch_parts_lines([measured(1), measured(2)]))
    assert "functions $ 0.000200 (80%), states $ 0.000050 (20%)" in text
    assert "  50%" in text


def test_epochs_of_earlier_versions_are_said_to_have_no_parts() -> None:
    for lines in (epoch_parts_lines([epoch_report(1, last=False)]), function_lines([])):
        assert [line for line, _ in lines] == [
            "no parts are known: an earlier version of StepML, or a resumed job, trained this"
        ]


def test_attempts_are_rows_failed_ones_with_their_error() -> None:
    rows = attempt_rows([attempt(1), attempt(1, 2, measured(1))])
    read = [*csv.DictReader(StringIO(csv_text(rows)))]
    assert [row["attempt"] for row in read] == ["1", "2"]
    assert ("nobody came" in read[0]["error"], read[1]["error"]) == (True, "")
    assert (read[0]["seconds"], read[0]["loss"], read[1]["loss"]) == ("3.0", "", "1.0")
    assert (read[1]["communication_share"], read[1]["wait_s"]) == ("0.5", "0.25")
    assert (read[1]["accuracy"], read[1]["states_usd"]) == ("0.5", "2.5e-05")


def test_functions_are_rows_of_the_attempt_that_ended_the_epoch() -> None:
    report = measured(1)
    rows = function_rows([attempt(1), attempt(1, 2, report)], {1: report.functions})
    read = [*csv.DictReader(StringIO(csv_text(rows)))]
    assert [(row["role"], row["index"], row["attempt"]) for row in read] == [
        ("rank", "1", "2"),
        ("reducer", "0", "2"),
    ]
    assert (read[0]["wait"], read[0]["s3_sent_bytes"], read[0]["redis_requests"]) == (
        "2",
        "4",
        "",
    )
    assert float(read[1]["load"]) == pytest.approx(1)
