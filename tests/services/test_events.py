"""EventBridge: a rule notifies functions, and others, of how executions end."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.listener import listener
from tests.support.running_aws import RunningAws, eventually, only, task

PROBE = "app-probe"


def noted(path: Path, n: int) -> list[dict[str, Any]]:
    """Return the first ``n`` events that the application's function has recorded."""
    lines = eventually(
        lambda: path.read_text().splitlines() if path.exists() else [], lambda seen: len(seen) >= n
    )
    return [json.loads(line) for line in lines]


@contextmanager
def rule(aws: RunningAws, detail: dict[str, Any], *targets: dict[str, Any]) -> Iterator[str]:
    """Install a rule for executions with ``detail`` until the block ends."""
    events, name = aws.client("events"), f"rule-{uuid.uuid4().hex}"
    events.put_rule(
        Name=name, EventPattern=json.dumps({"source": ["aws.states"], "detail": detail})
    )
    named: list[Any] = [{"Id": f"target-{n}", **target} for n, target in enumerate(targets)]
    events.put_targets(Rule=name, Targets=named)
    yield name
    events.remove_targets(Rule=name, Ids=[each["Id"] for each in named])
    events.delete_rule(Name=name)


def function(aws: RunningAws, name: str) -> str:
    configured = aws.client("lambda").get_function_configuration(FunctionName=name)
    return str(configured["FunctionArn"])


def test_failures_of_a_job_and_of_its_children_are_told(
    aws: RunningAws, outputs: dict[str, str], tmp_path: Path
) -> None:
    plan = {"broken": 0, "notes": str(tmp_path / "notes")}
    job = {"epoch": 0, "max_epochs": 1, "ranks": [0], "plan": plan}
    ended = aws.run(outputs["TrainStateMachineArn"], job)
    events = noted(tmp_path / "notes", 3)
    children = [e for e in events if e["detail"]["stateMachineArn"].endswith(":app-epoch")]
    assert [event["detail"]["error"] for event in children] == ["BrokenError", "BrokenError"]
    (event,) = (event for event in events if event not in children)
    assert (event["version"], event["source"], event["detail-type"]) == (
        "0",
        "aws.states",
        "Step Functions Execution Status Change",
    )
    assert (event["account"], event["region"]) == ("123456789012", "us-east-1")
    assert event["resources"] == [ended["executionArn"]]
    assert event["time"] >= ended["startDate"].strftime("%Y-%m-%d")
    detail = event["detail"]
    assert json.loads(detail.pop("input")) == job
    assert detail == {
        "executionArn": ended["executionArn"],
        "stateMachineArn": outputs["TrainStateMachineArn"],
        "name": ended["name"],
        "status": "FAILED",
        "startDate": int(ended["startDate"].timestamp() * 1000),
        "stopDate": int(ended["stopDate"].timestamp() * 1000),
        "inputDetails": {"included": True},
        "output": None,
        "outputDetails": None,
        "stateMachineVersionArn": None,
        "stateMachineAliasArn": None,
        "error": "States.TaskFailed",
        "cause": ended["cause"],
        "redriveCount": 0,
        "redriveDate": None,
        "redriveStatus": "REDRIVABLE",
        "redriveStatusReason": None,
    }


def test_who_stops_a_job_has_its_children_told_too(
    aws: RunningAws, outputs: dict[str, str], tmp_path: Path
) -> None:
    released = tmp_path / "released"
    plan = {"notes": str(tmp_path / "notes"), "calls": str(tmp_path / "calls")}
    plan |= {"awaits": [[str(released)]]}
    job = {"epoch": 0, "max_epochs": 1, "ranks": [0], "plan": plan}
    execution = aws.start(outputs["TrainStateMachineArn"], job)
    eventually((tmp_path / "calls").exists, bool)
    aws.client("stepfunctions").stop_execution(executionArn=execution, error="StoppedByUser")
    details = [event["detail"] for event in noted(tmp_path / "notes", 2)]
    released.touch()
    assert {(detail["status"], detail["error"]) for detail in details} == {
        ("ABORTED", "StoppedByUser"),
        ("ABORTED", None),
    }


def test_a_rule_may_ask_for_every_status(
    aws: RunningAws, outputs: dict[str, str], tmp_path: Path
) -> None:
    machine = aws.machine(only(task(PROBE)))
    plan = {"notes": str(tmp_path / "notes")}
    job = {"plan": plan, "calls": str(tmp_path / "calls"), "fails": 1}
    with rule(aws, {"stateMachineArn": [machine]}, {"Arn": function(aws, "app-noter")}):
        execution = aws.run(machine, job)["executionArn"]
        aws.client("stepfunctions").redrive_execution(executionArn=execution)
        ended = aws.ended(execution)
        events = noted(tmp_path / "notes", 4)
    details = {(e["detail"]["redriveCount"], e["detail"]["status"]): e["detail"] for e in events}
    assert set(details) == {(0, "RUNNING"), (0, "FAILED"), (1, "RUNNING"), (1, "SUCCEEDED")}
    assert details[0, "RUNNING"]["stopDate"] is None
    assert details[1, "RUNNING"]["redriveDate"] == int(ended["redriveDate"].timestamp() * 1000)
    assert json.loads(details[1, "SUCCEEDED"]["output"])["calls"] == 2
    assert details[1, "SUCCEEDED"]["outputDetails"] == {"included": True}


