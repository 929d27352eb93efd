"""A table that can be sorted and paged by keyboard, and keeps its rows while they change."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from stepml.console.widgets.cells import Cell, CheckCell, ShownCell
from stepml.console.widgets.part import Part
from stepml.console.widgets.tags import Tag, button

__all__ = ["Cell", "Column", "Selection", "Table"]

R = TypeVar("R")
PAGE_ROWS = 25


@dataclass(frozen=True, slots=True)
class Column(Generic[R]):
    """A column.

    Attributes
    ----------
    key : str
        Its name in addresses.
    label : str
        Its heading.
    cell : callable
        The cell of a row.
    order : callable or None
        The value by which it sorts, None for what comes last; without it, it does not sort.
    is_number : bool
        Whether it is aligned to the right.
    """

    key: str
    label: str
    cell: Callable[[R], Cell]
    order: Callable[[R], Any] | None = None
    is_number: bool = False


class Selection:
    """The rows that a person has ticked, by key, also those on other pages.

    Parameters
    ----------
    chosen : collection of hashable
        Those at first.
    on_change : callable
        Called without arguments when a person has ticked one, or no longer.
    """

    def __init__(self, chosen: Collection[Hashable], on_change: Callable[[], object]) -> None:
        self.chosen: dict[Hashable, None] = dict.fromkeys(chosen)  # in the order of their choice
        self._on_change = on_change

    def tick(self, key: Hashable, is_ticked: bool) -> None:
        """Add a row, or remove it."""
        self.chosen.pop(key, None)
        if is_ticked:
            self.chosen[key] = None
        self._on_change()


class Table(Generic[R]):
    """A table of rows.

    Parameters
    ----------
    columns : sequence of Column
    key : callable
        Tells rows apart: a row with the same key is changed in its place.
    caption : str
        For people who do not see the page.
    sorted_by : str
        The key of a column, with a hyphen before it for the largest first; "" for the given order.
    on_sort : callable, optional
        Called with the new ``sorted_by``.
    page_rows : int
        The number of rows at a time.
    on_choose : callable, optional
        Called with a row instead of loading the view to which its link leads: see `choice_link`.
    page : int
        The page that is shown at first, from 1 on.
    on_turn : callable, optional
        Called with the number of the page to which a person has turned.
    selection : Selection, optional
        Each row has a box to tick.
    """

    def __init__(
        self,
        columns: Sequence[Column[R]],
        key: Callable[[R], Hashable],
        caption: str,
        sorted_by: str = "",
        on_sort: Callable[[str], object] | None = None,
        page_rows: int = PAGE_ROWS,
        on_choose: Callable[[R], object] | None = None,
        *,
        page: int = 1,
        on_turn: Callable[[int], object] | None = None,
        selection: Selection | None = None,
    ) -> None:
        self._columns, self._key = columns, key
        self._page_rows, self.page, self._on_turn = page_rows, page, on_turn
        self.sorted_by, self._on_sort = sorted_by, on_sort
        self._rows: Sequence[R] = ()
        self._on_choose, self._selection = on_choose, selection
        self._chosen: Hashable = None
        self._shown: dict[Hashable, _Row] = {}
        with (
            Part("div", "scroll", tabindex=0, role="region", aria_label=caption),
            Tag("table"),
        ):
            Tag("caption", caption, "unseen")
            with Tag("thead"), Tag("tr"):
                if selection is not None:
                    with Tag("th", scope="col"):
                        Tag("span", "Chosen", "unseen")
                self._heads = {column.key: self._head(column) for column in columns}
            self._body = Tag("tbody")
        with Tag("nav", classes="pager", aria_label=f"Pages of: {caption}") as self._pager:
            self._back = button("Previous", lambda: self._turn(-1))
            self._where = Tag("span", role="status")
            self._on = button("Next", lambda: self._turn(1))

    def show(self, rows: Sequence[R]) -> None:
        """Show these rows: those that were there stay, new ones come, others go."""
        self._rows = rows
        pages = max(1, -(-len(rows) // self._page_rows))
        page = min(max(self.page, 1), pages)
        begin = (page - 1) * self._page_rows
        self._draw(in_order(self._columns, self.sorted_by, rows)[begin : begin + self._page_rows])
        self._pager.set_visibility(pages > 1)
        self._where.say(f"Page {page} of {pages} ({len(rows):,} rows)")
        self._back.put(disabled=page == 1)
        self._on.put(disabled=page == pages)

    def mark(self, key: Hashable) -> None:
        """Mark the row with this key as the chosen one; None: there is none."""
        for each in {self._chosen, key} & set(self._shown):
            self._shown[each].tag.put(aria_current="true" if each == key else None)
        self._chosen = key

    def _draw(self, rows: Sequence[R]) -> None:
        keys = [self._key(row) for row in rows]
        for key in set(self._shown) - set(keys):
            self._shown.pop(key).tag.delete()
        for place, (key, row) in enumerate(zip(keys, rows, strict=True)):
            cells = [column.cell(row) for column in self._columns]
            if key in self._shown:
                self._shown[key].change(cells)
            else:
                with self._body:
                    self._shown[key] = self._new_row(key, cells)
            tag = self._shown[key].tag
            if self._body.default_slot.children.index(tag) != place:
                tag.move(target_index=place)

    def _new_row(self, key: Hashable, cells: Sequence[Cell]) -> _Row:
        choose = partial(self._choose, key) if self._on_choose else None
        row = _Row(key, cells, [each.is_number for each in self._columns], choose, self._selection)
        row.tag.put(aria_current="true" if key == self._chosen else None)
        return row

    def _choose(self, key: Hashable) -> None:
        row = next((each for each in self._rows if self._key(each) == key), None)
        if self._on_choose is not None and row is not None:
            self._on_choose(row)

    def _head(self, column: Column[R]) -> Tag:
        head = Tag("th", "" if column.order else column.label, scope="col")
        if column.is_number:
            head.classes("number")
        if column.order:
            with head:
                button(column.label, partial(self._sort, column.key), "sort")
            head.put(aria_sort=self._direction(column.key))
        return head

    def _sort(self, key: str) -> None:
        """Sort by a column: the smallest first, then the largest, then as the rows were given."""
        self.sorted_by = {key: f"-{key}", f"-{key}": ""}.get(self.sorted_by, key)
        for name, head in self._heads.items():
            head.put(aria_sort=self._direction(name))
        self.show(self._rows)
        if self._on_sort is not None:
            self._on_sort(self.sorted_by)

    def _direction(self, key: str) -> str | None:
        return {key: "ascending", f"-{key}": "descending"}.get(self.sorted_by)

    def _turn(self, by: int) -> None:
        pages = -(-len(self._rows) // self._page_rows)
        self.page = min(max(self.page, 1), pages) + by
        self.show(self._rows)
        if self._on_turn is not None:
            self._on_turn(self.page)


def in_order(columns: Sequence[Column[R]], sorted_by: str, rows: Sequence[R]) -> Sequence[R]:
    """Return rows as they are sorted; those without the value come last."""
    name = sorted_by.removeprefix("-")
    order = next((each.order for each in columns if each.key == name), None)
    if order is None:
        return rows
    known = [row for row in rows if order(row) is not None]
    known.sort(key=order, reverse=sorted_by.startswith("-"))
    return known + [row for row in rows if order(row) is None]


class _Row:
    def __init__(
        self,
        key: Hashable,
        cells: Sequence[Cell],
        numbers: Sequence[bool],
        on_choose: Callable[[], object] | None,
        selection: Selection | None,
    ) -> None:
        with Tag("tr") as self.tag:
            if selection is not None:
                CheckCell(str(key), key in selection.chosen, partial(selection.tick, key))
            self._cells = [
                ShownCell(cell, is_number, on_choose)
                for cell, is_number in zip(cells, numbers, strict=True)
            ]

    def change(self, cells: Sequence[Cell]) -> None:
        for shown, cell in zip(self._cells, cells, strict=True):
            shown.change(cell)
