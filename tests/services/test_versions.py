"""Versions and aliases of state machines, and executions that they start."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.running_aws import ROLE, RunningAws, only


def passing(value: int) -> dict[str, Any]:
    return only({"Type": "Pass", "Result": {"value": value}, "End": True})


def code(call: Any, **parameters: Any) -> str:
    with pytest.raises(ClientError) as refused:
        call(**parameters)
    return str(refused.value.response["Error"]["Code"])


def publish(aws: RunningAws, machine: str, **parameters: Any) -> str:
    published = aws.client("stepfunctions").publish_state_machine_version(
        stateMachineArn=machine, **parameters
    )
    return str(published["stateMachineVersionArn"])


def update(aws: RunningAws, machine: str, value: int) -> str:
    updated = aws.client("stepfunctions").update_state_machine(
        stateMachineArn=machine, definition=json.dumps(passing(value))
    )
    return str(updated["revisionId"])


def two_versions(aws: RunningAws) -> tuple[str, str, str]:
    machine = aws.machine(passing(1))
    first = publish(aws, machine)
    update(aws, machine, 2)
    return machine, first, publish(aws, machine)


def route(*versions: str) -> list[dict[str, Any]]:
    return [{"stateMachineVersionArn": each, "weight": 100 // len(versions)} for each in versions]


def value(aws: RunningAws, arn: str) -> int:
    return int(json.loads(aws.run(arn)["output"])["value"])


class TestVersions:
    def test_a_revision_is_published_once(self, aws: RunningAws) -> None:
        machine, first, second = two_versions(aws)
        assert (first, second) == (f"{machine}:1", f"{machine}:2")
        assert publish(aws, machine, description="again") == second

    def test_only_the_present_revision_is_published(self, aws: RunningAws) -> None:
        states = aws.client("stepfunctions")
        machine = aws.machine(passing(1))
        assert publish(aws, machine, revisionId="INITIAL") == f"{machine}:1"
        revision = update(aws, machine, 2)
        for wrong in ("INITIAL", "other"):
            assert (
                code(
                    states.publish_state_machine_version, stateMachineArn=machine, revisionId=wrong
                )
                == "ConflictException"
            )
        assert publish(aws, machine, revisionId=revision) == f"{machine}:2"
        nobody = f"{machine}-none"
        call = states.publish_state_machine_version
        assert code(call, stateMachineArn=nobody) == "StateMachineDoesNotExist"

    def test_they_are_listed_the_newest_first(self, aws: RunningAws) -> None:
        states = aws.client("stepfunctions")
        machine, first, second = two_versions(aws)
        page = states.list_state_machine_versions(stateMachineArn=machine, maxResults=1)
        assert [item["stateMachineVersionArn"] for item in page["stateMachineVersions"]] == [second]
        rest = states.list_state_machine_versions(
            stateMachineArn=machine, nextToken=page["nextToken"]
        )
        assert [item["stateMachineVersionArn"] for item in rest["stateMachineVersions"]] == [first]
        assert "nextToken" not in rest
        call = states.list_state_machine_versions
        assert code(call, stateMachineArn=machine, nextToken="none") == "InvalidToken"

    def test_one_keeps_its_definition(self, aws: RunningAws) -> None:
        states = aws.client("stepfunctions")
        machine, first, second = two_versions(aws)
        update(aws, machine, 3)
        assert [value(aws, arn) for arn in (first, second, machine)] == [1, 2, 3]
        described = states.describe_state_machine(stateMachineArn=first)
        assert json.loads(described["definition"]) == passing(1)
        assert described["stateMachineArn"] == first
        definition = json.dumps(passing(4))
        call = states.update_state_machine
        assert code(call, stateMachineArn=first, definition=definition) == "ValidationException"

    def test_an_execution_names_its_version(self, aws: RunningAws) -> None:
        states = aws.client("stepfunctions")
        machine, first, second = two_versions(aws)
        ended = aws.run(first)
        aws.run(machine)
        assert ended["stateMachineArn"] == machine
        assert ended["stateMachineVersionArn"] == first
        assert "stateMachineAliasArn" not in ended
        assert ended["executionArn"].startswith(machine.replace("stateMachine", "execution"))
        listed = {
            arn: len(states.list_executions(stateMachineArn=arn)["executions"])
            for arn in (machine, first, second)
        }
        assert listed == {machine: 2, first: 1, second: 0}

    def test_a_deleted_one_starts_nothing(self, aws: RunningAws) -> None:
        states = aws.client("stepfunctions")
        machine, first, second = two_versions(aws)
        states.delete_state_machine_version(stateMachineVersionArn=first)
        states.delete_state_machine_version(stateMachineVersionArn=first)
        assert code(states.start_execution, stateMachineArn=first) == "StateMachineDoesNotExist"
        assert value(aws, second) == 2
        delete = states.delete_state_machine_version
        assert code(delete, stateMachineVersionArn=machine) == "InvalidArn"

    def test_a_machine_can_be_created_with_a_version(self, aws: RunningAws) -> None:
        states = aws.client("stepfunctions")
        created = states.create_state_machine(
            name="published-at-once",
            definition=json.dumps(passing(1)),
            roleArn=ROLE,
            publish=True,
        )
        assert created["stateMachineVersionArn"] == f"{created['stateMachineArn']}:1"
        changed = states.update_state_machine(
            stateMachineArn=created["stateMachineArn"],
            definition=json.dumps(passing(2)),
            publish=True,
        )
        assert changed["stateMachineVersionArn"] == f"{created['stateMachineArn']}:2"

    def test_a_name_stands_for_one_definition(self, aws: RunningAws) -> None:
        create = aws.client("stepfunctions").create_state_machine
        given: dict[str, Any] = {"name": "one-definition", "roleArn": ROLE}
        first = create(definition=json.dumps(passing(1)), **given)
        again = create(definition=json.dumps(passing(1)), **given)
        assert again["stateMachineArn"] == first["stateMachineArn"]
        other = json.dumps(passing(2))
        assert code(create, definition=other, **given) == "StateMachineAlreadyExists"


class TestAliases:
    def test_one_starts_its_version(self, aws: RunningAws) -> None:
        states = aws.client("stepfunctions")
        machine, first, second = two_versions(aws)
        alias = states.create_state_machine_alias(
            name="LIVE", routingConfiguration=route(first), description="in use"
        )["stateMachineAliasArn"]
        assert alias == f"{machine}:LIVE"
        ended = aws.run(alias)
        assert json.loads(ended["output"]) == {"value": 1}
        assert (ended["stateMachineVersionArn"], ended["stateMachineAliasArn"]) == (first, alias)
        states.update_state_machine_alias(
            stateMachineAliasArn=alias, routingConfiguration=route(second)
        )
        assert value(aws, alias) == 2
        described = states.describe_state_machine_alias(stateMachineAliasArn=alias)
        assert described["routingConfiguration"] == route(second)
        assert described["description"] == "in use"
        listed = states.list_executions(stateMachineArn=alias)["executions"]
        assert {item["stateMachineVersionArn"] for item in listed} == {first, second}
        assert {item["stateMachineAliasArn"] for item in listed} == {alias}

    def test_its_weights_choose(self, aws: RunningAws) -> None:
        states = aws.client("stepfunctions")
        machine, first, second = two_versions(aws)
        both = [
            {"stateMachineVersionArn": first, "weight": 0},
            {"stateMachineVersionArn": second, "weight": 100},
        ]
        alias = states.create_state_machine_alias(name="both", routingConfiguration=both)
        assert {value(aws, alias["stateMachineAliasArn"]) for _ in range(5)} == {2}
        states.update_state_machine_alias(
            stateMachineAliasArn=f"{machine}:both", routingConfiguration=route(first, second)
        )
        executions = [aws.start(f"{machine}:both") for _ in range(24)]
        values = {json.loads(aws.ended(each)["output"])["value"] for each in executions}
        assert values == {1, 2}

    def test_the_same_request_changes_nothing_and_another_conflicts(self, aws: RunningAws) -> None:
        create = aws.client("stepfunctions").create_state_machine_alias
        _, first, second = two_versions(aws)
        created = create(name="once", routingConfiguration=route(first))
        again = create(name="once", routingConfiguration=route(first))
        assert created["creationDate"] == again["creationDate"]
        conflict = code(create, name="once", routingConfiguration=route(second))
        assert conflict == "ConflictException"

    @pytest.mark.parametrize(
        ("name", "problem"),
        [
            ("7", "ValidationException"),
            ("a b", "ValidationException"),
            ("a" * 81, "ValidationException"),
        ],
    )
    def test_names_are_checked(self, aws: RunningAws, name: str, problem: str) -> None:
        create = aws.client("stepfunctions").create_state_machine_alias
        _, first, _ = two_versions(aws)
        assert code(create, name=name, routingConfiguration=route(first)) == problem

    def test_versions_are_checked(self, aws: RunningAws) -> None:
        create = aws.client("stepfunctions").create_state_machine_alias
        machine, first, _ = two_versions(aws)
        _, other, _ = two_versions(aws)
        for wrong, problem in (
            (route(f"{machine}:9"), "ResourceNotFound"),
            (route(first, f"{machine}:9"), "ResourceNotFound"),
            (route(machine), "ResourceNotFound"),
            (route(first, other), "ValidationException"),
            ([{"stateMachineVersionArn": first, "weight": 99}], "ValidationException"),
            ([{"stateMachineVersionArn": first, "weight": 101}], "ValidationException"),
        ):
            assert code(create, name="wrong", routingConfiguration=wrong) == problem

    def test_a_version_in_use_is_not_deleted(self, aws: RunningAws) -> None:
        states = aws.client("stepfunctions")
        machine, first, _ = two_versions(aws)
        states.create_state_machine_alias(name="user", routingConfiguration=route(first))
        delete = states.delete_state_machine_version
        assert code(delete, stateMachineVersionArn=first) == "ConflictException"
        listed = states.list_state_machine_aliases(stateMachineArn=machine)["stateMachineAliases"]
        assert [item["stateMachineAliasArn"] for item in listed] == [f"{machine}:user"]
        states.delete_state_machine_alias(stateMachineAliasArn=f"{machine}:user")
        states.delete_state_machine_version(stateMachineVersionArn=first)
        describe = states.describe_state_machine_alias
        assert code(describe, stateMachineAliasArn=f"{machine}:user") == "ResourceNotFound"
        start = states.start_execution
        assert code(start, stateMachineArn=f"{machine}:user") == "StateMachineDoesNotExist"

    @pytest.mark.parametrize("arn", ["none", "arn:aws:states:us-east-1:123456789012:role:none:a"])
    def test_what_is_no_arn_is_refused(self, aws: RunningAws, arn: str) -> None:
        states = aws.client("stepfunctions")
        for call in (states.describe_state_machine_alias, states.delete_state_machine_alias):
            assert code(call, stateMachineAliasArn=arn) == "InvalidArn"
