"""Jobs that are stopped, fail, resume, continue in another execution and fan out, on real
machines."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lambdas.job_store import PartitionPlan
from stepml.job import data_keys, keys
from stepml.job.documents import decode, encode
from stepml.job.reports import EndReport, EpochReport, Failure, Fence
from storage.blocks import BlockStorage
from storage.dynamodb import DynamoDBStorage
from tests.faults.placements import Point
from tests.faults.stack import FaultyStack, busy
from tests.functional.conftest import Reference
from tests.support.local_stack import LocalStack, csv_rows
from tests.support.running_aws import eventually

ALGORITHMS = {
    "model_averaging": {"name": "model_averaging", "learning_rate": 0.5, "batch_size": 50},
    "admm": {"name": "admm"},
    "gradient_averaging": {"name": "gradient_averaging", "learning_rate": 0.5, "batch_size": 50},
}


def unique(what: str) -> str:
    return f"{what}-{uuid.uuid4().hex[:8]}"


@contextmanager
def configured(local_stack: LocalStack, function: str, **settings: Any) -> Iterator[None]:
    """Change a deployed function for as long as the block runs."""
    functions = local_stack.aws.client("lambda")
    name = f"stepml-{function}"
    before = functions.get_function_configuration(FunctionName=name)
    functions.update_function_configuration(FunctionName=name, **settings)
    try:
        yield
    finally:
        functions.update_function_configuration(
            FunctionName=name, **{field: before[field] for field in settings}
        )


@contextmanager
def epochs_an_execution(local_stack: LocalStack, epochs: int) -> Iterator[None]:
    """Let another execution continue a job after a number of epochs."""
    functions = local_stack.aws.client("lambda")
    before = functions.get_function_configuration(FunctionName="stepml-prepare")
    variables = before["Environment"]["Variables"] | {"STEPML_EPOCHS_AN_EXECUTION": str(epochs)}
    with configured(local_stack, "prepare", Environment={"Variables": variables}):
        yield


def redrive(local_stack: LocalStack, execution: str) -> dict[str, Any]:
    local_stack.aws.client("stepfunctions").redrive_execution(executionArn=execution)
    return local_stack.aws.ended(execution)


@contextmanager
def held_in(local_stack: FaultyStack, job: dict[str, Any], name: str, epoch: int) -> Iterator[str]:
    """Start a job, and hold its rank 0 in an epoch until the block ends; yield its execution."""
    with local_stack.holding(name, Point("executor", epoch, 0)) as hold:
        execution = local_stack.start(job, name)
        hold.reached()
        yield execution


def stop(local_stack: LocalStack, execution: str, **why: str) -> None:
    local_stack.aws.client("stepfunctions").stop_execution(executionArn=execution, **why)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_stopped_job_goes_on_and_comes_to_the_same_bits(
    local_stack: FaultyStack, job: dict[str, Any], undisturbed: Reference, algorithm: str
) -> None:
    long = job | {
        "algorithm": ALGORITHMS[algorithm],
        "exchange": {"channel": "redis"},
    }
    expected = undisturbed(long)
    name = unique("stopped")
    with held_in(local_stack, long, name, epoch=2) as execution:
        stop(local_stack, execution, error="Enough", cause="for now")
    ended = local_stack.aws.ended(execution)
    assert (ended["status"], ended["redriveStatus"]) == ("ABORTED", "REDRIVABLE")
    report = eventually(lambda: local_stack.keys(keys.ended(name)), len)
    report = decode(local_stack.read(keys.ended(name)), EndReport, "ended")
    assert (report.status, report.error) == ("ABORTED", "Enough")
    assert report.epochs == 1
    fence = decode(local_stack.read(keys.fence(name)), Fence, "fence")
    assert fence.until >= report.stopped_at
    assert redrive(local_stack, execution)["status"] == "SUCCEEDED"
    assert local_stack.read(keys.model(name)) == expected
    finished = [e["name"] for e in local_stack.epochs(name) if e["status"] == "SUCCEEDED"]
    assert len(finished) == 3  # none was trained twice
    assert not local_stack.keys(keys.ended(name))
    assert not local_stack.keys(f"jobs/{name}/exchange/")


@pytest.mark.parametrize("pattern", ["reduce", "async"])
@pytest.mark.parametrize("algorithm", ["gradient_averaging", "model_averaging"])
def test_a_stopped_job_leaves_nothing_in_the_channel(
    local_stack: LocalStack, job: dict[str, Any], algorithm: str, pattern: str
) -> None:
    """Functions run for a moment after the execution has ended, and publish."""
    endless = job | {
        "algorithm": ALGORITHMS[algorithm] | {"batch_size": 5},
        "stop": {"max_epochs": 2000},
        "exchange": {"channel": "s3", "pattern": pattern},
    }
    name = unique("left")
    execution = local_stack.start(endless, name)
    eventually(lambda: local_stack.keys(f"jobs/{name}/exchange/"), len)
    stop(local_stack, execution)
    eventually(lambda: local_stack.keys(keys.ended(name)), len)
    eventually(lambda: busy(local_stack.aws), lambda functions: not functions)
    assert local_stack.keys(f"jobs/{name}/exchange/") == []


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_items_that_are_deleted_from_dynamodb_change_no_bit(
    local_stack: FaultyStack, job: dict[str, Any], undisturbed: Reference, algorithm: str
) -> None:
    long = job | {
        "algorithm": ALGORITHMS[algorithm],
        "exchange": {"channel": "dynamodb"},
    }
    expected = undisturbed(long)
    name = unique("deleted")
    client = local_stack.aws.client("dynamodb")
    channel = BlockStorage(DynamoDBStorage("stepml-exchange", client))
    # In flight, contributions lie there as long as a rank is missing.
    is_in_flight = algorithm == "gradient_averaging"
    waiting = Point("executor", 1, 0) if is_in_flight else Point("reducer", 1, None)
    with local_stack.holding(name, waiting) as hold:
        execution = local_stack.start(long, name)
        hold.reached()
        eventually(lambda: [*channel.list(f"jobs/{name}/exchange/")], len)
        channel.clear(f"jobs/{name}/exchange/")
    ended = local_stack.aws.ended(execution)
    if ended["status"] == "FAILED":  # it may have hit both attempts at the epoch
        ended = redrive(local_stack, execution)
    assert ended["status"] == "SUCCEEDED", ended
    assert local_stack.read(keys.model(name)) == expected
    assert [*channel.list(f"jobs/{name}/")] == []


def test_a_job_that_failed_is_redriven_from_the_failed_epoch(
    local_stack: LocalStack, job: dict[str, Any], undisturbed: Reference
) -> None:
    expected = undisturbed(job)
    name = unique("failed")
    with configured(local_stack, "reducer", Handler="lambdas.reducer.mistyped"):
        ended = local_stack.run(job, name)
    assert ended["status"] == "FAILED"
    assert "Runtime.HandlerNotFound" in ended["cause"]
    eventually(lambda: local_stack.keys(keys.ended(name)), len)
    assert len(local_stack.keys(f"jobs/{name}/exchange/")) == 4  # the ranks' contributions
    redriven = redrive(local_stack, ended["executionArn"])
    assert redriven["status"] == "SUCCEEDED"
    assert redriven["redriveCount"] == 1
    assert local_stack.read(keys.model(name)) == expected
    attempts = local_stack.epochs(name)
    assert [each["status"] for each in attempts] == ["FAILED", "FAILED", *["SUCCEEDED"] * 3]
    messages = Counter(line["message"] for line in logged(local_stack, "executor", name))
    # In each of three epochs; ranks of a repeated epoch had contributed before.
    assert messages["rank trained"] == 3 * 4
    assert messages["rank had contributed already"] == 2 * 4


def logged(local_stack: LocalStack, function: str, job_id: str) -> list[dict[str, Any]]:
    """Return a function's log lines about a job."""
    pages = local_stack.aws.client("logs").get_paginator("filter_log_events")
    texts = [
        event["message"]
        for page in pages.paginate(logGroupName=f"/stepml/stepml/{function}")
        for event in page["events"]
    ]
    lines = [json.loads(text) for text in texts if text.startswith("{")]
    return [line for line in lines if line.get("job_id") == job_id]


