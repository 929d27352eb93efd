"""Trains tiny jobs on a new deployment, one over each of its channels."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from stepml.client.client import Client
from stepml.client.connection import translated
from stepml.client.execution import Execution
from stepml.client.stored import delete_stored
from stepml.deployment.errors import DeploymentError
from stepml.job import keys
from stepml.job.channels import CHANNELS

WAIT_S = 900.0  # with cold starts in a new network
ROWS = 60
DATA_KEY = "data/stepml-smoke.csv"


class SmokeTestError(DeploymentError):
    """The stack is deployed, but a job over one of its channels failed."""


@dataclass(frozen=True, slots=True)
class Smoke:
    """A job that has succeeded."""

    channel: str
    job: str  # its name
    seconds: float


def channels(parameters: Mapping[str, str]) -> list[str]:
    """Return the channels of a stack with these parameters."""
    return [
        name
        for name, channel in CHANNELS.items()
        if channel.parameter is None or parameters.get(channel.parameter)
    ]


def smoke(client: Client, names: list[str], wait_s: float = WAIT_S) -> list[Smoke]:
    """Train a job of 60 rows with 2 workers over each channel, all at once.

    The data and the jobs are deleted from the bucket when all have succeeded.

    Parameters
    ----------
    client : Client
    names : list of str
        The channels.
    wait_s : float
        Seconds to wait for all jobs.

    Raises
    ------
    SmokeTestError
        A job failed, or did not end in time; the message names its channel and error.
    """
    bucket = client.stack.bucket
    with translated(client.connection.endpoint_url):
        client.connection.client("s3").put_object(Bucket=bucket, Key=DATA_KEY, Body=_rows())
    suffix = uuid.uuid4().hex[:8]
    started = {
        name: client.start(json.dumps(job(name)), f"smoke-{name.replace('_', '-')}-{suffix}")
        for name in names
    }
    deadline = time.monotonic() + wait_s
    results = [_awaited(client, name, each, deadline) for name, each in started.items()]
    for place in (DATA_KEY, *(keys.job_prefix(each.job) for each in results)):
        delete_stored(client.connection, bucket, place)
    return results


def job(channel: str) -> dict[str, object]:
    """Return a job whose workers exchange over ``channel``, once."""
    return {
        "data": {"uri": DATA_KEY, "format": "csv", "label": "y"},
        "workers": 2,
        "model": {"name": "logistic_regression"},
        "exchange": {"channel": channel},
        "stop": {"max_epochs": 1},
    }


def _rows() -> bytes:
    rows = [f"{i % 7},{i % 5},{int(i % 7 > i % 5)}" for i in range(ROWS)]
    return "\n".join(["a,b,y", *rows, ""]).encode()


def _awaited(client: Client, channel: str, execution: Execution, deadline: float) -> Smoke:
    while not (state := client.describe(execution)).ended:
        if time.monotonic() > deadline:
            raise SmokeTestError(
                f"the smoke job over {channel}, {execution.name}, is still {state.status}"
            )
        time.sleep(client.connection.poll_s)
    if not state.succeeded:
        failure = client.failure_of(state)
        raise SmokeTestError(
            f"the stack is deployed, but the smoke job over {channel}, {execution.name}, is "
            f"{state.status}: {failure or 'no reason given'}"
        )
    assert state.ended_at is not None
    return Smoke(channel, execution.name, (state.ended_at - state.started_at).total_seconds())
