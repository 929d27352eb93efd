"""A table that can be sorted and paged by keyboard, and keeps its rows while they change."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Self, TypeVar

from stepml.console.widgets.tags import Tag, button, choose_in_place

R = TypeVar("R")
PAGE_ROWS = 25
Choose = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: a text, perhaps a link, with classes of console.css."""

    text: str
    address: str | None = None
    classes: str = ""

    @classmethod
    def of_status(cls, status: str) -> Self:
        """Return the cell of a status, with its colour."""
        return cls(status.lower().replace("_", " "), classes=f"status {status}")


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
    ) -> None:
        self._columns, self._key = columns, key
        self._page_rows, self._page = page_rows, 0
        self.sorted_by, self._on_sort = sorted_by, on_sort
        self._rows: Sequence[R] = ()
        self._on_choose = on_choose
        self._chosen: Hashable = None
        self._shown: dict[Hashable, _Row] = {}
        with (
            Tag("div", classes="scroll", tabindex=0, role="region", aria_label=caption),
            Tag("table"),
        ):
            Tag("caption", caption, "unseen")
            with Tag("thead"), Tag("tr"):
                self._heads = {column.key: self._head(column) for column in columns}
            self._body = Tag("tbody")
        with Tag("nav", classes="pager", aria_label=f"Pages of: {caption}") as self._pager:
            self._back = button("Previous", lambda: self._turn(-1))
            self._where = Tag("span", role="status")
            self._on = button("Next", lambda: self._turn(1))

    def show(self, rows: Sequence[R]) -> None:
        """Show these rows: those that were there stay, new ones come, others go."""
        self._rows = self._in_order(rows)
        pages = max(1, -(-len(rows) // self._page_rows))
        self._page = min(self._page, pages - 1)
        begin = self._page * self._page_rows
        self._draw(self._rows[begin : begin + self._page_rows])
        self._pager.set_visibility(pages > 1)
        self._where.say(f"Page {self._page + 1} of {pages} ({len(rows):,} rows)")
        self._back.put(disabled=self._page == 0)
        self._on.put(disabled=self._page == pages - 1)

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
        row = _Row(cells, [each.is_number for each in self._columns], choose)
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
        self.sorted_by = f"-{key}" if self.sorted_by == key else key
        for name, head in self._heads.items():
            head.put(aria_sort=self._direction(name))
        self.show(self._rows)
        if self._on_sort is not None:
            self._on_sort(self.sorted_by)

    def _direction(self, key: str) -> str | None:
        return {key: "ascending", f"-{key}": "descending"}.get(self.sorted_by)

    def _in_order(self, rows: Sequence[R]) -> Sequence[R]:
        name = self.sorted_by.removeprefix("-")
        order = next((each.order for each in self._columns if each.key == name), None)
        if order is None:
            return rows
        known = [row for row in rows if order(row) is not None]
        known.sort(key=order, reverse=self.sorted_by.startswith("-"))
        return known + [row for row in rows if order(row) is None]

    def _turn(self, by: int) -> None:
        self._page += by
        self.show(self._rows)


class _Row:
    def __init__(
        self, cells: Sequence[Cell], numbers: Sequence[bool], on_choose: Choose | None
    ) -> None:
        with Tag("tr") as self.tag:
            self._cells = [
                _Shown(cell, is_number, on_choose)
                for cell, is_number in zip(cells, numbers, strict=True)
            ]

    def change(self, cells: Sequence[Cell]) -> None:
        for shown, cell in zip(self._cells, cells, strict=True):
            shown.change(cell)


class _Shown:
    """A cell of the page; its link stays, so that it keeps the focus."""

    def __init__(self, cell: Cell, is_number: bool, on_choose: Choose | None) -> None:
        self._cell = cell
        with Tag("td", classes="number" if is_number else ""):
            self._inner = Tag(
                "a" if cell.address else "span", cell.text, cell.classes, href=cell.address
            )
            if cell.address and on_choose:
                choose_in_place(self._inner, on_choose)

    def change(self, cell: Cell) -> None:
        if cell == self._cell:
            return
        self._cell = cell
        self._inner.say(cell.text)
        self._inner.classes(replace=cell.classes)
        self._inner.put(href=cell.address)
