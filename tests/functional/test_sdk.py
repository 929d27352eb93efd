"""The state machines in the hands of AWS's Data Science SDK."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest

from stepml.client import Client
from stepml.client.connection import connect
from stepml.job import keys
from stepml.workflow import deployed_workflow, train_steps, train_workflow
from stepml.workflow.library import sdk_module
from tests.support.local_stack import LocalStack
from tests.support.plain_choices import plain_job

EPOCHS = 2


@pytest.fixture
def client(local_stack: LocalStack) -> Client:
    return Client(connect(local_stack.endpoint_url))


@pytest.fixture
def wanted(job: dict[str, Any]) -> dict[str, Any]:
    return plain_job(job | {"workers": 2, "stop": {"max_epochs": EPOCHS}})


def test_the_sdk_runs_jobs_on_the_deployed_machine_and_on_one_of_its_own(
    local_stack: LocalStack, client: Client, wanted: dict[str, Any]
) -> None:
    name, workflow = f"sdk-{uuid.uuid4().hex[:8]}", deployed_workflow(client)
    steps = train_steps(client)
    added = sdk_module("stepfunctions.steps").Pass(
        "Told", result={"told": True}, result_path="$.own"
    )
    steps["Finalise"].next(added)
    own = train_workflow(client, steps, name=f"own-{name}")
    own.create()
    try:
        execution = workflow.execute(name=name, inputs=wanted)
        ended = own.execute(name=own.name, inputs=wanted).get_output(wait=True)
    finally:
        own.delete()
    assert ended["own"] == {"told": True}
    assert execution.get_output(wait=True)["job_id"] == name
    model = local_stack.read(keys.model(name))
    assert model == local_stack.read(keys.model(own.name))

    assert client.find(execution.execution_arn).name == name
    assert execution.get_input()["workers"] == wanted["workers"]
    listed = workflow.list_executions(max_items=5)
    assert {each.name: each.status for each in listed}[name] == "SUCCEEDED"
    epochs = deployed_workflow(client, "epoch").list_executions()
    assert len([each for each in epochs if each.name.startswith(f"{name}-e")]) == EPOCHS

    graph = workflow.render_graph().data
    assert [each for each in steps if f'"{each}"' not in graph] == []
    events = execution.list_events()
    assert events[-1]["type"] == "ExecutionSucceeded"
    progress = execution.render_progress().data
    assert len(re.findall(r'"previousEventId":', progress)) == len(events)
    assert f'">{name}' in re.sub(r"\s+", "", workflow.list_executions(html=True).data)
