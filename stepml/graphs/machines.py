"""The graph of a state machine in Amazon States Language: its states and transitions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

LONGEST_LABEL = 26
_OPERATORS = {
    "BooleanEquals": "=",
    "StringEquals": "=",
    "NumericGreaterThan": ">",
    "NumericGreaterThanEqualsPath": "≥",
}


@dataclass(frozen=True)
class State:
    """A state, and for a Map the graph of one iteration."""

    name: str
    kind: str  # Task, Choice, Map, …; Start and End are circles, see `with_ends`
    comment: str
    starts_execution: bool = False
    inner: Machine | None = None
    is_last: bool = False  # whether the execution may end with it


@dataclass(frozen=True)
class Transition:
    """A transition from one state to another."""

    source: str
    target: str
    label: str = ""
    is_catch: bool = False


@dataclass(frozen=True)
class Machine:
    """The states of a machine, the first one first, and its transitions."""

    states: tuple[State, ...]
    transitions: tuple[Transition, ...]

    @property
    def all_states(self) -> Iterator[State]:
        """Its states, each before those of its iterations."""
        for state in self.states:
            yield state
            if state.inner:
                yield from state.inner.all_states


def machine_of(definition: dict[str, Any]) -> Machine:
    """Return the graph of a definition, or of a Map's iteration."""
    states = definition["States"]
    first = definition["StartAt"]
    names = [first, *(each for each in states if each != first)]
    return Machine(
        tuple(_state(name, states[name]) for name in names),
        tuple(each for name in names for each in _transitions(name, states[name])),
    )


def with_ends(machine: Machine) -> Machine:
    """Return the machine with the circles at which an execution starts and ends."""
    start, end = State("Start", "Start", ""), State("End", "End", "")
    last = [each for each in machine.states if each.is_last]
    return Machine(
        (start, *machine.states, end),
        (
            Transition(start.name, machine.states[0].name),
            *machine.transitions,
            *(Transition(each.name, end.name) for each in last),
        ),
    )


def _state(name: str, state: dict[str, Any]) -> State:
    processor = state.get("ItemProcessor") or state.get("Iterator")
    return State(
        name,
        state["Type"],
        state.get("Comment", ""),
        "states:startExecution" in state.get("Resource", ""),
        machine_of(processor) if processor else None,
        state.get("End", False) or state["Type"] in ("Succeed", "Fail"),
    )


def _transitions(name: str, state: dict[str, Any]) -> Iterator[Transition]:
    if "Next" in state:
        yield Transition(name, state["Next"])
    for choice in state.get("Choices", []):
        label = _condition(choice)
        yield Transition(name, choice["Next"], label if len(label) <= LONGEST_LABEL else "")
    if "Default" in state:
        yield Transition(name, state["Default"])
    for catch in state.get("Catch", []):
        yield Transition(name, catch["Next"], is_catch=True)


def _condition(choice: dict[str, Any]) -> str:
    """Return a condition in words: "decision = continue"; joined ones by "and"; "" if unknown."""
    if "And" in choice:
        return " and ".join(map(_condition, choice["And"]))
    if "Not" in choice:
        return f"not {_condition(choice['Not'])}"
    if "Variable" not in choice:
        return ""
    name = choice["Variable"].removeprefix("$.").rpartition(".")[2]
    for operator, sign in _OPERATORS.items():
        if operator in choice:
            return f"{name} {sign} {_value(choice[operator])}"
    return f"has {name.removesuffix('[0]')}" if "IsPresent" in choice else ""


def _value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).rpartition(".")[2]
