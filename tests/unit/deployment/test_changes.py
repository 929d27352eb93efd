"""Changes of stacks in words."""

from __future__ import annotations

from stepml.deployment.artefacts import Place
from stepml.deployment.changes import described, is_dangerous
from stepml.deployment.consoles import execution_url, state_machine_url
from stepml.deployment.records import Change, ChangeSet

FUNCTION, TABLE = "AWS::Lambda::Function", "AWS::DynamoDB::Table"


def change_set(*changes: Change, is_new: bool = False) -> ChangeSet:
    return ChangeSet("arn", "stepml", "id", is_new, changes)


def test_a_new_stack_is_counted() -> None:
    made = [Change("Add", f"F{i}", FUNCTION) for i in range(2)]
    made += [Change("Add", "T", TABLE), Change("Add", "X", "AWS::New::Thing")]
    assert described(change_set(*made, is_new=True)) == [
        "stack 'stepml' would be created: 2 functions, 1 table, 1 New Thing"
    ]


def test_what_is_lost_comes_first_and_is_marked() -> None:
    changes = change_set(
        Change("Add", "New", FUNCTION),
        Change("Modify", "Changed", FUNCTION),
        Change("Remove", "Old", FUNCTION),
        Change("Modify", "Other", TABLE, "Conditional"),
        Change("Modify", "Table", TABLE, "True"),
    )
    assert is_dangerous(changes)
    assert described(changes) == [
        "stack 'stepml' would be changed:",
        "  REPLACED Table (table)",
        "  PERHAPS REPLACED Other (table)",
        "  DELETED Old (function)",
        "  changed: 1 function",
        "    Changed",
        "  created: 1 function",
        "    New",
    ]


def test_harmless_changes_are_not_dangerous() -> None:
    assert not is_dangerous(change_set(Change("Modify", "Changed", FUNCTION)))
    assert described(change_set()) == ["stack 'stepml': outputs or tags would be changed"]


def test_the_console_is_that_of_the_partition() -> None:
    addresses = {
        partition: state_machine_url(Place("123456789012", region, partition), "arn")
        for partition, region in (
            ("aws", "eu-central-1"),
            ("aws-cn", "cn-north-1"),
            ("aws-us-gov", "us-gov-west-1"),
        )
    }
    path = "states/home?region={}#/statemachines/view/arn"
    assert addresses == {
        "aws": "https://eu-central-1.console.aws.amazon.com/" + path.format("eu-central-1"),
        "aws-cn": "https://cn-north-1.console.amazonaws.cn/" + path.format("cn-north-1"),
        "aws-us-gov": "https://console.amazonaws-us-gov.com/" + path.format("us-gov-west-1"),
    }


def test_versions_lose_nothing_and_are_only_counted() -> None:
    changes = change_set(
        Change("Modify", "Executor", FUNCTION),
        Change("Modify", "ExecutorVersion", "AWS::Lambda::Version", "True"),
        Change("Modify", "ExecutorAlias", "AWS::Lambda::Alias", "Conditional"),
        Change("Remove", "EpochVersion", "AWS::StepFunctions::StateMachineVersion"),
    )
    assert not is_dangerous(changes)
    assert described(changes) == [
        "stack 'stepml' would be changed:",
        "  changed: 1 function, 1 version of a function, 1 alias, 1 version of a state machine",
        "    Executor",
    ]


def test_an_execution_has_an_address_in_the_console_of_its_region() -> None:
    arn = "arn:aws-cn:states:cn-north-1:123456789012:execution:stepml-train:job"
    console = "https://cn-north-1.console.amazonaws.cn/states/home?region=cn-north-1"
    assert execution_url(arn) == f"{console}#/v2/executions/details/{arn}"
