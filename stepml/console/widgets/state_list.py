"""The graph's other forms: its legend, and its states as a list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from stepml.console.widgets.folded import Folded
from stepml.console.widgets.signs import SIGNS, SignBeside
from stepml.console.widgets.tags import Tag, choice_link
from stepml.graphs.machines import Machine
from stepml.graphs.marks import Mark
from stepml.reports.status_words import status_word

SHAPES = {
    "sheets": "Map: one iteration for each rank, range or chunk",
    "round": "Choice",
    "double": "starts another execution",
    "dashes": "goes here if a state has failed",
}


def legend() -> None:
    """Add the legend of a graph."""
    with Tag("ul", classes="graph-legend", aria_label="Signs of the graph"):
        for status in SIGNS:
            with Tag("li"):
                SignBeside(status)
                Tag("span", status_word(status))
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
        self._machine, self._address_of, self._on_choose = machine, address_of, on_choose
        self._marks: Mapping[str, Mark] = {}
        self._lines: dict[str, _Line] = {}
        self._folded = Folded("The states as a list", self._draw)

    def show(self, marks: Mapping[str, Mark]) -> None:
        """Show what became of each state."""
        self._marks = marks
        self._folded.update()

    def _draw(self) -> None:
        if not self._lines:
            with Tag("ul", classes="state-list"):
                self._lines = {
                    each.name: self._line(each.name) for each in self._machine.all_states
                }
        for name, line in self._lines.items():
            line.show(self._marks.get(name, Mark()))

    def _line(self, name: str) -> _Line:
        return _Line(name, self._address_of(name), partial(self._on_choose, name))


class _Line:
    def __init__(self, name: str, address: str, on_choose: Callable[[], object]) -> None:
        with Tag("li"):
            self._sign = SignBeside("NOT_ENTERED")
            choice_link(name, address, on_choose)
            self._words = Tag("span", status_word("NOT_ENTERED"))

    def show(self, mark: Mark) -> None:
        if self._words.text != mark.words:
            self._words.say(mark.words)
            self._sign.show(mark.status)
