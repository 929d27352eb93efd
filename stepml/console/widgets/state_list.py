"""The graph's other forms: its legend, and its states as a list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from stepml.console.widgets.signs import SignBeside
from stepml.console.widgets.tags import Tag, choice_link
from stepml.graphs.machines import Machine
from stepml.graphs.marks import WORDS, Mark

SHAPES = {
    "sheets": "Map: one iteration for each rank, range or chunk",
    "round": "Choice",
    "double": "starts another execution",
    "dashes": "goes here if a state has failed",
}


def legend() -> None:
    """Add the legend of a graph."""
    with Tag("ul", classes="graph-legend", aria_label="Signs of the graph"):
        for status, word in WORDS.items():
            with Tag("li"):
                SignBeside(status)
                Tag("span", word)
        for shape, words in SHAPES.items():
            with Tag("li"):
                Tag("i", classes=shape)
                Tag("span", words)


class StateList:
    """The states of an execution as a list, which is folded at first."""

    def __init__(
        self,
        machine: Machine,
        address_of: Callable[[str], str],
        on_choose: Callable[[str], object],
    ) -> None:
        self._lines: dict[str, _Line] = {}
        with Tag("details"):
            Tag("summary", "The states as a list")
            with Tag("ul", classes="state-list"):
                for state in machine.all_states:
                    name = state.name
                    self._lines[name] = _Line(name, address_of(name), partial(on_choose, name))

    def show(self, marks: Mapping[str, Mark]) -> None:
        """Show what became of each state."""
        for name, line in self._lines.items():
            line.show(marks.get(name, Mark()))


class _Line:
    def __init__(self, name: str, address: str, on_choose: Callable[[], object]) -> None:
        with Tag("li"):
            self._sign = SignBeside("NOT_ENTERED")
            choice_link(name, address, on_choose)
            self._words = Tag("span", WORDS["NOT_ENTERED"])

    def show(self, mark: Mark) -> None:
        if self._words.text != mark.words:
            self._words.say(mark.words)
            self._sign.show(mark.status)
