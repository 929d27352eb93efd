"""Versions of earlier deployments are deleted when no job can need them any more."""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stepml.deployment.records import StackState
from stepml.deployment.versions import REDRIVABLE, Version, delete_old, superseded
from tests.support.deployment import deployer
from tests.support.running_aws import ROLE, RunningAws

START = datetime(2026, 1, 1, tzinfo=UTC)
ENDLESS = {"StartAt": "A", "States": {"A": {"Type": "Wait", "Seconds": 3600, "End": True}}}
FAILING = {"StartAt": "A", "States": {"A": {"Type": "Fail", "Error": "E", "Cause": "c"}}}


def test_versions_are_needed_from_the_oldest_start_on() -> None:
    versions = [Version(str(number), START + timedelta(days=number)) for number in range(5)]

    def old(day: float) -> list[str]:
        return [each.name for each in superseded(versions, START + timedelta(days=day))]

    assert old(100) == ["0", "1", "2"]  # the newest two are always kept
    assert old(2) == ["0", "1"]  # 2 is that of a job from the second day
    assert old(1.5) == ["0"]
    assert old(0) == []
    assert superseded(versions[:2], START + timedelta(days=100)) == []


@dataclass(frozen=True)
class Deployed:
    """A function and state machines, of which there are three versions each."""

    aws: RunningAws
    stack: StackState

    @property
    def function(self) -> str:
        return f"{self.stack.name}-executor"

    def delete_old(
        self, now: datetime | None = None, update_takes: timedelta = timedelta(0)
    ) -> int:
        connection = deployer(self.aws.endpoint_url).connection
        return delete_old(connection, self.stack, now, update_takes)

    def names(self) -> tuple[list[str], list[str], int]:
        """Return the function's versions and aliases, and how many versions the machines have."""
        functions, machines = self.aws.client("lambda"), self.aws.client("stepfunctions")
        versions = functions.list_versions_by_function(FunctionName=self.function)["Versions"]
        aliases = functions.list_aliases(FunctionName=self.function)["Aliases"]
        arns = [self.stack.outputs[f"{each}StateMachineArn"] for each in ("Epoch", "Ranks")]
        counts = [
            len(machines.list_state_machine_versions(stateMachineArn=arn)["stateMachineVersions"])
            for arn in arns
        ]
        assert counts[0] == counts[1]
        return (
            [each["Version"] for each in versions if each["Version"] != "$LATEST"],
            [each["Name"] for each in aliases],
            counts[0],
        )

    def publish(self, name: str) -> str:
        """Change everything, and make a version of it with an alias; return the version."""
        functions, machines = self.aws.client("lambda"), self.aws.client("stepfunctions")
        functions.update_function_configuration(FunctionName=self.function, Description=name)
        version = functions.publish_version(FunctionName=self.function)["Version"]
        functions.create_alias(FunctionName=self.function, Name=name, FunctionVersion=version)
        for each in ("Epoch", "Ranks"):
            arn = self.stack.outputs[f"{each}StateMachineArn"]
            machines.update_state_machine(stateMachineArn=arn, roleArn=f"{ROLE}-{name}")
            machines.publish_state_machine_version(stateMachineArn=arn)
        return str(version)


@pytest.fixture
def deployed(aws: RunningAws) -> Iterator[Deployed]:
    name, archive = f"v{uuid.uuid4().hex[:8]}", io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("app.py", "def handler(event, context): return {}\n")
    aws.client("lambda").create_function(
        FunctionName=f"{name}-executor",
        Runtime="python3.12",
        Role=aws.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"][
            "Arn"
        ],
        Handler="app.handler",
        Code={"ZipFile": archive.getvalue()},
    )
    outputs = {
        f"{each}StateMachineArn": aws.machine(machine)
        for each, machine in (("Train", FAILING), ("Epoch", FAILING), ("Ranks", FAILING))
    }
    made = Deployed(aws, StackState("arn", name, "UPDATE_COMPLETE", outputs, {}, {}))
    for alias in ("a", "b", "c"):
        made.publish(alias)
    yield made
    aws.client("lambda").delete_function(FunctionName=f"{name}-executor")


def test_the_newest_two_versions_remain(deployed: Deployed) -> None:
    assert deployed.names() == (["1", "2", "3"], ["a", "b", "c"], 3)
    # A job may still begin with 1 while the deployment of 2 is not complete.
    assert deployed.delete_old(update_takes=timedelta(hours=1)) == 0
    assert deployed.delete_old() == 3  # the function's, and that of two machines
    assert deployed.names() == (["2", "3"], ["b", "c"], 2)
    assert deployed.delete_old() == 0
    assert deployed.publish("d") == "4"  # no number returns


def test_versions_of_running_jobs_and_of_those_that_can_be_redriven_remain(
    deployed: Deployed,
) -> None:
    later = datetime.now(UTC) + timedelta(days=1)
    train = deployed.stack.outputs["TrainStateMachineArn"]
    failed = deployed.aws.run(train)
    assert failed["status"] == "FAILED"
    assert deployed.publish("d") == "4"
    assert deployed.publish("e") == "5"
    machines = deployed.aws.client("stepfunctions")
    machines.update_state_machine(stateMachineArn=train, definition=json.dumps(ENDLESS))
    assert deployed.delete_old(later) == 6  # 3 was the newest when the job began
    assert deployed.names()[0] == ["3", "4", "5"]
    assert deployed.delete_old(later + REDRIVABLE) == 3
    running = deployed.aws.start(train)
    for name in ("f", "g"):
        deployed.publish(name)
    assert deployed.delete_old(later + REDRIVABLE) == 3
    assert deployed.names()[0] == ["5", "6", "7"]
    machines.stop_execution(executionArn=running)


def test_another_stack_has_no_versions(deployed: Deployed) -> None:
    other = StackState("arn", deployed.stack.name, "UPDATE_COMPLETE", {}, {}, {})
    assert delete_old(deployer(deployed.aws.endpoint_url).connection, other) == 0


def test_a_function_is_called_by_the_alias_of_a_version(deployed: Deployed) -> None:
    functions: Any = deployed.aws.client("lambda")
    with pytest.raises(functions.exceptions.ResourceNotFoundException):
        functions.invoke(FunctionName=f"{deployed.function}:none", Payload=b"{}")
    assert (
        functions.invoke(FunctionName=f"{deployed.function}:a", Payload=b"{}")["StatusCode"] == 200
    )
