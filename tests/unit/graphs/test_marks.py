"""The graph of an execution shows what became of each state."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from stepml.console.widgets.signs import SIGNS
from stepml.graphs.machines import Machine, machine_of, with_ends
from stepml.graphs.marks import URGENCY, Mark, marks
from stepml.records.visits import Iterations, Visit, VisitStatus
from tests.support.paths import ROOT

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def machine(name: str) -> Machine:
    return machine_of(json.loads((ROOT / f"state_machines/{name}.asl.json").read_text()))


def visit(state: str, event: int, status: VisitStatus = "SUCCEEDED", **others: Any) -> Visit:
    facts = {"kind": "Task", "left_at": NOON, "last_event": event + 1, "input": "{}", **others}
    return Visit(state=state, status=status, entered_at=NOON, first_event=event, **facts)


def test_a_state_has_the_status_of_its_last_visit() -> None:
    visits = [visit("RunEpoch", 5), visit("RunEpoch", 9, "FAILED"), visit("RunEpoch", 15)]
    found = marks(machine("train"), visits)
    assert found["RunEpoch"] == Mark("SUCCEEDED", 3)
    assert found["Finalise"] == Mark("NOT_ENTERED")
    assert set(found) == {each.name for each in machine("train").all_states}


@pytest.mark.parametrize("status", URGENCY)
def test_a_state_in_a_map_has_the_most_urgent_status_of_the_last_visit(status: VisitStatus) -> None:
    earlier = [visit("TrainRank", 3, "FAILED", iteration=0, map_event=2)]
    statuses = URGENCY[URGENCY.index(status) :]
    last = [
        visit("TrainRank", 10 + rank, each, iteration=rank, map_event=9)
        for rank, each in enumerate(reversed(statuses))
    ]
    found = marks(machine("epoch"), earlier + last)
    assert found["TrainRank"] == Mark(status, len(statuses))


def test_the_words_of_a_map_have_the_numbers_of_its_iterations() -> None:
    mark = Mark("FAILED", 2, Iterations(40, succeeded=37, failed=1, aborted=2))
    assert mark.words == (
        "failed, visited 2 times, 37 of 40 iterations succeeded, 1 failed, 2 stopped"
    )
    assert mark.iterations is not None and mark.iterations.running == 0


def test_a_map_without_iterations_had_nothing_to_do() -> None:
    assert Mark("SUCCEEDED", 1, Iterations(0)).words == "succeeded, nothing to do"


def test_every_status_has_words() -> None:
    assert set(SIGNS) == {*URGENCY, "NOT_ENTERED"}


@pytest.mark.parametrize("name", ["train", "epoch", "ranks"])
def test_every_way_through_a_machine_leads_from_start_to_end(name: str) -> None:
    graph = with_ends(machine(name))
    reached, before = {"Start"}, set[str]()
    while reached != before:
        before = set(reached)
        reached |= {each.target for each in graph.transitions if each.source in reached}
    assert reached == {each.name for each in graph.states}
    assert {each.source for each in graph.transitions} == reached - {"End"}


def test_conditions_and_states_of_other_machines_are_drawn_without_words() -> None:
    choices = [{"Condition": "{% $x %}", "Next": "B"}, {"Or": [], "Next": "B"}]
    choices += [{"Variable": "$.a", "StringMatches": "*", "Next": "B"}]
    states = {"A": {"Type": "Choice", "Choices": choices}, "B": {"Type": "Succeed"}}
    found = machine_of({"StartAt": "A", "States": states})
    assert [each.label for each in found.transitions] == ["", "", ""]
    assert found.states[1].is_last
