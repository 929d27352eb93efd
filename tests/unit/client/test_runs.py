"""Runs as objects, against moto's server: starting, finding, waiting, awaiting, ARNs."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import stepml
from stepml.client import (
    Client,
    Execution,
    ExecutionNotFoundError,
    InvalidArgumentError,
    RetryRefusedError,
    Run,
    RunFailedError,
    RunNameTakenError,
)
from stepml.client.arns import connection_of, train_execution
from stepml.client.connection import Connection, connect
from stepml.job.errors import InvalidJobError
from tests.support.moto_stack import BUCKET, JOB, JOB_TEXT, MotoStack

ARN = "arn:aws:states:eu-west-1:210987654321:execution:my-stack-train:my-run"


@pytest.fixture
def name() -> str:
    return f"run-{uuid.uuid4().hex[:8]}"


def of_types() -> stepml.Job:
    return stepml.Job(
        data=stepml.Data(uri=JOB["data"]["uri"], format="csv", label="y"),
        model=stepml.LogisticRegression(),
        algorithm=stepml.ModelAveraging(),
        stop=stepml.Stop(max_epochs=3),
    )


def toml_file(directory: Path) -> Path:
    path = directory / "my job.toml"
    lines = [
        f"{group}.{key} = {json.dumps(value)}"
        for group, each in JOB.items()
        for key, value in each.items()
    ]
    path.write_text("\n".join(lines))
    return path


JOBS: dict[str, Callable[[Path], Any]] = {
    "mapping": lambda _: JOB,
    "text": lambda _: JOB_TEXT,
    "typed": lambda _: of_types(),
    "path": toml_file,
    "name of a file": lambda directory: str(toml_file(directory)),
}


@pytest.mark.parametrize("job_of", JOBS.values(), ids=JOBS)
def test_a_job_is_a_mapping_a_text_a_file_or_typed(
    stack: MotoStack, name: str, tmp_path: Path, job_of: Callable[[Path], Any]
) -> None:
    run = stack.client().run(job_of(tmp_path), name, wait=True)

    assert json.loads(run.state.job) == JOB
    assert (run.name, run.status) == (name, "SUCCEEDED")


def test_a_run_gets_a_name_from_its_file_and_the_time(stack: MotoStack, tmp_path: Path) -> None:
    client = stack.client()

    assert client.run(toml_file(tmp_path)).name.startswith("my-job-2")
    assert client.run(JOB).name.startswith("job-2")


@pytest.mark.parametrize(
    ("job", "message"),
    [
        (7, "the job: expected a stepml.Job, a mapping, the path of a file or a text, got int"),
        (None, "the job: expected .* got NoneType"),
        ("absent.json", "the job 'absent.json' cannot be read: No such file"),
        ("absent", "the job 'absent' cannot be read: No such file"),
        (" ", "the job ' ' cannot be read"),
        ({"data": {"uri": {1}}}, r"data\.uri: expected a value of JSON"),
        ({**JOB, "workers": float("nan")}, "NaN"),
        ({**JOB, "typo": 1}, "unknown field 'typo'"),
    ],
)
def test_a_wrong_job_is_refused_before_it_starts(stack: MotoStack, job: Any, message: str) -> None:
    with pytest.raises(InvalidJobError, match=message):
        stack.client().run(job)


def test_runs_are_found_and_equal(stack: MotoStack, name: str) -> None:
    client = stack.client()
    run = client.run(JOB, name)

    assert client.find(name) == client.find(run.arn) == client.latest() == client.runs()[0] == run
    assert len({run, client.find(name)}) == 1
    assert client.runs(limit=1)[:1].rows()[0]["job_id"] == name
    with pytest.raises(ExecutionNotFoundError, match=f"did you mean '{name}'"):
        client.find(name[:-1])


def test_waiting_ends_with_the_job_or_the_time(stack: MotoStack, name: str) -> None:
    endless = stack.client("endless").run(JOB, name)
    snapshots: list[object] = []

    with pytest.raises(TimeoutError, match=f"^{name} has not ended after 0 seconds; it goes on"):
        endless.wait(0, on_snapshot=snapshots.append)
    assert len(snapshots) == 1
    for wrong in (-1, float("nan")):
        with pytest.raises(
            InvalidArgumentError, match="timeout_s: expected seconds of at least 0, or None"
        ):
            endless.wait(wrong)
    stack.service("stepfunctions").stop_execution(executionArn=endless.arn)
    assert endless.wait(check=False).status == "ABORTED"


def test_a_failed_run_raises_its_failure(stack: MotoStack, name: str) -> None:
    with pytest.raises(RunFailedError, match=f"{name}: BadRowError: data/x.csv, line 17") as raised:
        stack.client("failing").run(JOB, name, wait=True)

    assert raised.value.failure.error == "BadRowError"
    failed = stack.client("failing").find(name)
    for ask in (failed.model, lambda: failed.download("absent")):
        with pytest.raises(RunFailedError):
            ask()
    assert (failed.result, failed.cost, list(failed.epochs), list(failed.parts)) == (
        None,
        None,
        [],
        [],
    )


def test_runs_are_awaited_together_without_blocking(stack: MotoStack, name: str) -> None:
    async def several() -> list[Run]:
        client = stack.client()
        runs = [client.run(JOB, f"{name}-{number}") for number in range(3)]
        ended = await asyncio.gather(*runs)
        endless = stack.client("endless").run(JOB, name)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(endless, 0.05)
        with pytest.raises(RunFailedError, match="BadRowError"):
            await stack.client("failing").run(JOB, f"{name}-failing")
        return ended

    assert [each.status for each in asyncio.run(several())] == ["SUCCEEDED"] * 3


def test_a_run_is_found_by_its_arn_alone(stack: MotoStack, name: str) -> None:
    run = stack.client("failing").run(JOB, name)

    found = Run.from_arn(run.arn, endpoint_url=stack.endpoint_url)

    assert found == run
    assert (found.stack.name, found.connection.session.region_name) == ("failing", "us-east-1")
    with pytest.raises(ExecutionNotFoundError, match="no run named 'absent'"):
        Run.from_arn(run.arn.replace(name, "absent"), endpoint_url=stack.endpoint_url)


def test_an_arn_names_region_and_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    found = train_execution(ARN)

    assert (found.stack, found.execution) == ("my-stack", Execution("my-run", ARN))
    connection = connection_of(found)
    assert (connection.session.region_name, connection.endpoint_url) == ("eu-west-1", None)


@pytest.mark.parametrize(
    "arn", ["my-run", "", ARN.replace("-train", "-epoch"), f"{ARN}:x", ARN[:-7]]
)
def test_another_arn_is_refused(arn: str) -> None:
    with pytest.raises(ExecutionNotFoundError, match=r"arn: expected arn:aws:states:<region>:"):
        Run.from_arn(arn)


def test_threads_share_a_client(stack: MotoStack, name: str) -> None:
    client = stack.client()

    def start(number: int) -> str:
        return client.run(JOB, f"{name}-{number}", wait=True).status

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(start, range(8))) == ["SUCCEEDED"] * 8


def test_starting_again_changes_nothing_unless_the_job_differs(stack: MotoStack, name: str) -> None:
    client = stack.client("endless")

    assert client.run(JOB, name) == client.run(JOB, name)
    with pytest.raises(RunNameTakenError):
        client.run({**JOB, "workers": 2}, name)


def test_a_client_says_where_it_works(stack: MotoStack) -> None:
    client = stack.client()

    assert repr(client) == f"Client('stepml' at {stack.endpoint_url})"
    assert repr(Client(connect(region="eu-west-1"), "mine")) == "Client('mine' at eu-west-1)"
    assert isinstance(client.connection, Connection)
    assert client.stack.bucket == BUCKET


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda it: Client("mine"), r"connection: .* got 'mine'; a stack is given by name"),
        (lambda it: Client(it.connection, stack=None), "stack: expected text, got None"),
        (
            lambda it: Client(endpoint_url="nonsense"),
            r"endpoint: expected http://.* got 'nonsense'",
        ),
        (
            lambda it: it.runs(status="broken"),
            "status: expected RUNNING, .* or ABORTED, got 'broken'",
        ),
        (lambda it: it.latest(status=7), "status: expected RUNNING, .* got 7"),
        (lambda it: it.runs(limit=0), "limit: expected an integer of at least 1, got 0"),
        (lambda it: it.find(None), "name: expected text, got None"),
        (lambda it: it.run(JOB, name=5), "name: expected text, got 5"),
        (lambda it: Run.from_arn(5), "arn: expected text, got 5"),
        (lambda it: it.named("x").wait("5"), "timeout_s: expected seconds of at least 0, or None"),
    ],
)
def test_a_wrong_argument_is_named_before_a_service_is_asked(
    stack: MotoStack, call: Callable[[Any], object], message: str
) -> None:
    client = stack.client()
    _ = client.stack

    with pytest.raises(InvalidArgumentError, match=message):
        call(client)


def test_a_status_may_have_small_letters(stack: MotoStack, name: str) -> None:
    client = stack.client("failing")
    run = client.run(JOB, name)
    run.wait(check=False)

    assert client.latest(status="failed") == client.runs(status="failed")[0] == run
    with pytest.raises(InvalidArgumentError, match="rank: expected 0 to 3, got 9"):
        run.logs(rank=9)
    with pytest.raises(RetryRefusedError, match=r"epoch: expected 1 to 1, .* got '1'"):
        wrong: Any = "1"
        run.retry(epoch=wrong)
