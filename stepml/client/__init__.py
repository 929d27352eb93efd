"""The typed client of a deployed StepML; the command line is built on it.

::

    client = Client()
    run = client.run("job.json", wait=True)
    run.epochs.to_frame()
    run.predict(X)
"""

from stepml.client.callbacks import Callback
from stepml.client.client import Client
from stepml.client.connection import Connection, connect
from stepml.client.log_lines import LogLine, LogLines
from stepml.client.retrying import Retried
from stepml.client.run import Run
from stepml.client.run_facts import RunFacts
from stepml.client.run_list import Runs
from stepml.client.stack import Stack
from stepml.client.stopping import Stopped
from stepml.client.tabular import EpochFunction, Epochs, Parts, Tabular
from stepml.client.transfers import Upload
from stepml.client.watching import Snapshot, watch
from stepml.job.names import DEFAULT_STACK
from stepml.records.errors import (
    AccessError,
    ExecutionNotFoundError,
    InvalidArgumentError,
    RetryRefusedError,
    RunFailedError,
    RunNameTakenError,
    UploadRefusedError,
)
from stepml.records.execution import EpochAttempt, Execution, ExecutionState
from stepml.records.failures import Failure
from stepml.records.history import Phase

__all__ = [
    "DEFAULT_STACK",
    "AccessError",
    "Callback",
    "Client",
    "Connection",
    "EpochAttempt",
    "EpochFunction",
    "Epochs",
    "Execution",
    "ExecutionNotFoundError",
    "ExecutionState",
    "Failure",
    "InvalidArgumentError",
    "LogLine",
    "LogLines",
    "Parts",
    "Phase",
    "Retried",
    "RetryRefusedError",
    "Run",
    "RunFacts",
    "RunFailedError",
    "RunNameTakenError",
    "Runs",
    "Snapshot",
    "Stack",
    "Stopped",
    "Tabular",
    "Upload",
    "UploadRefusedError",
    "connect",
    "watch",
]
