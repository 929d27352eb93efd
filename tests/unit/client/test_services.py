"""The client against moto's server: stacks, executions, epochs, logs and files."""

from __future__ import annotations

import itertools
import json
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stepml.client import (
    Client,
    ExecutionNotFoundError,
    Run,
    RunNameTakenError,
    Snapshot,
    connect,
)
from stepml.client.connection import translated
from stepml.job import keys
from stepml.job.errors import InvalidJobError
from stepml.records.errors import (
    CredentialsError,
    EndpointUnreachableError,
    ReportUnreadableError,
    ServiceRefusedError,
    StackNotFoundError,
)
from tests.support.moto_stack import BUCKET, JOB_TEXT, MotoStack

WAIT_S = 240.0  # more than any machine needs


@pytest.fixture
def name() -> str:
    return f"run-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port at which nothing listens, and which no other process gets."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def last_snapshot(run: Run) -> Snapshot:
    deadline = time.monotonic() + WAIT_S
    for snapshot in run.watch():
        assert time.monotonic() < deadline
        last = snapshot
    return last


def test_a_stack_is_found_by_its_outputs(stack: MotoStack) -> None:
    found = stack.client().stack

    assert found.bucket == BUCKET
    assert found.train_arn.endswith(":stateMachine:stepml-train")
    assert found.epoch_arn.endswith(":stateMachine:stepml-epoch")


def test_a_missing_stack_is_named_with_what_to_do(stack: MotoStack) -> None:
    with pytest.raises(StackNotFoundError, match=r"no stack 'absent' at http://.*stepml local up"):
        _ = stack.client("absent").stack
    with pytest.raises(StackNotFoundError, match="; leave out --stack: stepml local up deploys '"):
        _ = stack.client("absent").stack


def test_a_stack_of_something_else_is_refused(stack: MotoStack) -> None:
    template = {"Resources": {"Other": {"Type": "AWS::S3::Bucket"}}}
    stack.service("cloudformation").create_stack(
        StackName="other", TemplateBody=json.dumps(template)
    )

    with pytest.raises(StackNotFoundError, match="no stack of StepML: it has no output Bucket"):
        _ = stack.client("other").stack


def test_nothing_at_the_endpoint_is_told_with_how_to_start_it(closed_port: int) -> None:
    client = Client(connect(f"http://127.0.0.1:{closed_port}"))

    with pytest.raises(
        EndpointUnreachableError,
        match=rf"^nothing answers at http://127.0.0.1:{closed_port}; "
        rf"start it with: stepml local up --port {closed_port}$",
    ):
        _ = client.stack


def test_missing_credentials_are_told_with_the_way_around(monkeypatch: pytest.MonkeyPatch) -> None:
    _without_credentials(monkeypatch)
    client = Client(connect(region="us-east-1"))

    with pytest.raises(CredentialsError, match=r"no AWS credentials found.*--local"):
        _ = client.stack


def test_a_loopback_endpoint_needs_no_credentials(
    stack: MotoStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without_credentials(monkeypatch)
    connection = connect(stack.endpoint_url)

    assert connection.session.get_credentials().access_key == "test"
    assert Client(connection).stack.bucket == BUCKET


def test_a_missing_profile_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "absent")

    with pytest.raises(CredentialsError, match=r"profile \(absent\) could not be found.*--local"):
        connect()


def _without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for variable in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(variable, "/nonexistent")


def test_a_job_is_watched_to_its_end_with_its_epochs(stack: MotoStack, name: str) -> None:
    reports = stack.put_epochs(name, 3)
    client = stack.client()

    last = last_snapshot(client.run(JOB_TEXT, name))

    assert last.state.succeeded
    assert last.state.failure is None
    assert list(last.epochs) == reports
    assert last.phase.state == "RunEpoch"


def test_a_failed_job_tells_its_first_error(stack: MotoStack, name: str) -> None:
    client = stack.client("failing")

    last = last_snapshot(client.run(JOB_TEXT, name))

    assert last.state.ended
    assert str(last.state.failure) == "BadRowError: data/x.csv, line 17"


def test_watching_ends_when_the_job_is_stopped(stack: MotoStack, name: str) -> None:
    client = stack.client("endless")
    run = client.run(JOB_TEXT, name)
    snapshots = run.watch()
    assert not next(snapshots).state.ended

    stack.service("stepfunctions").stop_execution(executionArn=run.arn)

    assert list(snapshots)[-1].state.status == "ABORTED"


def test_watching_a_job_that_does_not_exist_ends_at_once(stack: MotoStack) -> None:
    client = stack.client()

    with pytest.raises(ExecutionNotFoundError, match="no run named 'absent' at http"):
        list(client.named("absent").watch())


def test_a_job_is_checked_before_it_is_started(name: str, closed_port: int) -> None:
    client = Client(connect(f"http://127.0.0.1:{closed_port}"))

    with pytest.raises(InvalidJobError, match="data: is required"):
        client.run("{}", name)


