"""Parameters that CloudFormation would refuse in the middle of a deployment are refused before."""

from __future__ import annotations

import pytest

from stepml.deployment.parameter_values import problems


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("ExecutorMemory", "100", "a whole number from 512 to 10240"),
        ("ExecutorMemory", "20000", "a whole number from 512 to 10240"),
        ("ExecutorMemory", "2 GB", "a whole number from 512 to 10240"),
        ("ReservedConcurrency", "-1", "a whole number from 0"),
        ("Architecture", "arm", "one of x86_64, arm64"),
        ("Runtime", "3.12", "one of python3.12, python3.13"),
        ("AlarmEmail", "me", "an e-mail address"),
        ("ServersHourlyUsd", "1 cent", "a price in US dollars, such as 0.0256"),
        ("CidrPrefix", "10", "the first two numbers of a private network, such as 10.74"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_accepted(name: str, value: str, expected: str) -> None:
    assert [*problems({name: value})] == [f"--parameter {name}: expected {expected}, got {value!r}"]


def test_a_retention_that_cloudwatch_lacks_is_named_with_those_that_it_has() -> None:
    (problem,) = problems({"LogRetentionDays": "31"})
    assert "one of 1, 3, 5, 7, 14, 30" in problem


def test_all_of_several_are_named_and_right_ones_are_not() -> None:
    given = {"ExecutorMemory": "1769", "AlarmEmail": "me", "Tracing": "yes", "Inbox": "off"}
    assert [each.split(":")[0] for each in problems(given)] == [
        "--parameter AlarmEmail",
        "--parameter Tracing",
    ]
    assert [*problems({"AlarmEmail": "", "BucketName": "", "JobExpirationDays": "0"})] == []
    assert [*problems({"ServersHourlyUsd": "0.0256"})] == []
