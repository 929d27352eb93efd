"""No state hides another one, and every transition leads from its state to the next."""

from __future__ import annotations

import json
from itertools import combinations

import pytest

from stepml.graphs.drawing import drawing, size_of
from stepml.graphs.layout import Layout, Size, place
from stepml.graphs.machines import Machine, machine_of
from tests.support.paths import ROOT

MACHINES = sorted((ROOT / "state_machines").glob("*.asl.json"))


@pytest.fixture(params=MACHINES, ids=lambda path: path.name)
def machine(request: pytest.FixtureRequest) -> Machine:
    return machine_of(json.loads(request.param.read_text(encoding="utf-8")))


def placed(machine: Machine) -> tuple[dict[str, Size], Layout]:
    sizes = {
        each.name: size_of(each, drawing(each.inner) if each.inner else None)
        for each in machine.states
    }
    edges = [(each.source, each.target) for each in machine.transitions]
    return sizes, place(sizes, edges, machine.states[0].name)


def test_no_two_states_overlap_and_all_are_inside(machine: Machine) -> None:
    sizes, layout = placed(machine)
    for a, b in combinations(sizes, 2):
        apart_x = abs(layout.centres[a][0] - layout.centres[b][0])
        apart_y = abs(layout.centres[a][1] - layout.centres[b][1])
        assert (
            apart_x >= (sizes[a][0] + sizes[b][0]) / 2 or apart_y >= (sizes[a][1] + sizes[b][1]) / 2
        ), f"{a} overlaps {b}"
    for name, (x, y) in layout.centres.items():
        if name in sizes:
            assert sizes[name][0] / 2 <= x + 1e-6 and x + sizes[name][0] / 2 <= layout.width + 1e-6
            assert sizes[name][1] / 2 <= y + 1e-6 and y + sizes[name][1] / 2 <= layout.height + 1e-6


def test_every_transition_leads_from_its_state_to_the_next(machine: Machine) -> None:
    sizes, layout = placed(machine)
    for transition, route in zip(machine.transitions, layout.routes, strict=True):
        for name, (x, y) in ((transition.source, route[0]), (transition.target, route[-1])):
            centre, size = layout.centres[name], sizes[name]
            assert abs(x - centre[0]) <= size[0] / 2
            assert abs(y - centre[1]) == pytest.approx(size[1] / 2)


def test_a_state_in_the_way_is_passed_beside() -> None:
    sizes = dict.fromkeys("abc", (80.0, 30.0))
    layout = place(sizes, [("a", "b"), ("b", "c"), ("a", "c"), ("c", "a")], "a")
    assert [len(route) for route in layout.routes] == [2, 2, 3, 3]
    for route in layout.routes[2:]:
        assert abs(route[1][0] - layout.centres["b"][0]) > 40
    assert layout.routes[3][0][1] > layout.routes[3][-1][1]  # upwards
