"""Smoke jobs wait for servers that are still starting, and for nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from stepml.deployment.smoke import DATA_KEY, SmokeTestError, smoke
from stepml.job.channels import PARAMETER_SERVER
from tests.support.moto_stack import BUCKET, MotoStack, running_stack


@pytest.fixture
def stack() -> Iterator[MotoStack]:
    with running_stack() as made:
        yield made


def let_jobs(stack: MotoStack, error: str | None) -> None:
    """Let all later jobs fail with an error, or succeed."""
    cause = json.dumps({"errorType": error, "errorMessage": "no answer"})
    end = {"Type": "Succeed"} if error is None else {"Type": "Fail", "Error": error, "Cause": cause}
    stack.service("stepfunctions").update_state_machine(
        stateMachineArn=stack.client().stack.train_arn,
        definition=json.dumps({"StartAt": "End", "States": {"End": end}}),
    )


def test_a_job_that_does_not_reach_its_server_is_repeated(stack: MotoStack) -> None:
    let_jobs(stack, "StorageUnavailableError")
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) > 3:  # some of them wait for the end of a job
            let_jobs(stack, None)

    (trained,) = smoke(stack.client(), [PARAMETER_SERVER], sleep=sleep)
    assert trained.channel == PARAMETER_SERVER
    started = stack.service("stepfunctions").list_executions(
        stateMachineArn=stack.client().stack.train_arn
    )["executions"]
    assert sorted({each["status"] for each in started}) == ["FAILED", "SUCCEEDED"]
    assert stack.service("s3").list_objects_v2(Bucket=BUCKET, Prefix=DATA_KEY)["KeyCount"] == 0


@pytest.mark.parametrize(
    ("error", "start_s"), [("StorageDeniedError", 420.0), ("StorageUnavailableError", -1.0)]
)
def test_a_job_that_fails_otherwise_or_too_late_is_named_with_its_error(
    stack: MotoStack, error: str, start_s: float
) -> None:
    let_jobs(stack, error)
    with pytest.raises(SmokeTestError, match=f"the smoke job over redis, smoke-redis-.*{error}"):
        smoke(stack.client(), ["redis"], start_s=start_s)
