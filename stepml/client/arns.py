"""The ARN of a job's execution, which names its account, region and stack."""

from __future__ import annotations

import re
from dataclasses import dataclass

from stepml.client.arguments import checked_text
from stepml.client.choosing import chosen_connection
from stepml.client.connection import Connection
from stepml.local_identity import ACCOUNT_ID
from stepml.records.errors import ExecutionNotFoundError
from stepml.records.execution import Execution

_TRAIN = re.compile(
    r"arn:[^:]+:states:(?P<region>[^:]+):(?P<account>\d{12}):execution:"
    r"(?P<stack>[^:]+)-train:(?P<name>[^:]+)"
)


@dataclass(frozen=True, slots=True)
class TrainExecution:
    """An execution of the state machine ``train`` of a stack."""

    execution: Execution
    region: str
    account: str
    stack: str


def train_execution(arn: str) -> TrainExecution:
    """Return the parts of an ARN, or raise `ExecutionNotFoundError`."""
    found = _TRAIN.fullmatch(checked_text("arn", arn))
    if found is None:
        raise ExecutionNotFoundError(
            "arn: expected arn:aws:states:<region>:<account>:execution:<stack>-train:<run>, "
            f"got {arn!r}"
        )
    return TrainExecution(
        Execution(found["name"], arn), found["region"], found["account"], found["stack"]
    )


def connection_of(
    execution: TrainExecution, endpoint_url: str | None = None, profile: str | None = None
) -> Connection:
    """Return a connection to the region of an execution; errors as of `connect`."""
    is_local = execution.account == ACCOUNT_ID and not profile
    return chosen_connection(endpoint_url, None if is_local else execution.region, profile)
