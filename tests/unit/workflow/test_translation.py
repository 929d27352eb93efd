"""The state machines in the SDK's words, and the words where the SDK ends."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest

from stepml.workflow.library import sdk_module
from stepml.workflow.translation import steps_of
from stepml.workflow.vocabulary import Vocabulary, full_vocabulary, sdk_vocabulary
from tests.support.paths import ROOT

MACHINES = ("train", "epoch", "ranks")
OLDER = {"ItemProcessor": "Iterator", "ItemSelector": "Parameters"}
# Of each type of state in `train`, the words for which the SDK has neither these nor older ones.
CHOICE: set[str] = set()
TASK = {"ResultSelector", "MaxDelaySeconds", "JitterStrategy"}
MAP = TASK | {"MaxConcurrencyPath"}  # with the words of the tasks inside
LACKING = {"Choice": CHOICE, "Task": TASK, "Map": MAP}


@pytest.mark.parametrize("machine", MACHINES)
def test_the_full_vocabulary_writes_the_machine_as_it_is(machine: str) -> None:
    definition = definition_of(machine)
    assert written(definition, full_vocabulary()) == definition["States"]


@pytest.mark.parametrize(
    "state", list(json.loads((ROOT / "state_machines" / "train.asl.json").read_text())["States"])
)
def test_the_sdk_alone_ends_at_known_words(state: str) -> None:
    definition = definition_of("train")
    wanted = definition["States"][state]
    got = written(definition, sdk_vocabulary())[state]
    lacking = set(words(wanted)) - set(words(got)) - OLDER.keys()
    assert lacking == LACKING[wanted["Type"]]
    assert got == in_older_words(wanted, lacking)


def test_the_steps_begin_where_an_execution_does() -> None:
    assert next(iter(steps_of(definition_of("train"), full_vocabulary()))) == "Prepare"


def test_the_import_of_the_sdk_leaves_the_root_logger_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [each for each in sys.modules if each.split(".")[0] == "stepfunctions"]:
        monkeypatch.delitem(sys.modules, name)
    before = logging.getLogger().level
    sdk_module("stepfunctions")
    assert logging.getLogger().level == before


@cache
def definition_of(machine: str) -> dict[str, Any]:
    return dict(json.loads((ROOT / "state_machines" / f"{machine}.asl.json").read_text()))


def written(definition: Mapping[str, Any], vocabulary: Vocabulary) -> dict[str, Any]:
    steps = steps_of(definition, vocabulary)
    graph = sdk_module("stepfunctions.steps").Graph(next(iter(steps.values())))
    return dict(json.loads(graph.to_json())["States"])


def words(node: Any) -> Iterator[str]:
    """Yield the fields of a state, of its retriers and catchers, and of the states inside it."""
    for word, value in node.items():
        yield word
        if word in ("Retry", "Catch"):
            for each in value:
                yield from each
        if word in ("ItemProcessor", "Iterator"):
            for inner in value["States"].values():
                yield from words(inner)


def in_older_words(node: Any, without: set[str]) -> Any:
    """Return a state as the SDK would write it: older words, and some left out."""
    if isinstance(node, list):
        return [in_older_words(each, without) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        OLDER.get(word, word): in_older_words(value, without)
        for word, value in node.items()
        if word not in without | {"ProcessorConfig"}
    }
