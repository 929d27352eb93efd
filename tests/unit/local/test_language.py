"""Diagnostics of definitions never fail, whatever the definition is."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest

from stepml.local.engine.language import diagnose, lacking

MACHINES = [json.loads(path.read_text()) for path in Path("state_machines").glob("*.asl.json")]
ODD = [None, 7, True, 1.5, "x", "$.a", [], {}, [[]], [{}], {"a": []}, "$$.x", "States.Format('a')"]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return each container in ``value`` with each of its keys or indices."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    inner = [
        place
        for key in keys
        if isinstance(value[key], (dict, list))
        for place in places(value[key])
    ]
    return [(value, key) for key in keys] + inner


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_machine_has_located_diagnostics(seed: int) -> None:
    draw = random.Random(seed)
    machine = copy.deepcopy(draw.choice(MACHINES))
    container, key = draw.choice(places(machine))
    if draw.random() < 0.3:
        del container[key]
    else:
        container[key] = draw.choice(ODD)
    for problem in diagnose(json.dumps(machine)):
        assert problem.severity in ("ERROR", "WARNING")
        assert problem.message
        assert problem.location == "" or problem.location.startswith("/")


JSONATA = {"Type": "Pass", "QueryLanguage": "JSONata", "End": True}
ASSIGN = {"Assign": {"x": 1}}


def one(state: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"StartAt": "A", "States": {"A": state}, **fields}


@pytest.mark.parametrize(
    ("machine", "places"),
    [
        (one({"Type": "Succeed"}, QueryLanguage="JSONata"), ["/QueryLanguage"]),
        (one({"Type": "Succeed"}, QueryLanguage="JSONPath"), []),
        (one(JSONATA), ["/States/A/QueryLanguage"]),
        (one({"Type": "Pass", "End": True, **ASSIGN}), ["/States/A/Assign"]),
        (one({"Type": "Pass", "End": True, "Parameters": {"QueryLanguage": "JSONata"}}), []),
        (
            one(
                {"Type": "Parallel", "End": True, "Branches": [one({"Type": "Fail"}), one(JSONATA)]}
            ),
            ["/States/A/Branches[1]/States/A/QueryLanguage"],
        ),
        *(
            (
                one({"Type": "Map", "End": True, field: one(JSONATA)}),
                [f"/States/A/{field}/States/A/QueryLanguage"],
            )
            for field in ("ItemProcessor", "Iterator")
        ),
        (
            one({"Type": "Choice", "Choices": [{}, ASSIGN], "Default": "A", **ASSIGN}),
            ["/States/A/Assign", "/States/A/Choices[1]/Assign"],
        ),
        (one({"Type": "Task", "Catch": [ASSIGN]}), ["/States/A/Catch[0]/Assign"]),
    ],
)
def test_parts_that_cannot_run_here_are_named(machine: dict[str, Any], places: list[str]) -> None:
    assert [each.rpartition(" at ")[2] for each in lacking(machine)] == places


def test_the_machines_of_stepml_can_run_here() -> None:
    assert [list(lacking(machine)) for machine in MACHINES] == [[]] * len(MACHINES)
