"""Each policy in templates/policies allows the calls that the commands of its person make."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import botocore.client
import pytest
from typer.testing import CliRunner

from stepml.cli.app import app
from tests.support.moto_stack import MotoStack
from tests.support.paths import ROOT

POLICIES = ROOT / "templates" / "policies"
PEOPLE = ("viewer", "runner", "operator", "deployer")
MOST_CHARACTERS = 6144  # of a managed policy, without white space
# Operations of S3 with permissions of another name.
OF_S3 = {
    "HeadObject": "GetObject",
    "HeadBucket": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "DeleteObjects": "DeleteObject",
}
SERVICES = {"stepfunctions": "states"}
Call = tuple[str, str]  # an action, and the resource on which it acts


def policy(person: str) -> list[dict[str, Any]]:
    document = json.loads((POLICIES / f"{person}.json").read_text())
    assert document["Version"] == "2012-10-17"
    statements: list[dict[str, Any]] = document["Statement"]
    return statements


def is_allowed(statements: list[dict[str, Any]], action: str, resource: str) -> bool:
    return any(
        any(fnmatchcase(action, each) for each in statement["Action"])
        and any(fnmatchcase(resource, each) for each in statement["Resource"])
        for statement in statements
    )


def resources(service: str, parameters: dict[str, Any]) -> list[str]:
    """Return the ARNs on which a call acts."""
    if service == "s3":
        keys = [each["Key"] for each in parameters.get("Delete", {}).get("Objects", [])]
        names = keys or [parameters[name] for name in ("Key",) if name in parameters]
        bucket = f"arn:aws:s3:::{parameters['Bucket']}"
        return [f"{bucket}/{name}" for name in names] or [bucket]
    if service == "cloudformation":
        return [f"arn:aws:cloudformation:us-east-1:1:stack/{parameters['StackName']}/id"]
    if service == "logs" and "logGroupName" in parameters:
        return [f"arn:aws:logs:us-east-1:1:log-group:{parameters['logGroupName']}"]
    return [str(value) for name, value in parameters.items() if name.endswith("Arn")] or ["*"]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Call]]:
    """The calls that the command line makes; they reach the service."""
    made: list[Call] = []
    send: Callable[..., Any] = botocore.client.BaseClient._make_api_call

    def record(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        service = client.meta.service_model.service_name
        name = OF_S3.get(operation, operation) if service == "s3" else operation
        action = f"{SERVICES.get(service, service)}:{name}"
        made.extend((action, each) for each in resources(service, parameters))
        return send(client, operation, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", record)
    yield made


@pytest.fixture(autouse=True)
def _own_directories(stack: MotoStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", stack.endpoint_url)
    monkeypatch.setenv("STEPML_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def ended(stack: MotoStack, job: Path) -> str:
    """The name of a job that has succeeded."""
    name = f"run-{uuid.uuid4().hex[:8]}"
    stack.put_results(name, stack.put_epochs(name, 3))
    run("run", str(job), "--name", name)
    return name


def run(*arguments: str) -> None:
    result = CliRunner().invoke(app, arguments)
    # A command may refuse, or the job fail: what matters here are its calls.
    assert result.exit_code in (0, 1, 2, 3), result.output
    assert "AccessDenied" not in result.output


COMMANDS = {
    "viewer": [
        ("jobs",),
        ("epochs", "{name}"),
        ("watch", "{name}"),
        ("logs", "{name}"),
        ("data", "ls"),
    ],
    "runner": [("run", "{job}", "--name", "{name}-b")],
    "operator": [
        ("stop", "{name}"),
        ("retry", "{name}", "--epoch", "1", "--name", "{name}-c", "--detach"),
        ("jobs", "rm", "{name}", "--yes"),
    ],
}


@pytest.mark.parametrize(
    ("person", "command"),
    [(person, command) for person, commands in COMMANDS.items() for command in commands],
    ids=lambda each: " ".join(each[:2]) if isinstance(each, tuple) else each,
)
def test_a_policy_allows_what_the_commands_of_its_person_call(
    calls: list[Call], ended: str, job: Path, person: str, command: tuple[str, ...]
) -> None:
    calls.clear()
    run(*(each.format(name=ended, job=job) for each in command))
    assert calls
    statements = policy(person)
    denied = [each for each in dict.fromkeys(calls) if not is_allowed(statements, *each)]
    assert denied == []


def test_what_changes_something_is_left_to_those_who_may() -> None:
    job, fence = (
        "arn:aws:s3:::stepml-1-us-east-1/jobs/a/x",
        "arn:aws:s3:::stepml-1/jobs/a/fence.json",
    )
    start = ("states:StartExecution", "arn:aws:states:us-east-1:1:stateMachine:stepml-train")
    for person in ("viewer", "runner", "operator"):
        statements = policy(person)
        assert not is_allowed(statements, "s3:PutObject", job)
        assert is_allowed(statements, "s3:PutObject", fence) == (person == "operator")
        assert is_allowed(statements, "s3:DeleteObject", job) == (person == "operator")
        assert is_allowed(statements, *start) == (person != "viewer")
        assert not is_allowed(statements, "iam:CreateRole", "arn:aws:iam::1:role/stepml-x")


@pytest.mark.parametrize("person", PEOPLE)
def test_a_policy_fits_into_a_managed_policy(person: str) -> None:
    text = (POLICIES / f"{person}.json").read_text()
    assert len(re.sub(r"\s", "", text)) <= MOST_CHARACTERS
    names = [each["Sid"] for each in policy(person)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("person", PEOPLE[1:])
def test_each_person_may_do_what_the_one_before_may(person: str) -> None:
    before = policy(PEOPLE[PEOPLE.index(person) - 1])
    now = policy(person)
    for statement in before:
        for action in statement["Action"]:
            for resource in statement["Resource"]:
                assert is_allowed(now, action, resource), (action, resource)


def test_the_deployer_may_make_every_type_of_resource_of_the_template() -> None:
    services = {
        "Serverless": ("lambda:CreateFunction", "arn:aws:lambda:us-east-1:1:function:stepml-x"),
        "S3": ("s3:CreateBucket", "arn:aws:s3:::stepml-1-us-east-1"),
        "DynamoDB": ("dynamodb:CreateTable", "arn:aws:dynamodb:us-east-1:1:table/stepml-x"),
        "IAM": ("iam:CreatePolicy", "arn:aws:iam::1:policy/stepml-StorePolicy-1"),
        "Logs": ("logs:CreateLogGroup", "arn:aws:logs:us-east-1:1:log-group:/aws/lambda/stepml-x"),
        "SQS": ("sqs:CreateQueue", "arn:aws:sqs:us-east-1:1:stepml-cleanup-failures"),
        "SNS": ("sns:CreateTopic", "arn:aws:sns:us-east-1:1:stepml-alarms"),
        "CloudWatch": (
            "cloudwatch:PutMetricAlarm",
            "arn:aws:cloudwatch:us-east-1:1:alarm:stepml-x",
        ),
    }
    text = (ROOT / "templates" / "template.yaml").read_text()
    used = set(re.findall(r"^    Type: AWS::(\w+)::", text, flags=re.MULTILINE))
    assert used == services.keys()
    for action, resource in services.values():
        assert is_allowed(policy("deployer"), action, resource), action
