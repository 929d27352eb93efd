"""The typed client of a deployed StepML; the command line is built on it.

::

    from stepml.client import Client, connect, watch

    client = Client(connect("http://127.0.0.1:4566"))
    execution = client.start(Path("job.json").read_bytes(), "my-run")
    for snapshot in watch(client, execution):
        print(snapshot.phase)
    client.download(execution, Path("runs/my-run"))
"""

from stepml.client.client import Client
from stepml.client.connection import Connection, connect
from stepml.client.errors import AccessError, ExecutionNotFoundError, RunNameTakenError
from stepml.client.execution import EpochAttempt, Execution, ExecutionState
from stepml.client.failures import Failure
from stepml.client.history import Phase
from stepml.client.logs import LogLine
from stepml.client.stack import DEFAULT_STACK, Stack
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
    "RunNameTakenError",
    "Snapshot",
    "Stack",
    "Upload",
    "connect",
    "watch",
]
