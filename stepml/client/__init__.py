"""The typed client of a deployed StepML; the command line is built on it.

::

    client = Client()
    run = client.run("job.json", wait=True)
    run.epochs.to_frame()
    run.predict(X)
"""

from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from stepml.client.job_list import JobList, JobListing
    from stepml.client.job_watch import JobLook, JobWatch
    from stepml.reports.compared_runs import ComparedRuns
    from stepml.reports.fragments import Page

__all__ = [
    "DEFAULT_STACK",
    "AccessError",
    "Callback",
    "Client",
    "ComparedRuns",
    "Connection",
    "EpochAttempt",
    "EpochFunction",
    "Epochs",
    "Execution",
    "ExecutionNotFoundError",
    "ExecutionState",
    "Failure",
    "InvalidArgumentError",
    "JobList",
    "JobListing",
    "JobLook",
    "JobWatch",
    "LogLine",
    "LogLines",
    "Page",
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

# Imported at their first use: few programs need them, and some need the library for templates.
_LAZY = {
    "ComparedRuns": "stepml.reports.compared_runs",
    "JobList": "stepml.client.job_list",
    "JobListing": "stepml.client.job_list",
    "JobLook": "stepml.client.job_watch",
    "JobWatch": "stepml.client.job_watch",
    "Page": "stepml.reports.fragments",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
