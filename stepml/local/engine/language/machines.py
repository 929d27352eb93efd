"""A state machine as a whole: its states, and the transitions between them."""

from __future__ import annotations

from typing import Any

from stepml.local.engine.language.diagnostics import (
    END,
    ERROR,
    INVALID_JSON,
    NAME,
    TARGET,
    WARNING,
    Diagnostic,
    Diagnostics,
    wrong,
)
from stepml.local.engine.language.states import NAME_CHARACTERS, check_state
from stepml.local.engine.programs import parsed_program
from stepml.local.strict_json import DataError, strict_json

FIELDS = frozenset({"Comment", "StartAt", "States", "Version", "TimeoutSeconds", "QueryLanguage"})
PROCESSOR_FIELDS = FIELDS | {"ProcessorConfig"}
TERMINAL = ("Succeed", "Fail")


def diagnose(definition: str) -> list[Diagnostic]:
    """Return the problems of a ``definition`` in Amazon States Language, errors first."""
    try:
        machine = strict_json(definition)
    except DataError as error:
        return [Diagnostic(INVALID_JSON, str(error), "")]
    found = list(_check_machine(machine, "", FIELDS, set()))
    if all(each.severity != ERROR for each in found):
        found += _parser_errors(definition)
    return sorted(found, key=lambda each: each.severity != ERROR)


def _parser_errors(definition: str) -> list[Diagnostic]:
    """Return the error of the engine's parser, if it refuses a ``definition`` without others."""
    try:
        parsed_program(definition)
    except Exception as error:  # its classes are of the parser and of Python
        # Without the list of expected tokens, which has 5,000 characters.
        return [wrong(f"{type(error).__name__}: {error}".partition(" expecting ")[0], "")]
    return []


def _check_machine(
    machine: Any, location: str, fields: frozenset[str], names: set[str]
) -> Diagnostics:
    """Yield the problems of a machine, a branch or a processor; add its states to ``names``."""
    if not isinstance(machine, dict):
        yield wrong("expected an object", location)
        return
    for field in machine.keys() - fields:
        yield wrong(f"Field '{field}' is not supported", f"{location}/{field}")
    states = machine.get("States")
    if not isinstance(states, dict) or not states:
        yield wrong("'States' must be an object with at least one state", f"{location}/States")
        return
    start = machine.get("StartAt")
    if not isinstance(start, str):
        yield wrong("'StartAt' must be the name of a state", f"{location}/StartAt")
    elif start not in states:
        yield Diagnostic(TARGET, f"Missing 'StartAt' target: {start}", f"{location}/StartAt")
    else:
        yield from _check_reachable(states, start, f"{location}/States")
    language = machine.get("QueryLanguage", "JSONPath")
    for name, state in states.items():
        yield from _check_name(name, names, f"{location}/States/{name}")
        yield from check_state(state, f"{location}/States/{name}", language)
        yield from _check_targets(state, states, f"{location}/States/{name}")
        yield from _check_inner(state, f"{location}/States/{name}", names)


def _check_name(name: str, names: set[str], location: str) -> Diagnostics:
    if len(name) > NAME_CHARACTERS:
        yield wrong(f"the state's name has more than {NAME_CHARACTERS} characters", location)
    if name in names:
        yield Diagnostic(NAME, f"there are two states with the name '{name}'", location)
    names.add(name)


def _check_inner(state: Any, location: str, names: set[str]) -> Diagnostics:
    """Yield the problems of the branches or the processor of a Parallel or Map state."""
    if not isinstance(state, dict):
        return
    branches = state.get("Branches")
    for index, branch in enumerate(branches if isinstance(branches, list) else []):
        yield from _check_machine(branch, f"{location}/Branches[{index}]", FIELDS, names)
    for field in ("ItemProcessor", "Iterator"):
        if field in state:
            yield from _check_machine(state[field], f"{location}/{field}", PROCESSOR_FIELDS, names)


def transitions(state: Any) -> list[tuple[str, Any]]:
    """Return the field and the target of each transition of ``state``."""
    if not isinstance(state, dict):
        return []
    found = [(field, state[field]) for field in ("Next", "Default") if field in state]
    for field in ("Choices", "Catch"):
        rules = state.get(field)
        for index, rule in enumerate(rules if isinstance(rules, list) else []):
            if isinstance(rule, dict) and "Next" in rule:
                found.append((f"{field}[{index}]/Next", rule["Next"]))
    return found


def _check_targets(state: Any, states: dict[str, Any], location: str) -> Diagnostics:
    for field, target in transitions(state):
        if not isinstance(target, str):
            yield wrong("expected the name of a state", f"{location}/{field}")
        elif target not in states:
            name = field.rpartition("/")[2]
            yield Diagnostic(TARGET, f"Missing '{name}' target: {target}", f"{location}/{field}")


def _check_reachable(states: dict[str, Any], start: str, location: str) -> Diagnostics:
    reached, waiting = {start}, [start]
    while waiting:
        targets = {
            target
            for _, target in transitions(states[waiting.pop()])
            if isinstance(target, str) and target in states
        }
        waiting += targets - reached
        reached |= targets
    for name in states.keys() - reached:
        yield Diagnostic(TARGET, f'State "{name}" is not reachable.', f"{location}/{name}")
    if not any(_is_terminal(states[name]) for name in reached):
        yield Diagnostic(END, "no terminal state can be reached", location, WARNING)


def _is_terminal(state: Any) -> bool:
    # One that is no object, or has no transition, is an error of its own.
    return not isinstance(state, dict) or state.get("Type") in TERMINAL or not transitions(state)
