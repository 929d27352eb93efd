"""Finds the jobs that are running in an account, of whatever stack."""

from __future__ import annotations

from stepml.client.connection import Connection, translated


def running_jobs(connection: Connection) -> list[str]:
    """Return the names of the running jobs of all stacks of StepML.

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
            for arn in _training_machines(connection)
            for page in pages.paginate(stateMachineArn=arn, statusFilter="RUNNING")
            for execution in page["executions"]
        ]


def _training_machines(connection: Connection) -> list[str]:
    stacks = connection.client("cloudformation").get_paginator("describe_stacks")
    return [
        output["OutputValue"]
        for page in stacks.paginate()
        for stack in page["Stacks"]
        for output in stack.get("Outputs", [])
        if output["OutputKey"] == "TrainStateMachineArn"
    ]
