"""The state machines of a stack as workflows of the SDK."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from stepml.client.client import Client
from stepml.client.connection import translated
from stepml.workflow.library import sdk_module
from stepml.workflow.translation import steps_of
from stepml.workflow.vocabulary import full_vocabulary, sdk_vocabulary

Steps = Mapping[str, Any]


def deployed_workflow(
    client: Client | None = None, machine: Literal["train", "epoch"] = "train"
) -> Any:
    """Return a deployed state machine as the SDK's ``Workflow``.

    Parameters
    ----------
    client : Client, optional
        Of the stack. Default: ``Client()``, so the local AWS if one runs.
    machine : str
        ``train``, whose executions are jobs, or ``epoch``, whose executions are their epochs.

    Raises
    ------
    NotAvailableError
        The SDK is not installed.
    StackNotFoundError
        The stack does not exist.
    """
    client = client or Client()
    workflow = sdk_module("stepfunctions.workflow").Workflow
    arn = client.stack.train_arn if machine == "train" else client.stack.epoch_arn
    with translated(client.connection.endpoint_url):
        return workflow.attach(arn, client=client.connection.client("stepfunctions"))


def train_steps(client: Client | None = None, *, only_sdk: bool = False) -> dict[str, Any]:
    """Return the states of the deployed machine ``train`` as steps of the SDK, by name.

    They are connected. Change them, or connect more steps, before `train_workflow` takes them.

    Parameters
    ----------
    client : Client, optional
        As for `deployed_workflow`, with the same errors.
    only_sdk : bool
        Whether to leave out the words that the SDK's own classes lack, such as ``ResultSelector``.
        Such a machine can be drawn, but trains nothing. By default, classes that derive from the
        SDK's add these words, so the steps are equal to those of the deployed machine.
    """
    definition = json.loads(_described(client or Client())["definition"])
    return steps_of(definition, sdk_vocabulary() if only_sdk else full_vocabulary())


def train_workflow(
    client: Client | None = None,
    steps: Steps | None = None,
    *,
    name: str | None = None,
    only_sdk: bool = False,
) -> Any:
    """Return the machine ``train`` as a ``Workflow`` of the SDK that is not deployed yet.

    ``create()`` deploys it beside the stack's own machine, with the same role. Its executions call
    the stack's functions, but are no jobs of the stack's list.

    Parameters
    ----------
    client : Client, optional
        As for `deployed_workflow`, with the same errors.
    steps : mapping, optional
        The steps of `train_steps`, changed; the first one is where an execution starts.
    name : str, optional
        The name of the new machine. Default: ``<stack>-train-sdk``.
    only_sdk : bool
        As for `train_steps`, if no steps are given.
    """
    client = client or Client()
    steps = train_steps(client, only_sdk=only_sdk) if steps is None else steps
    described = _described(client)
    return sdk_module("stepfunctions.workflow").Workflow(
        name=name or f"{client.stack_name}-train-sdk",
        definition=next(iter(steps.values())),
        role=described["roleArn"],
        comment=json.loads(described["definition"]).get("Comment"),
        client=client.connection.client("stepfunctions"),
    )


def _described(client: Client) -> dict[str, Any]:
    states = client.connection.client("stepfunctions")
    with translated(client.connection.endpoint_url):
        return dict(states.describe_state_machine(stateMachineArn=client.stack.train_arn))
