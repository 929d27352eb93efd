"""The record of a run is the same from the stack and from the directory of its results."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from stepml.job.documents import encode
from stepml.records.errors import ReportUnreadableError
from stepml.reports.run_record import RECORD_FILE, REPORT_FILE, RunNotFoundError, RunRecord
from tests.support.moto_stack import JOB_TEXT, MotoStack
from tests.support.run_records import failed_record, run_record


@pytest.fixture
def name() -> str:
    return f"run-{uuid.uuid4().hex[:8]}"


def test_a_directory_has_the_record_of_a_run_with_a_model(
    stack: MotoStack, name: str, tmp_path: Path
) -> None:
    client = stack.client()
    final = stack.put_results(name, stack.put_epochs(name, 3))
    run = client.run(JOB_TEXT, name)
    list(run.watch())
    record = run.record
    assert record.epochs == final.history
    assert record.model_report == final.history[-1]
    run.download(tmp_path)
    record.write(tmp_path)
    assert RunRecord.of_directory(tmp_path) == record


def test_a_directory_has_the_record_of_a_failed_run(
    stack: MotoStack, name: str, tmp_path: Path
) -> None:
    client = stack.client("failing")
    reports = stack.put_epochs(name, 2, ended=False)
    run = client.run(JOB_TEXT, name)
    for report in reports:
        stack.run_child(f"{name}-e{report.epoch}-r0-t0", "failing", items=[])
    list(run.watch())
    record = run.record
    assert record.failure is not None
    assert record.failure.error == "BadRowError"
    assert record.final is None
    record.write(tmp_path)
    assert RunRecord.of_directory(tmp_path) == record


@pytest.mark.parametrize("record", [run_record(), run_record(50, 3), failed_record()])
def test_a_record_that_was_written_is_read_again(record: RunRecord, tmp_path: Path) -> None:
    if record.final is not None:
        (tmp_path / REPORT_FILE).write_bytes(encode(record.final))
    record.write(tmp_path)
    assert RunRecord.of_directory(tmp_path) == record


def test_results_of_earlier_versions_have_no_attempts(stack: MotoStack, tmp_path: Path) -> None:
    client = stack.client()
    final = stack.put_results("earlier", stack.put_epochs("earlier", 2))
    client.named("earlier").download(tmp_path)
    record = RunRecord.of_directory(tmp_path)
    assert (record.job_id, record.attempts, record.epochs) == ("earlier", [], final.history)


def test_a_directory_without_results_or_with_damaged_ones_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError, match=r"neither run\.json nor report\.json"):
        RunRecord.of_directory(tmp_path / "absent")
    (tmp_path / RECORD_FILE).write_text('{"job_id":"x"}')
    with pytest.raises(ReportUnreadableError, match=r"run\.json"):
        RunRecord.of_directory(tmp_path)