def with_an_outlier(local_stack: LocalStack, job: dict[str, Any]) -> dict[str, Any]:
    """Return a job of which one rank fails every time: float16 has no room for its values."""
    header, _, *rows = csv_rows().splitlines()
    data = b"\n".join([header, b"1e9" + b",1" * 6, *rows, b""])
    uri = local_stack.upload("data/outlier.csv", data)
    return job | {
        "data": {"uri": uri, "format": "csv", "label": "label"},
        "exchange": {"compression": "float16"},
        "stop": {"max_epochs": 1},
    }


def test_a_rank_that_fails_every_time_fails_the_job_with_its_own_error(
    local_stack: LocalStack, job: dict[str, Any]
) -> None:
    name = unique("outlier")
    flight = with_an_outlier(local_stack, job) | {"algorithm": ALGORITHMS["gradient_averaging"]}
    ended = local_stack.run(flight, name)
    assert ended["status"] == "FAILED"
    failures = local_stack.keys(keys.failures_prefix(name))
    assert len(failures) == 2  # RunEpoch retries once
    first, again = (decode(local_stack.read(key), Failure, key) for key in failures)
    assert first.error == "CompressionError"
    assert again.rank == first.rank
    assert first.log_group == "/stepml/stepml/executor"
    assert first.message in ended["cause"]


