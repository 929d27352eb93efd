"""Diagnostics of definitions never fail, whatever the definition is."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest

from stepml.local.engine.language import diagnose

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
