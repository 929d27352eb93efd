"""Whoever may look may open the pages of data and channels; whoever may start jobs, the form."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from stepml.client.channel_usage import channel_usage
from stepml.client.stored_folders import folder_page, folder_size
from stepml.console.board import Board
from stepml.console.data_board import understanding
from stepml.job.places import DATA
from tests.support.moto_stack import JOB, MotoStack
from tests.support.recorded_calls import denied, policy, recorded_calls


def look(board: Board) -> None:
    client = board.client
    folder_page(client.connection, client.stack.bucket, DATA)
    folder_size(client.connection, client.stack.bucket, DATA)
    understanding(board, "data/x.csv")
    channel_usage(client.connection, client.stack)

    client.check(JOB)


def start(board: Board) -> None:
    board.client.run(json.dumps(JOB), "from-the-form")


@pytest.mark.parametrize(("person", "act"), [("viewer", look), ("runner", start)])
def test_the_policy_of_the_person_allows_the_calls(
    stack: MotoStack, person: str, act: Callable[[Board], object]
) -> None:
    stack.put("data/x.csv", b"a,y\n1,0\n2,1\n")
    with recorded_calls() as calls:
        act(Board(stack.client()))
    assert {action for action, _ in calls} >= {"cloudformation:DescribeStacks"}
    assert denied(policy(person), calls) == []