@pytest.mark.parametrize("what", ["damaged", "missing"])
def test_a_job_refuses_to_go_on_without_its_own_objects(
    local_stack: FaultyStack, job: dict[str, Any], undisturbed: Reference, what: str
) -> None:
    expected = undisturbed(job)
    name = unique(what)
    with held_in(local_stack, job, name, epoch=2) as execution:
        stop(local_stack, execution)
    eventually(lambda: local_stack.keys(keys.ended(name)), len)
    done = decode(local_stack.read(keys.ended(name)), EndReport, "ended").epochs
    state = keys.state(name, done)
    whole, s3 = local_stack.read(state), local_stack.aws.client("s3")
    if what == "missing":
        s3.delete_object(Bucket=local_stack.bucket, Key=state)
    else:
        s3.put_object(Bucket=local_stack.bucket, Key=state, Body=whole[:-1] + b"\0")
    ended = redrive(local_stack, execution)
    assert ended["status"] == "FAILED"
    assert state in ended["cause"]
    assert {"missing": "KeyNotFoundError", "damaged": "DamagedValueError"}[what] in ended["cause"]
    s3.put_object(Bucket=local_stack.bucket, Key=state, Body=whole)
    assert redrive(local_stack, execution)["status"] == "SUCCEEDED"
    assert local_stack.read(keys.model(name)) == expected


def test_a_long_job_rolls_over_and_ends_with_its_report(
    local_stack: LocalStack, job: dict[str, Any], undisturbed: Reference
) -> None:
    long = job | {"stop": {"max_epochs": 5}}
    expected = undisturbed(long)
    name = unique("long")
    with epochs_an_execution(local_stack, 2):
        ended = local_stack.run(long, name)
    assert ended["status"] == "SUCCEEDED", ended
    assert ended["report"]["epochs"] == 5
    assert local_stack.read(keys.model(name)) == expected
    parents = [
        each["name"]
        for each in local_stack.aws.executions(local_stack.outputs["TrainStateMachineArn"])
        if each["name"].startswith(name)
    ]
    assert parents == [name, f"{name}-c3-r0-t0", f"{name}-c5-r0-t0"]
    assert [e["name"] for e in local_stack.epochs(name)] == [
        f"{name}-e{epoch}-r0-t0" for epoch in range(1, 6)
    ]


