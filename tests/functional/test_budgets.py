"""Budgets on the real machines and functions: the job ends normally, with its current model."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from lambdas.attempts.transitions import of_epoch
from stepml.job import keys
from stepml.job.prices import TRANSITION_USD
from tests.support.local_stack import LocalStack

FINALISE_USD = 0.0002  # more than the share of a budget that is left to it
TOLD = {
    "max_cost_usd": ("total_cost_usd", "cost_usd"),
    "max_seconds": ("active_seconds", "seconds"),
}


@pytest.mark.parametrize(
    ("field", "budget"), [("max_cost_usd", 1e-6), ("max_cost_usd", 0.004), ("max_seconds", 3)]
)
def test_a_job_without_money_or_time_ends_with_the_model_so_far(
    local_stack: LocalStack, job: dict[str, Any], field: str, budget: float
) -> None:
    name = f"budget-{uuid.uuid4().hex[:8]}"
    ended = local_stack.run(job | {"stop": {"max_epochs": 500, field: budget}}, name)
    assert ended["status"] == "SUCCEEDED", ended
    report = ended["report"]
    assert report["decision"] == "finished"
    assert report["reason"].startswith(f"{field} {budget:g}: ")
    if budget == 1e-6:
        assert report["epochs"] == 1
    else:
        total, one = TOLD[field]
        *earlier, last = report["history"]
        unforeseen = max(0.0, last[one] - earlier[-1][one]) if earlier else last[one]
        assert last[total] <= budget + unforeseen + 1e-6
        end = FINALISE_USD if field == "max_cost_usd" else 0.0
        assert last[total] + last[one] > budget - end
    assert local_stack.read(keys.model(name))


def test_an_epoch_costs_the_states_that_it_enters(
    local_stack: LocalStack, job: dict[str, Any]
) -> None:
    name = f"states-{uuid.uuid4().hex[:8]}"
    scattered = job | {"exchange": {"pattern": "reduce_scatter"}, "stop": {"max_epochs": 1}}
    ended = local_stack.run(scattered, name)
    (child,) = local_stack.epochs(name)
    entered = [
        event["stateEnteredEventDetails"]["name"]
        for event in local_stack.aws.events(child["executionArn"])
        if event["type"].endswith("StateEntered")
    ]
    assert entered.count("TrainRank") == entered.count("MergeChunk") == 4
    assert of_epoch(4, 4) == len(entered) + 2 + 2  # its start and end; the parent's two
    (report,) = ended["report"]["history"]
    transitions_usd = of_epoch(4, 4) * TRANSITION_USD
    assert transitions_usd < report["cost_usd"] < transitions_usd + 0.01
    assert report["total_cost_usd"] > report["cost_usd"] + 10 * TRANSITION_USD  # preparation
    assert report["active_seconds"] == report["seconds"]
