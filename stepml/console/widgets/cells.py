"""Cells of tables: texts, links, notes and progress, which change in their place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from nicegui.events import GenericEventArguments

from stepml.console.widgets.tags import Tag, choose_in_place
from stepml.reports.status_words import status_word

_CHECKED = "(event) => emit(event.target.checked)"


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell.

    Attributes
    ----------
    text : str
    address : str or None
        Makes the text a link.
    classes : str
        Of the text, from console.css.
    note : str
        A second line in small letters.
    note_classes : str
    share : float or None
        What is done of the whole, from 0 to 1: a bar below the text.
    """

    text: str
    address: str | None = None
    classes: str = ""
    note: str = ""
    note_classes: str = "soft"
    share: float | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it is its text alone."""
        return self == Cell(self.text)

    @classmethod
    def of_status(cls, status: str, why: str = "") -> Self:
        """Return the cell of a status, with its colour, and below it why."""
        text, classes = status_word(status), f"status {status}"
        return cls(text, classes=classes, note=why, note_classes="soft why")


class ShownCell:
    """A cell of the page; its link stays, so that it keeps the focus."""

    def __init__(
        self, cell: Cell, is_number: bool, on_choose: Callable[[], object] | None = None
    ) -> None:
        self._cell, self._on_choose = cell, on_choose
        self._tag = Tag("td", classes="number" if is_number else "")
        self._make()

    def change(self, cell: Cell) -> None:
        """Show another cell."""
        if cell == self._cell:
            return
        before, self._cell = self._cell, cell
        kinds = {(each.is_plain, each.address is None) for each in (before, cell)}
        if len(kinds) > 1:
            self._make()
        elif cell.is_plain:
            self._tag.say(cell.text)
        else:
            self._change()

    def _change(self) -> None:
        cell = self._cell
        self._inner.say(cell.text)
        self._inner.dress(cell.classes)
        self._inner.put(href=cell.address)
        self._show_more()

    def _make(self) -> None:
        cell = self._cell
        self._tag.clear()
        self._note: Tag | None = None
        self._bar: Tag | None = None
        self._tag.say(cell.text if cell.is_plain else "")
        if cell.is_plain:  # most are: pages with half the elements are drawn faster
            return
        with self._tag:
            name = "span" if cell.address is None else "a"
            self._inner = Tag(name, cell.text, cell.classes, href=cell.address)
        if cell.address is not None and self._on_choose:
            choose_in_place(self._inner, self._on_choose)
        self._show_more()

    def _show_more(self) -> None:
        """Show the note and the bar, whose elements are made at their first use."""
        note, share = self._cell.note, self._cell.share
        with self._tag:
            if share is not None and self._bar is None:
                self._bar = Tag("progress", max=1, aria_label="Progress")
            if note and self._note is None:
                self._note = Tag("span")
        if self._bar is not None:
            self._bar.set_visibility(share is not None)
            self._bar.put(value=f"{share or 0.0:.3f}")
        if self._note is not None:
            self._note.set_visibility(bool(note))
            self._note.say(note)
            self._note.dress(f"cell-note {self._cell.note_classes}")


class CheckCell:
    """A cell with a box that a person ticks to choose the row."""

    def __init__(self, name: str, is_ticked: bool, on_tick: Callable[[bool], object]) -> None:
        with Tag("td", classes="tick"), Tag("label"):
            self._box = Tag("input", type="checkbox", checked=is_ticked)
            Tag("span", f"Choose {name}", "unseen")
        self._on_tick = on_tick
        self._box.on("change", self._tick, js_handler=_CHECKED)

    def show(self, is_ticked: bool) -> None:
        """Tick the box, or not."""
        self._box.put(checked=is_ticked)

    def _tick(self, event: GenericEventArguments) -> None:
        is_ticked = bool(event.args)
        self._box.put(checked=is_ticked)
        self._on_tick(is_ticked)