def test_a_job_that_rolled_over_is_stopped_and_redriven_as_a_whole(
    local_stack: FaultyStack, job: dict[str, Any], undisturbed: Reference
) -> None:
    long = job | {"stop": {"max_epochs": 5}}
    expected = undisturbed(long)
    name = unique("long")
    with epochs_an_execution(local_stack, 2):
        with held_in(local_stack, long, name, epoch=4) as execution:
            stop(local_stack, execution)
        eventually(lambda: local_stack.keys(keys.ended(name)), len)
        ended = redrive(local_stack, execution)
    assert ended["status"] == "SUCCEEDED", ended
    assert local_stack.read(keys.model(name)) == expected
    finished = [e["name"] for e in local_stack.epochs(name) if e["status"] == "SUCCEEDED"]
    assert len(finished) == 5


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_job_that_resumes_another_comes_to_the_same_bits(
    local_stack: LocalStack, job: dict[str, Any], undisturbed: Reference, algorithm: str
) -> None:
    chosen = job | {"algorithm": ALGORITHMS[algorithm]}
    expected = undisturbed(chosen)
    first = unique("first")
    assert local_stack.run(chosen | {"stop": {"max_epochs": 1}}, first)["status"] == "SUCCEEDED"
    name = unique("second")
    rest = chosen | {"resume_from": first}
    ended = local_stack.run(rest | {"exchange": {"channel": "redis"}}, name)
    assert ended["status"] == "SUCCEEDED", ended
    assert local_stack.read(keys.model(name)) == expected
    assert [each["name"] for each in local_stack.epochs(name)] == [
        f"{name}-e2-r0-t0",
        f"{name}-e3-r0-t0",
    ]
    assert [each["epoch"] for each in ended["report"]["history"]] == [1, 2, 3]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"resume_from": "nobody"}, "resume_from.job: expected a job of this stack"),
        (
            {"resume_from": {"job": "FIRST", "epoch": 9}},
            "expected 0 to 1, the finished epochs of",
        ),
        ({"resume_from": "FIRST", "stop": {"max_epochs": 1}}, "stop.max_epochs: expected more"),
        (
            {"resume_from": "FIRST", "algorithm": {"name": "admm"}},
            "algorithm: expected that of resume_from.job",
        ),
    ],
    ids=["unknown", "too many", "nothing left", "other algorithm"],
)
def test_what_cannot_be_resumed_is_refused_by_name(
    local_stack: LocalStack, job: dict[str, Any], fields: dict[str, Any], message: str
) -> None:
    first = unique("first")
    local_stack.run(job | {"stop": {"max_epochs": 1}}, first)
    rest = json.loads(json.dumps(job | fields).replace("FIRST", first))
    ended = local_stack.run(rest)
    assert ended["status"] == "FAILED"
    assert ended["error"] == "InvalidJobError"
    assert message in ended["cause"]


def test_a_hundred_workers_train(local_stack: LocalStack, job: dict[str, Any]) -> None:
    name = unique("wide")
    wide = job | {"workers": 100, "stop": {"max_epochs": 1}}
    ended = local_stack.run(wide, name)
    assert ended["status"] == "SUCCEEDED", ended
    report = decode(local_stack.read(keys.epoch_report(name, 1)), EpochReport, "report")
    assert len(report.executor_seconds) == 100
    groups = local_stack.aws.executions(local_stack.outputs["RanksStateMachineArn"])
    assert len([each for each in groups if each["status"] == "SUCCEEDED"]) >= 3


def test_ranks_of_several_groups_exchange_in_flight(
    local_stack: LocalStack, job: dict[str, Any]
) -> None:
    wide = job | {
        "workers": 44,
        "algorithm": ALGORITHMS["gradient_averaging"] | {"batch_size": 20},
        "exchange": {"channel": "redis"},
        "stop": {"max_epochs": 1},
    }
    ended = local_stack.run(wide)
    assert ended["status"] == "SUCCEEDED", ended


def test_an_error_of_one_rank_comes_up_through_its_group(
    local_stack: LocalStack, job: dict[str, Any]
) -> None:
    name = unique("wide")
    ended = local_stack.run(with_an_outlier(local_stack, job) | {"workers": 42}, name)
    assert ended["status"] == "FAILED"
    failures = local_stack.keys(keys.failures_prefix(name))
    failure = decode(local_stack.read(failures[0]), Failure, failures[0])
    assert failure.error == "CompressionError"
    assert failure.message in ended["cause"]


