"""A client finds the mistakes of a job before it starts, with its stack and its data."""

from __future__ import annotations

from typing import Any

from tests.support.moto_stack import MotoStack

ROWS = b"a,b,y\n" + b"".join(b"%d,%d,%d\n" % (i, i * i % 7, i % 2) for i in range(40))
JOB: dict[str, Any] = {
    "data": {"uri": "data/checked.csv", "label": "y"},
    "model": {"name": "logistic_regression"},
    "workers": 2,
}


def test_a_check_says_what_the_data_are_taken_for(stack: MotoStack) -> None:
    stack.put("data/checked.csv", ROWS)
    found = stack.client().check(JOB)
    assert (found.mistakes, found.share) == ([], 1)
    assert found.facts is not None
    assert found.facts.label == "y"


def test_a_check_finds_all_mistakes_at_once(stack: MotoStack) -> None:
    wrong = {**JOB, "data": {"uri": "data/absent.csv", "seed": -1}}
    found = stack.client().check(wrong)
    assert [each.partition(":")[0] for each in found.mistakes] == ["data.seed", "data.uri"]
