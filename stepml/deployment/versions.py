"""Versions of earlier deployments, which are deleted once no job can need them any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from stepml.client.connection import Connection, translated
from stepml.deployment.records import StackState
from stepml.packaging.functions import function_names

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

KEPT = 2  # the newest versions of each function and state machine
# A deployment publishes versions before its last state machine names them.
LONGEST_UPDATE = timedelta(hours=3)
REDRIVABLE = timedelta(days=14)  # after its end, Step Functions resumes an execution
_TRAIN = "TrainStateMachineArn"  # these are outputs of the template
_NESTED = ("EpochStateMachineArn", "RanksStateMachineArn")
_LATEST = "$LATEST"


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a function or a state machine."""

    name: str  # its number, or its ARN
    made_at: datetime


def delete_old(
    connection: Connection,
    stack: StackState,
    now: datetime | None = None,
    update_takes: timedelta = LONGEST_UPDATE,
) -> int:
    """Delete the versions that no job can need any more, and return how many these were.

    A job needs the versions of the time at which it began, as long as it runs or can be redriven.

    Parameters
    ----------
    connection : Connection
    stack : StackState
        The main stack; another one has no versions.
    now : datetime, optional
        The present time.
    update_takes : timedelta
        The most time for which jobs begin with the version before the newest one.
    """
    if not {_TRAIN, *_NESTED} <= stack.outputs.keys():
        return 0
    with translated(connection.endpoint_url):
        present = now or datetime.now(UTC)
        since = _oldest_start(connection, stack.outputs[_TRAIN], present) - update_takes
        return sum(
            [
                *(_of_machine(connection, stack.outputs[each], since) for each in _NESTED),
                *(
                    _of_function(connection, f"{stack.name}-{each}", since)
                    for each in function_names()
                ),
            ]
        )


def superseded(versions: Sequence[Version], since: datetime) -> list[Version]:
    """Return the versions that had a successor at the time ``since``, but for the newest two.

    Parameters
    ----------
    versions : sequence of Version
        Of one function or state machine, the oldest one first.
    since : datetime
    """
    old = pairwise(versions[: 1 - KEPT])
    return [version for version, successor in old if successor.made_at <= since]


def _oldest_start(connection: Connection, machine: str, now: datetime) -> datetime:
    """Return the start of the oldest job that runs or can be redriven, or ``now`` without one."""
    pages = connection.client("stepfunctions").get_paginator("list_executions")
    return min(
        (
            each["startDate"]
            for page in pages.paginate(stateMachineArn=machine)
            for each in page["executions"]
            if each["status"] == "RUNNING"
            or (each["status"] != "SUCCEEDED" and each["stopDate"] > now - REDRIVABLE)
        ),
        default=now,
    )


def _of_function(connection: Connection, name: str, since: datetime) -> int:
    functions = connection.client("lambda")
    try:
        pages = [*functions.get_paginator("list_versions_by_function").paginate(FunctionName=name)]
    except functions.exceptions.ResourceNotFoundException:
        return 0  # one with torch, which the stack does not have
    versions = [
        Version(each["Version"], datetime.fromisoformat(each["LastModified"]))
        for page in pages
        for each in page["Versions"]
        if each["Version"] != _LATEST
    ]
    old = superseded(versions, since)
    if old:
        _delete_aliases(functions, name, {each.name for each in old})
    for each in old:
        functions.delete_function(FunctionName=name, Qualifier=each.name)
    return len(old)


def _delete_aliases(functions: LambdaClient, name: str, versions: set[str]) -> None:
    for page in functions.get_paginator("list_aliases").paginate(FunctionName=name):
        for alias in page["Aliases"]:
            if alias["FunctionVersion"] in versions:
                functions.delete_alias(FunctionName=name, Name=alias["Name"])


def _of_machine(connection: Connection, arn: str, since: datetime) -> int:
    machines = connection.client("stepfunctions")
    found: list[Any] = []
    more: Any = {}
    while True:  # boto3 has no paginator for it
        page = machines.list_state_machine_versions(stateMachineArn=arn, **more)
        found += page["stateMachineVersions"]
        if not (token := page.get("nextToken")):
            break
        more = {"nextToken": token}
    versions = [Version(each["stateMachineVersionArn"], each["creationDate"]) for each in found]
    old = superseded(sorted(versions, key=lambda each: each.made_at), since)
    for each in old:
        machines.delete_state_machine_version(stateMachineVersionArn=each.name)
    return len(old)