def test_a_name_that_was_used_before_is_refused(stack: MotoStack, name: str) -> None:
    client = stack.client()
    last_snapshot(client.run(JOB_TEXT, name))

    with pytest.raises(RunNameTakenError, match=f"a run named '{name}' exists already"):
        client.run(JOB_TEXT.replace('"max_epochs": 3', '"max_epochs": 4'), name)


def test_an_execution_is_found_by_name_and_by_arn(stack: MotoStack, name: str) -> None:
    client = stack.client()
    started = client.run(JOB_TEXT, name)

    assert client.find(name) == client.find(started.arn) == started


def test_latest_is_the_newest_job_or_the_newest_of_a_status(stack: MotoStack, name: str) -> None:
    client, failing = stack.client(), stack.client("failing")
    last_snapshot(client.run(JOB_TEXT, f"{name}-older"))
    newest = client.run(JOB_TEXT, name)
    last_snapshot(newest)
    last_snapshot(failing.run(JOB_TEXT, f"{name}-failing"))

    assert client.find("latest") == client.latest("SUCCEEDED") == newest
    assert failing.find("latest").name == f"{name}-failing"
    with pytest.raises(ExecutionNotFoundError, match="has no job that has succeeded yet; start"):
        failing.latest("SUCCEEDED")
    with pytest.raises(InvalidJobError, match="'latest' stands for the newest job"):
        client.run(JOB_TEXT, "latest")


@pytest.mark.parametrize("given", ["", "no blanks", "arn:aws:s3:::bucket", "x" * 81])
def test_what_cannot_be_an_execution_is_refused(stack: MotoStack, given: str) -> None:
    with pytest.raises(ExecutionNotFoundError, match="neither a run's name nor an ARN"):
        stack.client().named(given)


def test_an_execution_of_another_machine_is_refused(stack: MotoStack, name: str) -> None:
    epoch_arn = stack.client().stack.epoch_arn.replace("stateMachine", "execution")

    with pytest.raises(ExecutionNotFoundError, match="neither a run's name nor an ARN"):
        stack.client().named(f"{epoch_arn}:{name}-e1-r0-t0")


def test_epochs_are_the_children_of_this_job_and_no_other(stack: MotoStack, name: str) -> None:
    reports = stack.put_epochs(name, 2)
    client = stack.client()
    run = client.run(JOB_TEXT, name)
    suffixes = ("-e1-r0-t0", "-e2-r0-t0", "-e2-r0-t1")
    for other in (f"{name}-e1-r0-t0", f"{name}-more-e1-r0-t0", f"{name}-e1-r0-t0-e1-r0-t0"):
        stack.run_child(other)
    for suffix in suffixes[1:]:
        stack.run_child(name + suffix)
    last_snapshot(run)

    attempts = run.epochs

    assert [attempt.execution.name for attempt in attempts] == [name + each for each in suffixes]
    assert [(each.epoch, each.redrive, each.retry) for each in attempts] == [
        (1, 0, 0),
        (2, 0, 0),
        (2, 0, 1),
    ]
    assert [attempt.report for attempt in attempts] == [reports[0], reports[1], reports[1]]


def test_epochs_of_a_job_that_ended_come_from_its_report(stack: MotoStack, name: str) -> None:
    client = stack.client()
    reports = stack.put_results(name, stack.put_epochs(name, 1)).history
    stack.service("s3").delete_object(Bucket=BUCKET, Key=keys.epoch_report(name, 1))
    run = client.run(JOB_TEXT, name)
    stack.run_child(f"{name}-e1-r0-t0")
    last_snapshot(run)

    assert [attempt.report for attempt in run.epochs] == reports


def test_a_report_that_is_damaged_is_refused(stack: MotoStack, name: str) -> None:
    stack.put(keys.epoch_report(name, 1), b'{"epoch": 1}')
    client = stack.client()

    with pytest.raises(ReportUnreadableError, match=f"epoch 1 of {name}"):
        client.named(name).epoch_report(1)


def test_logs_are_those_of_the_job_and_the_rank_in_their_order(stack: MotoStack, name: str) -> None:
    client = stack.client()
    run = client.run(JOB_TEXT, name)
    now = int(run.state.started_at.timestamp() * 1000)
    _log(stack, "executor", now, "START RequestId: 1", {"job_id": "other", "message": "x"})
    _log(
        stack,
        "executor",
        now + 2,
        _entry(name, "second", epoch=1, rank=1, seconds=0.5),
        _entry(name, "third", epoch=1, rank=0),
    )
    _log(stack, "prepare", now + 1, _entry(name, "first"))
    last_snapshot(run)

    lines = run.logs()

    assert [line.message for line in lines] == ["first", "second", "third"]
    assert [line.function for line in lines] == ["prepare", "executor", "executor"]
    assert lines[1].fields == {"seconds": 0.5}
    assert [line.message for line in run.logs(rank=1)] == ["second"]
    assert list(run.logs(rank=3)) == []


