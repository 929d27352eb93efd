"""An execution: its graph, and beside it what the chosen state did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from stepml.console.widgets.graph import Graph
from stepml.console.widgets.state_panel import StatePanel
from stepml.console.widgets.tags import Tag
from stepml.console.widgets.trail import Choice, Trail, Ways
from stepml.graphs.machines import Machine
from stepml.graphs.marks import marks
from stepml.records.visits import Visit

VisitsIn = Callable[[str], Sequence[Visit]]


class ExecutionView:
    """The graph and the panel of an execution; both show the same choice.

    Parameters
    ----------
    title : str
        For people who do not see the graph: ``The states of epoch 3``.
    ways : Ways
        To the rest of the execution.
    address : callable
        Returns the address of the present view with a choice.
    choice : Choice
        As the address has it when the page is opened.
    on_choose : callable
        Called when a person has chosen.
    """

    def __init__(
        self,
        title: str,
        ways: Ways,
        address: Callable[[Choice], str],
        choice: Choice,
        on_choose: Callable[[Choice], object],
    ) -> None:
        self._title, self._address, self._on_choose = title, address, on_choose
        self.choice = choice
        self.trail = Trail(address, self.choose, ways)
        self._shown: tuple[Machine, VisitsIn] | None = None
        self._graph: tuple[Machine, Graph] | None = None
        with Tag("div", classes="execution"):
            with Tag("div") as self._left:
                self._place = Tag("div")
            self._panel = StatePanel(self.trail)

    @property
    def below(self) -> AbstractContextManager[object]:
        """The place below the graph; elements that are made in it are beside the panel."""
        return self._left

    def show(self, machine: Machine, visits_in: VisitsIn) -> None:
        """Show the execution.

        Parameters
        ----------
        machine : Machine
        visits_in : callable
            Returns the visits of the execution with a name; "": of this one.
        """
        self._shown = machine, visits_in
        if self._graph is None or self._graph[0] != machine:
            self._place.clear()
            with self._place:
                self._graph = machine, Graph(machine, self._title, self._state, self._choose_state)
        own = visits_in("")
        chosen = None if self.choice.execution else self.choice.state
        self._graph[1].show(marks(machine, own), chosen)
        self._panel.show(machine, visits_in(self.choice.execution), self.choice)

    def choose(self, choice: Choice) -> None:
        """Show what a person has chosen, and move the focus to it."""
        self.choice = choice
        if self._shown is not None:
            self.show(*self._shown)
        self._panel.focus()
        self._on_choose(choice)

    def _state(self, name: str) -> str:
        return self._address(Choice(name))

    def _choose_state(self, name: str) -> None:
        self.choose(Choice(name))
