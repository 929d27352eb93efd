"""Finds the jobs that are running in an account, of whatever stack."""

from __future__ import annotations

from collections.abc import Sequence

from stepml.client.connection import Connection, translated


def running_jobs(connection: Connection, machines: Sequence[str] | None = None) -> list[str]:
    """Return the names of the running jobs.

    Parameters
    ----------
    connection : Connection
    machines : sequence of str, optional
        ARNs of state machines; by default those of all stacks of StepML.

    Raises
    ------
    AccessError
        A service cannot be reached or refuses.
    """
    states = connection.client("stepfunctions")
    with translated(connection.endpoint_url):
        pages = states.get_paginator("list_executions")
        return [
            execution["name"]
            for arn in (training_machines(connection) if machines is None else machines)
            for page in pages.paginate(stateMachineArn=arn, statusFilter="RUNNING")
            for execution in page["executions"]
        ]


def training_machines(connection: Connection) -> list[str]:
    """Return the ARNs of the state machines ``train`` of all stacks of StepML."""
    stacks = connection.client("cloudformation").get_paginator("describe_stacks")
    with translated(connection.endpoint_url):
        return [
            output["OutputValue"]
            for page in stacks.paginate()
            for stack in page["Stacks"]
            for output in stack.get("Outputs", [])
            if output["OutputKey"] == "TrainStateMachineArn"
        ]
