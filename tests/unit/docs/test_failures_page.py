"""docs/failures.md, the state machines and the code agree about errors."""

from __future__ import annotations

import re
from typing import Any

import pytest

from stepml.job import errors
from tests.unit.deployment.test_deployment_contract import (
    ROOT,
    all_tasks,
    error_classes,
    invoked_functions,
)

PAGE = (ROOT / "docs" / "failures.md").read_text()
EVERY_FUNCTION = "every function"


def rows(header: str) -> list[list[str]]:
    """Return the cells of the table that begins with ``header``."""
    _, _, behind = PAGE.partition(f"| {header} |")
    lines = behind.split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]


def names(cell: str) -> frozenset[str]:
    return frozenset(re.findall(r"`([^`]+)`", cell))


def retriers_of_the_page() -> set[tuple[Any, ...]]:
    functions = frozenset(name for name, state in all_tasks() if invoked_functions(name, state))
    found = set()
    for cells in rows("errors"):
        listed, states, attempts, pause, factor, longest = cells[:6]
        where = functions if states == EVERY_FUNCTION else frozenset(states.split())
        numbers = (int(attempts), int(pause), int(factor), int(longest) if longest else None)
        found |= {(names(listed), state, *numbers) for state in where}
    return found


def retriers_of_the_machines() -> set[tuple[Any, ...]]:
    return {
        (
            frozenset(retrier["ErrorEquals"]),
            name,
            retrier["MaxAttempts"],
            retrier["IntervalSeconds"],
            retrier.get("BackoffRate", 2),
            retrier.get("MaxDelaySeconds"),
        )
        for name, state in all_tasks()
        for retrier in state["Retry"]
    }


def test_every_retrier_is_on_the_page_with_its_reason() -> None:
    assert retriers_of_the_page() == retriers_of_the_machines()
    assert all(len(cells[6]) > 20 for cells in rows("errors"))


def test_every_error_is_on_the_page() -> None:
    listed = [cell.strip("`") for cell, *_ in rows("error")]
    known = {name for name in error_classes() if name.endswith("Error")}
    assert sorted(listed) == sorted(known - {"StepMLError"})


@pytest.mark.parametrize(("error", "raised_in", "retried"), [row[:3] for row in rows("error")])
def test_the_page_says_who_raises_an_error_and_what_comes_of_it(
    error: str, raised_in: str, retried: str
) -> None:
    error = error.strip("`")
    source = (ROOT / raised_in.strip("`")).read_text()
    assert re.search(rf"\b{error}\(", source), f"{raised_in} does not raise {error}"
    named = {name for retrier in retriers_of_the_machines() for name in retrier[0]}
    assert (retried == "by its Task") == (error in named)
    assert (retried == "never") == (_in_the_tree(error) == "never retried")


def _in_the_tree(error: str) -> str:
    """Return the retry rule of an error, or of its nearest parent, in the tree of errors."""
    assert errors.__doc__ is not None
    tree = " ".join(errors.__doc__.split())
    for each in type.mro(error_classes()[error]):
        found = re.search(rf"── {each.__name__} ((?:(?!──).)*)", tree)
        rule = found and re.search(r"never retried|with its epoch|retried", found[1])
        if rule:
            return rule[0]
    return "with its epoch"
