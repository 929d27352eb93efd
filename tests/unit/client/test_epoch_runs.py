"""The ranks of an epoch with many groups, whose executions are read in turn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from stepml.client.epoch_runs import GROUPS_A_LOOK, EpochRun
from stepml.records.execution import EpochAttempt, Execution
from stepml.records.open_visits import Event
from tests.support.histories import Written

N_GROUPS = 2 * GROUPS_A_LOOK + 1
ARN = "arn:aws:states:us-east-1:123456789012:execution:stepml-epoch:job-e1"


class States:
    """Step Functions, as far as histories go."""

    def __init__(self, histories: Mapping[str, list[Event]]) -> None:
        self.histories = dict(histories)

    def get_execution_history(self, **asked: Any) -> dict[str, Any]:
        return {"events": self.histories[asked["executionArn"]][::-1]}


def child(group: int) -> str:
    return f"{ARN}-g{group}"


def epoch() -> Written:
    """Return the history of an epoch whose groups all run."""
    written = Written()
    written.add("ExecutionStarted")
    groups = json.dumps({"groups": [[rank] for rank in range(N_GROUPS)]})
    written.add("MapStateEntered", name="RunGroups", input=groups)
    begun = written.add("MapStateStarted", length=N_GROUPS)
    for group in range(N_GROUPS):
        written.add("MapIterationStarted", begun, name="RunGroups", index=group)
        written.add("TaskStateEntered", name="RunGroup", input="{}")
        written.add("TaskScheduled", parameters="{}")
        written.add("TaskSubmitted", output=json.dumps({"ExecutionArn": child(group)}))
    return written


def group_of(rank: int) -> Written:
    """Return the history of a group whose rank runs."""
    written = Written()
    written.add("ExecutionStarted")
    written.add("MapStateEntered", name="RunExecutors", input=json.dumps({"ranks": [rank]}))
    written.add("MapStateStarted", length=1)
    written.add("MapIterationStarted", name="RunExecutors", index=0)
    written.add("TaskStateEntered", name="RunExecutor", input=json.dumps({"rank": rank}))
    return written


def statuses(run: EpochRun) -> list[str]:
    (ranks,) = run.look().maps
    return [each.status for each in ranks.iterations]


def test_no_rank_of_an_attempt_that_has_ended_still_runs() -> None:
    groups, attempt = [group_of(rank) for rank in range(N_GROUPS)], epoch()
    states = States({child(n): each.events for n, each in enumerate(groups)})
    states.histories[ARN] = attempt.events
    connection = SimpleNamespace(client=lambda _: states, endpoint_url=None, place="here")
    now, execution = datetime.now(UTC), Execution("job-e1", ARN)
    facts = EpochAttempt(execution, 1, 1, 0, 0, "RUNNING", now, None, None, None)
    run = EpochRun(SimpleNamespace(connection=connection, name="job"), facts)  # type: ignore[arg-type]
    assert statuses(run) == ["RUNNING"] * N_GROUPS
    for each in (*groups, attempt):
        each.add("ExecutionAborted")
    assert statuses(run) == ["ABORTED"] * N_GROUPS
