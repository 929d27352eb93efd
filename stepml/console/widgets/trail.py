"""The choices that a page offers in an execution, and its sources of the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from stepml.client.invocations import InvocationLog
from stepml.console.addresses import number_in
from stepml.console.feeds import Feed
from stepml.records.visits import Attempt, Visit

Events = list[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Choice:
    """A state of an execution, a visit of it, and one of the visit's attempts.

    Attributes
    ----------
    state : str or None
    visit : int or None
        The id of its first event; None: the newest one.
    call : int or None
        The number of the attempt; None: the last one.
    execution : str
        The name of another execution, which belongs to that of the page; "": that of the page.
    """

    state: str | None = None
    visit: int | None = None
    call: int | None = None
    execution: str = ""

    @classmethod
    def parsed(cls, state: str = "", visit: str = "", call: str = "", execution: str = "") -> Self:
        """Return the choice of an address; what is no number stands for no choice."""
        return cls(state or None, number_in(visit), number_in(call), execution)

    @property
    def settings(self) -> dict[str, str | int | None]:
        """The choice as settings of an address."""
        return {
            "state": self.state,
            "visit": self.visit,
            "call": self.call,
            "execution": self.execution,
        }


@dataclass(frozen=True, slots=True)
class Ways:
    """The ways from a state of an execution to what belongs to it.

    Attributes
    ----------
    child_address : callable
        Returns the address of the view of an execution with this ARN, or None if it has none.
    events : callable
        Returns the feed of the events of a visit, in the execution with this name.
    log : callable
        Returns the feed of the log of an attempt of a visit likewise.
    """

    child_address: Callable[[str], str | None]
    events: Callable[[str, Visit], Feed[Events]]
    log: Callable[[str, Visit, Attempt], Feed[InvocationLog]]


@dataclass(frozen=True, slots=True)
class Trail:
    """The choices that a view of an execution offers.

    Attributes
    ----------
    address : callable
        Returns the address of the present view with a choice.
    choose : callable
        Called with a person's choice.
    ways : Ways
    """

    address: Callable[[Choice], str]
    choose: Callable[[Choice], object]
    ways: Ways
