"""Columns of rows to predict, which may come in another order than those of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stepml.ml.data import Layout
from stepml.ml.data.table import Table, TableColumn

if TYPE_CHECKING:
    from stepml.trained.model_table import ModelTable


@dataclass(frozen=True, slots=True)
class Order:
    """The places in rows of the data of the numbers and levels of the model; None: the same."""

    numbers: list[int] | None = None
    levels: list[int] | None = None


def with_table(layout: Layout, model: ModelTable, places: Sequence[int]) -> tuple[Layout, Order]:
    """Return the layout of rows with words or times, and the order of the model.

    Readers yield columns in the order of the data.

    Parameters
    ----------
    layout : Layout
    model : ModelTable
    places : sequence of int
        The column of the data for each column of ``model``.
    """
    columns = [
        replace(column, column=place) for column, place in zip(model.columns, places, strict=True)
    ]
    table = Table(tuple(sorted(columns, key=lambda each: each.column)))
    numbers, levels = _places(table.numbers), _places(table.categories)
    order = Order(
        [numbers[each.column] for each in columns if not each.is_category],
        [levels[each.column] for each in columns if each.is_category],
    )
    assert order.numbers is not None
    fine = tuple(order.numbers[number] for number in model.fine)
    is_general = layout.is_general or any(each.kind != "number" for each in columns)
    found = replace(layout, table=table, n_features=None, is_general=is_general, fine=fine)
    return found, order


def _places(columns: Sequence[TableColumn]) -> dict[int, int]:
    """Return the place of each column among ``columns``."""
    return {each.column: place for place, each in enumerate(columns)}
