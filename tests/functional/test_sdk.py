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
from tests.functional.conftest import Reference
from tests.support.local_stack import LocalStack
from tests.support.plain_choices import plain_job


@pytest.fixture
def client(local_stack: LocalStack) -> Client:
    return Client(connect(local_stack.endpoint_url))


def test_the_sdk_runs_a_job_and_shows_it(
    local_stack: LocalStack, client: Client, job: dict[str, Any]
) -> None:
    name = f"sdk-{uuid.uuid4().hex[:8]}"
    workflow = deployed_workflow(client)
    execution = workflow.execute(name=name, inputs=plain_job(job))
    assert execution.get_output(wait=True)["job_id"] == name
    assert execution.get_input()["workers"] == job["workers"]

    listed = workflow.list_executions(max_items=5)
    assert {each.name: each.status for each in listed}[name] == "SUCCEEDED"
    epochs = deployed_workflow(client, "epoch").list_executions()
    assert len([each for each in epochs if each.name.startswith(f"{name}-e")]) == 3

    states = [*train_steps(client)]
    graph = workflow.render_graph().data
    assert [each for each in states if f'"{each}"' not in graph] == []
    progress = execution.render_progress().data
    events = execution.list_events()
    assert events[-1]["type"] == "ExecutionSucceeded"
    assert len(re.findall(r'"previousEventId":', progress)) == len(events)
    assert f'">{name}' in re.sub(r"\s+", "", workflow.list_executions(html=True).data)


def test_a_machine_of_ones_own_trains_the_same_model(
    local_stack: LocalStack, client: Client, job: dict[str, Any], undisturbed: Reference
) -> None:
    steps = train_steps(client)
    added = sdk_module("stepfunctions.steps").Pass(
        "Told", result={"told": True}, result_path="$.own"
    )
    steps["Finalise"].next(added)
    name = f"own-{uuid.uuid4().hex[:8]}"
    workflow = train_workflow(client, steps, name=name)
    workflow.create()
    try:
        wanted = plain_job(job)
        ended = workflow.execute(name=name, inputs=wanted).get_output(wait=True)
    finally:
        workflow.delete()
    assert ended["own"] == {"told": True}
    assert local_stack.read(keys.model(name)) == undisturbed(wanted)