def test_logs_of_a_stack_whose_name_goes_on_are_left_out(stack: MotoStack, name: str) -> None:
    client = stack.client()
    run = client.run(JOB_TEXT, name)
    now = int(run.state.started_at.timestamp() * 1000)
    _log(stack, "executor", now, _entry(name, "ours"))
    _log(stack, "executor", now, _entry(name, "of another stack"), group="stepml-dev")
    last_snapshot(run)

    assert [line.message for line in run.logs()] == ["ours"]


def test_followed_logs_come_once_each_and_end_with_the_job(stack: MotoStack, name: str) -> None:
    client = stack.client("endless")
    run = client.run(JOB_TEXT, name)
    started = int(run.state.started_at.timestamp() * 1000)
    rounds = itertools.count()

    def sleep(seconds: float) -> None:
        assert seconds > 0
        number = next(rounds)
        _log(stack, "executor", started + number, _entry(name, str(number)), group="endless")
        if number == 3:
            stack.service("stepfunctions").stop_execution(executionArn=run.arn)
            _await_end(run)

    lines = run.follow_logs(sleep=sleep)

    assert [line.message for line in lines] == ["0", "1", "2", "3"]


def _await_end(run: Run) -> None:
    """Wait until a stopped execution has ended: moto only signals its thread."""
    deadline = time.monotonic() + WAIT_S
    while not run.state.ended:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _entry(job_id: str, message: str, **fields: object) -> dict[str, object]:
    return {"level": "INFO", "message": message, "job_id": job_id, **fields}


def _log(
    stack: MotoStack,
    function: str,
    timestamp_ms: int,
    *entries: str | dict[str, object],
    group: str = "stepml",
) -> None:
    logs = stack.service("logs")
    place = f"/stepml/{group}/{function}"
    if not logs.describe_log_groups(logGroupNamePrefix=place)["logGroups"]:
        logs.create_log_group(logGroupName=place)
    stream = uuid.uuid4().hex
    logs.create_log_stream(logGroupName=place, logStreamName=stream)
    texts = [entry if isinstance(entry, str) else json.dumps(entry) for entry in entries]
    logs.put_log_events(
        logGroupName=place,
        logStreamName=stream,
        logEvents=[
            {"timestamp": timestamp_ms + index, "message": text} for index, text in enumerate(texts)
        ],
    )


def test_results_are_fetched_into_the_directory(
    stack: MotoStack, name: str, tmp_path: Path
) -> None:
    report = stack.put_results(name, stack.put_epochs(name, 1))
    run = stack.client().named(name)

    files = run.download(tmp_path / name)

    assert {path.name for path in files.values()} == {
        "model.safetensors",
        "model.json",
        "report.json",
        "history.jsonl",
    }
    assert files["model"].read_bytes() == b"arrays"
    assert run.result == report


@pytest.mark.parametrize("is_there", [True, False])
def test_results_that_cannot_all_be_fetched_change_nothing(
    stack: MotoStack, name: str, tmp_path: Path, is_there: bool
) -> None:
    stack.put_results(name, stack.put_epochs(name, 1))
    stack.service("s3").delete_object(Bucket=BUCKET, Key=keys.report(name))
    directory = tmp_path / "runs" / name
    if is_there:
        directory.mkdir(parents=True)
        (directory / "model.json").write_bytes(b"old")

    run = stack.client().run(JOB_TEXT, name, wait=True)
    with pytest.raises(ServiceRefusedError, match=f"{name} has no model: its results are deleted"):
        run.download(directory)

    assert [path.name for path in tmp_path.rglob("*")] == (
        ["runs", name, "model.json"] if is_there else []
    )


def test_a_job_above_the_limit_of_step_functions_is_refused(stack: MotoStack, name: str) -> None:
    with pytest.raises(InvalidJobError, match="at most 262,144 bytes, the limit of Step Functions"):
        stack.client().run(JOB_TEXT + " " * 262_144, name)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32-be"])
def test_a_job_of_another_encoding_is_sent_as_text(
    stack: MotoStack, name: str, encoding: str
) -> None:
    client = stack.client()

    run = client.run(JOB_TEXT.encode(encoding), name)

    assert run.state.job == JOB_TEXT


def test_a_request_that_botocore_refuses_is_no_matter_of_credentials(stack: MotoStack) -> None:
    connection = stack.client().connection
    wrong: Any = 7

    refused = pytest.raises(ServiceRefusedError, match="the request is wrong: Parameter validation")
    with refused, translated(connection.endpoint_url):
        connection.client("s3").head_object(Bucket=BUCKET, Key=wrong)
