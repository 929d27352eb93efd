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
from stepml.client.retry_choices import RetryChoices
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
from stepml.records.retry_plan import Retried, RetryPlan, StopPlan

if TYPE_CHECKING:
    from stepml.client.epoch_runs import EpochRun, MapRun, SeenEpoch
    from stepml.client.histories import History, Seen
    from stepml.client.invocations import InvocationLog
    from stepml.client.iterations import IterationRun, IterationRuns, Visits
    from stepml.client.job_histories import JobHistories
    from stepml.client.job_list import JobList, JobListing
    from stepml.client.job_watch import JobLook, JobWatch
    from stepml.records.visits import Attempt, Iterations, Visit
    from stepml.reports.compared_runs import ComparedRuns
    from stepml.reports.fragments import Page

__all__ = [
    "DEFAULT_STACK",
    "AccessError",
    "Attempt",
    "Callback",
    "Client",
    "ComparedRuns",
    "Connection",
    "EpochAttempt",
    "EpochFunction",
    "EpochRun",
    "Epochs",
    "Execution",
    "ExecutionNotFoundError",
    "ExecutionState",
    "Failure",
    "History",
    "InvalidArgumentError",
    "InvocationLog",
    "IterationRun",
    "IterationRuns",
    "Iterations",
    "JobHistories",
    "JobList",
    "JobListing",
    "JobLook",
    "JobWatch",
    "LogLine",
    "LogLines",
    "MapRun",
    "Page",
    "Parts",
    "Phase",
    "Retried",
    "RetryChoices",
    "RetryPlan",
    "RetryRefusedError",
    "Run",
    "RunFacts",
    "RunFailedError",
    "RunNameTakenError",
    "Runs",
    "Seen",
    "SeenEpoch",
    "Snapshot",
    "Stack",
    "StopPlan",
    "Stopped",
    "Tabular",
    "Upload",
    "UploadRefusedError",
    "Visit",
    "Visits",
    "connect",
    "watch",
]

# Imported at their first use: few programs need them, and some need the library for templates.
_LAZY = {
    "Attempt": "stepml.records.visits",
    "ComparedRuns": "stepml.reports.compared_runs",
    "EpochRun": "stepml.client.epoch_runs",
    "History": "stepml.client.histories",
    "InvocationLog": "stepml.client.invocations",
    "IterationRun": "stepml.client.iterations",
    "IterationRuns": "stepml.client.iterations",
    "Iterations": "stepml.records.visits",
    "JobHistories": "stepml.client.job_histories",
    "JobList": "stepml.client.job_list",
    "JobListing": "stepml.client.job_list",
    "JobLook": "stepml.client.job_watch",
    "JobWatch": "stepml.client.job_watch",
    "MapRun": "stepml.client.epoch_runs",
    "Page": "stepml.reports.fragments",
    "Seen": "stepml.client.histories",
    "SeenEpoch": "stepml.client.epoch_runs",
    "Visit": "stepml.records.visits",
    "Visits": "stepml.client.iterations",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