def test_more_ranks_in_flight_than_functions_may_run_are_refused(
    local_stack: LocalStack, job: dict[str, Any]
) -> None:
    flight = job | {"workers": 60, "algorithm": ALGORITHMS["gradient_averaging"]}
    ended = local_stack.run(flight)
    assert (ended["status"], ended["error"]) == ("FAILED", "NotEnoughConcurrencyError")
    assert "expected at most 50, got 60" in ended["cause"]


@pytest.fixture(scope="module")
def finished(local_stack: LocalStack, job: dict[str, Any]) -> str:
    """A finished job on data of its own."""
    uri = local_stack.upload("data/lost.csv", csv_rows(60, seed=8))
    data = job["data"] | {"uri": uri, "ranges": 2}
    name = unique("finished")
    ended = local_stack.run(job | {"data": data, "workers": 2, "stop": {"max_epochs": 1}}, name)
    assert ended["status"] == "SUCCEEDED", ended
    return name


def lose_data(local_stack: LocalStack, name: str) -> str:
    """Delete a job's partitioned data, and return the key of their manifest."""
    plan = decode(local_stack.read(keys.partition_plan(name)), PartitionPlan, "plan")
    for key in local_stack.keys(f"datasets/{plan.digest}/"):
        local_stack.aws.client("s3").delete_object(Bucket=local_stack.bucket, Key=key)
    return data_keys.manifest(plan.digest)


def second_attempt(local_stack: LocalStack, name: str) -> tuple[str, set[str]]:
    """Run an epoch's second attempt; return its status and the states that it entered."""
    client = local_stack.aws.client("stepfunctions")
    (first,) = local_stack.epochs(name)
    found = client.describe_execution(executionArn=first["executionArn"])
    task = json.loads(found["input"]) | {"retries": 1}
    ended = local_stack.aws.run(local_stack.outputs["EpochStateMachineArn"], task)
    entered = {
        event["stateEnteredEventDetails"]["name"]
        for event in local_stack.aws.events(ended["executionArn"])
        if "stateEnteredEventDetails" in event
    }
    return ended["status"], entered


def test_lost_data_are_parsed_again_by_one_function_for_each_range(
    local_stack: LocalStack, finished: str
) -> None:
    manifest = lose_data(local_stack, finished)
    plan = decode(local_stack.read(keys.partition_plan(finished)), PartitionPlan, "plan")
    model_before = local_stack.read(keys.model(finished))
    more = {"continues": {"job_id": finished, "run": plan.run, "next_epoch": 1}}
    ended = local_stack.run(more, unique("continued"))
    assert ended["status"] == "SUCCEEDED", ended
    parsed = [
        event
        for event in local_stack.aws.events(ended["executionArn"])
        if event.get("stateEnteredEventDetails", {}).get("name") == "PartitionRange"
    ]
    assert len(parsed) == 2
    assert local_stack.keys(manifest) == [manifest]
    assert local_stack.read(keys.model(finished)) == model_before


def test_a_second_attempt_restores_data_only_if_the_first_one_needed_them(
    local_stack: LocalStack, finished: str
) -> None:
    manifest = lose_data(local_stack, finished)
    status, entered = second_attempt(local_stack, finished)
    assert (status, "CheckData" in entered, "RestoreRanges" in entered) == (
        "SUCCEEDED",
        True,
        False,
    )
    failure = Failure(
        rank=1, epoch=1, error="DataSetDamagedError", message="", log_group="", log_stream=""
    )
    local_stack.upload(keys.failure(finished, "an-attempt.0"), encode(failure))
    status, entered = second_attempt(local_stack, finished)
    assert (status, "PublishData" in entered) == ("SUCCEEDED", True)
    assert local_stack.keys(manifest) == [manifest]
    # The ranks may have all they need, even if the source has been changed.
    lose_data(local_stack, finished)
    local_stack.upload("data/lost.csv", csv_rows(60, seed=9))
    status, entered = second_attempt(local_stack, finished)
    assert (status, "RestoreRanges" in entered) == ("SUCCEEDED", True)
    assert not local_stack.keys(manifest)