def test_a_target_that_fails_is_tried_again(
    aws: RunningAws, outputs: dict[str, str], tmp_path: Path
) -> None:
    plan = {"broken": 0, "notes": str(tmp_path / "notes"), "note_fails": 2}
    job = {"epoch": 0, "max_epochs": 1, "ranks": [0], "plan": plan}
    aws.run(outputs["EpochStateMachineArn"], job)
    events = noted(tmp_path / "notes", 3)
    assert len({event["id"] for event in events}) == 1


def test_targets_get_their_own_input_and_delay_nothing(
    aws: RunningAws, outputs: dict[str, str], tmp_path: Path
) -> None:
    machine = aws.machine(only({"Type": "Pass", "End": True}))
    released = tmp_path / "released"
    given = json.dumps({"calls": str(tmp_path / "calls"), "awaits": [[str(released)]] * 3})
    target = {"Arn": function(aws, PROBE), "Input": given}
    with rule(aws, {"stateMachineArn": [machine], "status": ["SUCCEEDED"]}, target):
        for _ in range(3):
            assert aws.run(machine)["status"] == "SUCCEEDED"
        assert noted(tmp_path / "calls", 3) == [json.loads(given)] * 3
        released.touch()


def test_other_executions_disabled_and_deleted_rules_tell_nobody(
    aws: RunningAws, outputs: dict[str, str], tmp_path: Path
) -> None:
    machine, other = (aws.machine(only({"Type": "Pass", "End": True})) for _ in range(2))
    job = {"plan": {"notes": str(tmp_path / "notes")}}
    target = {"Arn": function(aws, "app-noter")}
    with rule(aws, {"stateMachineArn": [machine], "status": ["SUCCEEDED"]}, target) as name:
        aws.run(other, job)
        aws.client("events").disable_rule(Name=name)
        aws.run(machine, job)
        aws.client("events").enable_rule(Name=name)
        execution = aws.run(machine, job)["executionArn"]
        (event,) = noted(tmp_path / "notes", 1)
        assert event["detail"]["executionArn"] == execution
    aws.run(machine, job)
    time.sleep(0.5)
    assert len(noted(tmp_path / "notes", 1)) == 1


def destination(aws: RunningAws, url: str) -> str:
    events, name = aws.client("events"), f"web-{uuid.uuid4().hex}"
    header = {"ApiKeyName": "Authorization", "ApiKeyValue": "Bearer x"}
    connection = events.create_connection(
        Name=name, AuthorizationType="API_KEY", AuthParameters={"ApiKeyAuthParameters": header}
    )["ConnectionArn"]
    made = events.create_api_destination(
        Name=name, ConnectionArn=connection, InvocationEndpoint=url, HttpMethod="POST"
    )
    return str(made["ApiDestinationArn"])


def test_topics_queues_and_addresses_of_the_web_are_told_in_their_own_words(
    aws: RunningAws, tmp_path: Path
) -> None:
    machine = aws.machine(only({"Type": "Pass", "End": True}))
    topic = aws.client("sns").create_topic(Name=f"ends-{uuid.uuid4().hex}")["TopicArn"]
    queue = aws.client("sqs").create_queue(QueueName=f"ends-{uuid.uuid4().hex}")["QueueUrl"]
    arn = aws.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    words = {
        "InputPathsMap": {"name": "$.detail.name", "redrives": "$.detail.redriveCount"},
        "InputTemplate": '{"text": "<name> ended, <redrives>", "job": <name>, "n": <redrives>}',
    }
    with listener() as web:
        aws.client("sns").subscribe(TopicArn=topic, Protocol="http", Endpoint=f"{web.url}/topic")
        targets: list[dict[str, Any]] = [
            {"Arn": topic, "InputTransformer": words},
            {"Arn": destination(aws, f"{web.url}/flaky"), "InputTransformer": words},
            {"Arn": arn["Attributes"]["QueueArn"], "InputPath": "$.detail.status"},
        ]
        with rule(aws, {"stateMachineArn": [machine], "status": ["SUCCEEDED"]}, *targets):
            name = aws.run(machine)["name"]
            posts = eventually(lambda: list(web.posts), lambda seen: len(seen) == 2)
    posted = {each.path: each for each in posts}
    said = {"text": f"{name} ended, 0", "job": name, "n": 0}
    assert json.loads(json.loads(posted["/topic"].text)["Message"]) == said
    assert json.loads(posted["/flaky"].text) == said
    assert posted["/flaky"].headers["Authorization"] == "Bearer x"
    assert len(web.refused) == 1
    (message,) = aws.client("sqs").receive_message(QueueUrl=queue)["Messages"]
    assert json.loads(message["Body"]) == "SUCCEEDED"
