"""Steps of the SDK from a definition in Amazon States Language."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from stepml.workflow.vocabulary import Vocabulary

# Of a state; they become calls instead of fields.
_CALLS = {"Type", "Next", "End", "Retry", "Catch", "Choices", "Default", "ItemProcessor"}
# The word of states whose SDK has an older one of the same meaning.
_OLDER = {"ItemSelector": "Parameters"}


def steps_of(definition: Mapping[str, Any], vocabulary: Vocabulary) -> dict[str, Any]:
    """Return the steps of a definition by name, the first one first.

    Words that the vocabulary lacks are left out.

    Raises
    ------
    KeyError
        A state has a type that the vocabulary lacks.
    """
    first, states = definition["StartAt"], definition["States"]
    names = [first, *(each for each in states if each != first)]
    steps = {name: _step(name, states[name], vocabulary) for name in names}
    for name, step in steps.items():
        _connect(step, states[name], steps, vocabulary)
    return steps


def _step(name: str, state: Mapping[str, Any], vocabulary: Vocabulary) -> Any:
    step = vocabulary.states[state["Type"]](name)
    _fill(step, {word: value for word, value in state.items() if word not in _CALLS})
    if processor := state.get("ItemProcessor"):
        inner = steps_of(processor, vocabulary)
        step.attach_iterator(inner[processor["StartAt"]])
    return step


def _fill(block: Any, fields: Mapping[str, Any]) -> None:
    for word, value in fields.items():
        for each in (word, _OLDER.get(word, word)):
            if block.is_field_allowed(_snake_case(each)):
                block.fields[_snake_case(each)] = value
                break


def _snake_case(word: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", word).lower()


def _connect(
    step: Any, state: Mapping[str, Any], steps: Mapping[str, Any], vocabulary: Vocabulary
) -> None:
    if "Next" in state:
        step.next(steps[state["Next"]])
    for fields in state.get("Retry", []):
        retry = vocabulary.retry()
        _fill(retry, fields)
        step.add_retry(retry)
    for fields in state.get("Catch", []):
        catch = vocabulary.catch(next_step=steps[fields["Next"]])
        _fill(catch, fields)
        step.add_catch(catch)
    for choice in state.get("Choices", []):
        step.add_choice(_rule(choice, vocabulary), steps[choice["Next"]])
    if "Default" in state:
        step.default_choice(steps[state["Default"]])


def _rule(choice: Mapping[str, Any], vocabulary: Vocabulary) -> Any:
    condition = {word: value for word, value in choice.items() if word not in ("Next", "Comment")}
    variable = condition.pop("Variable", None)
    [(operator, value)] = condition.items()
    if operator in ("And", "Or"):
        return vocabulary.compound_rule(operator, [_rule(each, vocabulary) for each in value])
    if operator == "Not":
        return vocabulary.not_rule(_rule(value, vocabulary))
    return vocabulary.rule(variable, operator, value)
