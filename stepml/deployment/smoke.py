"""Trains tiny jobs on a new deployment, one over each of its channels."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stepml.client.client import Client
from stepml.client.connection import translated
from stepml.client.run import Run
from stepml.client.stored import delete_stored
from stepml.deployment.errors import DeploymentError
from stepml.job import keys
from stepml.job.errors import StorageUnavailableError
from stepml.records.execution import ExecutionState

WAIT_S = 900.0  # with cold starts in a new network
START_S = 420.0  # of a parameter server's VM, which installs its libraries
ROWS = 60
DATA_KEY = "data/stepml-smoke.csv"


_UNREACHED = StorageUnavailableError.__name__


class SmokeTestError(DeploymentError):
    """The stack is deployed, but a job over one of its channels failed."""


@dataclass(frozen=True, slots=True)
class Smoke:
    """A job that has succeeded."""

    channel: str
    job: str  # its name
    seconds: float


def smoke(
    client: Client,
    names: Sequence[str],
    wait_s: float = WAIT_S,
    start_s: float = START_S,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Smoke]:
    """Train a job of 60 rows with 2 workers over each channel, all at once.

    The data and the jobs are deleted from the bucket when all have succeeded.

    Parameters
    ----------
    client : Client
    names : sequence of str
        The channels.
    wait_s : float
        Seconds to wait for all jobs.
    start_s : float
        Seconds in which a server may still start: a job that does not reach it is repeated.
    sleep : callable

    Raises
    ------
    SmokeTestError
        A job failed, or did not end in time; the message names its channel and error.
    """
    bucket = client.stack.bucket
    with translated(client.connection.endpoint_url):
        client.connection.client("s3").put_object(Bucket=bucket, Key=DATA_KEY, Body=_rows())
    trials = [_Trial(client, name) for name in names]
    began = time.monotonic()
    results = [each.ended(began + wait_s, began + start_s, sleep) for each in trials]
    jobs = [run.name for each in trials for run in each.runs]
    for place in (DATA_KEY, *map(keys.job_prefix, jobs)):
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


class _Trial:
    """Jobs over one channel, until one succeeds."""

    def __init__(self, client: Client, channel: str) -> None:
        self._client = client
        self._channel = channel
        self.runs: list[Run] = []
        self._start()

    def ended(self, deadline: float, repeat_until: float, sleep: Callable[[float], None]) -> Smoke:
        """Return the job that has succeeded; both times are those of the monotonic clock."""
        while True:
            run = self.runs[-1]
            state = self._awaited(run, deadline, sleep)
            if state.succeeded:
                assert state.ended_at is not None
                seconds = (state.ended_at - state.started_at).total_seconds()
                return Smoke(self._channel, run.name, seconds)
            failure = run.failure_of(state)
            is_absent = failure is not None and failure.error == _UNREACHED
            if not is_absent or time.monotonic() > repeat_until:
                raise SmokeTestError(
                    f"the stack is deployed, but the smoke job over {self._channel}, "
                    f"{run.name}, is {state.status}: {failure or 'no reason given'}"
                )
            sleep(self._client.connection.poll_s)
            self._start()

    def _start(self) -> None:
        name = f"smoke-{self._channel.replace('_', '-')}-{uuid.uuid4().hex[:8]}"
        self.runs.append(self._client.run(job(self._channel), name))

    def _awaited(self, run: Run, deadline: float, sleep: Callable[[float], None]) -> ExecutionState:
        while not (state := run.state).ended:
            if time.monotonic() > deadline:
                raise SmokeTestError(
                    f"the smoke job over {self._channel}, {run.name}, is still {state.status}"
                )
            sleep(self._client.connection.poll_s)
        return state
