"""The typed client of a deployed StepML; the command line is built on it.

::

    from stepml.client import Client, connect, watch

    client = Client(connect("http://127.0.0.1:4566"))
    execution = client.start(Path("job.json").read_bytes(), "my-run")
    for snapshot in watch(client, execution):
        print(snapshot.phase)
    if client.failure(execution) is None:
        client.download(execution, Path("runs/my-run"))
    else:
        execution = client.retry(execution).execution
"""

from stepml.client.client import Client
from stepml.client.connection import Connection, connect
from stepml.client.errors import (
    AccessError,
    ExecutionNotFoundError,
    RetryRefusedError,
    RunNameTakenError,
)
from stepml.client.execution import EpochAttempt, Execution, ExecutionState
from stepml.client.failures import Failure
from stepml.client.history import Phase
from stepml.client.logs import LogLine
from stepml.client.retrying import Retried
from stepml.client.stack import DEFAULT_STACK, Stack
from stepml.client.stopping import Stopped
from stepml.client.transfers import Upload
from stepml.client.watching import Snapshot, watch

__all__ = [
    "DEFAULT_STACK",
    "AccessError",
    "Client",
    "Connection",
    "EpochAttempt",
    "Execution",
    "ExecutionNotFoundError",
    "ExecutionState",
    "Failure",
    "LogLine",
    "Phase",
    "Retried",
    "RetryRefusedError",
    "RunNameTakenError",
    "Snapshot",
    "Stack",
    "Stopped",
    "Upload",
    "connect",
    "watch",
]
