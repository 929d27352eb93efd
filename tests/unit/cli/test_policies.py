"""Each policy in templates/policies allows the calls that the commands of its person make."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stepml.cli.app import app
from stepml.console.board import Board
from tests.support.console_views import first_reading, views
from tests.support.moto_stack import MotoStack
from tests.support.paths import ROOT
from tests.support.recorded_calls import (
    POLICIES,
    Call,
    denied,
    is_allowed,
    policy,
    recorded_calls,
)

SERVERS = ("network.yaml", "cache.yaml", "parameter_server.yaml")
PEOPLE = ("viewer", "runner", "operator", "deployer")
MOST_CHARACTERS = 6144  # of a managed policy, without white space


@pytest.fixture
def calls() -> Iterator[list[Call]]:
    with recorded_calls() as made:
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


@pytest.fixture
def study(job: Path) -> Path:
    """The file of a study of the job."""
    given = json.loads(job.read_text())
    uri, model = (json.dumps(each) for each in (given["data"]["uri"], given["model"]["name"]))
    path = job.with_name("study.toml")
    path.write_text(
        f"[job]\ndata = {{ uri = {uri} }}\nmodel = {{ name = {model} }}\n[grid]\nworkers = [2]"
    )
    return path


def run(*arguments: str) -> None:
    result = CliRunner().invoke(app, arguments)
    # A command may refuse, or the job fail: what matters here are its calls.
    assert result.exit_code in (0, 1, 2, 3), result.output
    assert "AccessDenied" not in result.output


COMMANDS = {
    "viewer": [
        ("jobs",),
        ("epochs", "{name}"),
        ("compare", "{name}", "latest"),
        ("watch", "{name}", "--track", "track.jsonl"),
        ("report", "latest"),
        ("logs", "{name}"),
        ("data", "ls"),
        ("data", "show", "data/x.csv"),
        ("check", "{job}"),
    ],
    "runner": [
        ("run", "{job}", "--name", "{name}-b"),
        ("study", "{study}"),
        ("data", "get", "digits", "--upload"),
        ("data", "put", "{job}"),
    ],
    "operator": [
        ("stop", "{name}"),
        ("retry", "{name}", "--epoch", "1", "--name", "{name}-c", "--detach"),
        ("jobs", "rm", "{name}", "--yes"),
        ("data", "rm", "datasets/", "--yes"),
    ],
}


@pytest.mark.parametrize(
    ("person", "command"),
    [(person, command) for person, commands in COMMANDS.items() for command in commands],
    ids=lambda each: " ".join(each[:2]) if isinstance(each, tuple) else each,
)
def test_a_policy_allows_what_the_commands_of_its_person_call(
    calls: list[Call], ended: str, job: Path, study: Path, person: str, command: tuple[str, ...]
) -> None:
    calls.clear()
    run(*(each.format(name=ended, job=job, study=study) for each in command))
    assert calls
    assert denied(policy(person), calls) == []


def test_the_policy_of_viewers_allows_what_every_view_of_the_console_reads(
    calls: list[Call], ended: str, stack: MotoStack
) -> None:
    board = Board(stack.client())
    epoch_arn = stack.run_child(f"{ended}-1", job_id=ended, epoch=1)
    for name, view in views(board, ended, epoch_arn).items():
        calls.clear()
        reading = first_reading(view())
        assert "defect" not in str(reading.error), name
        assert denied(policy("viewer"), calls) == [], name


def test_what_changes_something_is_left_to_those_who_may() -> None:
    job, fence = (
        "arn:aws:s3:::stepml-1-us-east-1/jobs/a/x",
        "arn:aws:s3:::stepml-1/jobs/a/fence.json",
    )
    inbox = "arn:aws:s3:::stepml-1-us-east-1/inbox/digits.json"  # starts a job
    start = ("states:StartExecution", "arn:aws:states:us-east-1:1:stateMachine:stepml-train")
    for person in ("viewer", "runner", "operator"):
        statements = policy(person)
        assert not is_allowed(statements, "s3:PutObject", job)
        assert is_allowed(statements, "s3:PutObject", fence) == (person == "operator")
        assert is_allowed(statements, "s3:DeleteObject", job) == (person == "operator")
        assert is_allowed(statements, *start) == (person != "viewer")
        assert is_allowed(statements, "s3:PutObject", inbox) == (person != "viewer")
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


def test_the_deployer_may_make_every_type_of_resource_of_the_templates() -> None:
    services = {
        "Serverless": ("lambda:CreateFunction", "arn:aws:lambda:us-east-1:1:function:stepml-x"),
        "S3": ("s3:CreateBucket", "arn:aws:s3:::stepml-1-us-east-1"),
        "DynamoDB": ("dynamodb:CreateTable", "arn:aws:dynamodb:us-east-1:1:table/stepml-x"),
        "IAM": ("iam:CreatePolicy", "arn:aws:iam::1:policy/stepml-StorePolicy-1"),
        "Lambda": ("lambda:AddPermission", "arn:aws:lambda:us-east-1:1:function:stepml-trigger"),
        "Events": ("events:PutRule", "arn:aws:events:us-east-1:1:rule/stepml-schedule"),
        "Logs": (
            "logs:CreateLogGroup",
            "arn:aws:logs:us-east-1:1:log-group:/stepml/stepml/executor",
        ),
        "SQS": ("sqs:CreateQueue", "arn:aws:sqs:us-east-1:1:stepml-cleanup-failures"),
        "SNS": ("sns:CreateTopic", "arn:aws:sns:us-east-1:1:stepml-alarms"),
        "StepFunctions": (
            "states:PublishStateMachineVersion",
            "arn:aws:states:us-east-1:1:stateMachine:stepml-epoch",
        ),
        "CloudWatch": (
            "cloudwatch:PutMetricAlarm",
            "arn:aws:cloudwatch:us-east-1:1:alarm:stepml-x",
        ),
    }
    others = (
        ("cloudwatch:PutDashboard", "arn:aws:cloudwatch::1:dashboard/stepml-jobs"),
        ("events:CreateConnection", "arn:aws:events:us-east-1:1:connection/stepml-x"),
        ("events:CreateApiDestination", "arn:aws:events:us-east-1:1:api-destination/stepml-x"),
        (
            "secretsmanager:CreateSecret",
            "arn:aws:secretsmanager:us-east-1:1:secret:events!connection/stepml-x/1/auth-a1b2c3",
        ),
    )
    for each in others:
        assert is_allowed(policy("deployer"), *each)
    of_servers = {
        "AutoScaling": ("autoscaling:CreateAutoScalingGroup", "*"),
        "EC2": ("ec2:CreateVpcEndpoint", "*"),
        "ElastiCache": ("elasticache:CreateReplicationGroup", "*"),
        "IAM": ("iam:CreateInstanceProfile", "arn:aws:iam::1:instance-profile/stepml-ps-1"),
        "SecretsManager": (
            "secretsmanager:CreateSecret",
            "arn:aws:secretsmanager:us-east-1:1:secret:stepml-redis-a1b2c3",
        ),
    }
    of_main = ("template.yaml",)
    for files, needed in ((of_main, services), (SERVERS, of_servers)):
        text = "".join((ROOT / "templates" / each).read_text() for each in files)
        used = set(re.findall(r"^    Type: AWS::(\w+)::", text, flags=re.MULTILINE))
        assert used - {"SSM"} == needed.keys()
        for action, resource in needed.values():
            assert is_allowed(policy("deployer"), action, resource), action
    notifications = ("s3:GetBucketNotification", "s3:PutBucketNotification")  # of the inbox
    assert all(is_allowed(policy("deployer"), each, services["S3"][1]) for each in notifications)
