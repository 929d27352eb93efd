"""Lists of a job's facts, which are tables as well."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from stepml.job.parts import FunctionTimes
from stepml.records.execution import EpochAttempt
from stepml.reports.epoch_rows import attempt_rows, function_row
from stepml.reports.libraries import Framed

if TYPE_CHECKING:
    from stepml.reports.tables import Table

T = TypeVar("T")
Row = dict[str, Any]


class Tabular(Sequence[T], Framed):
    """A sequence that does not change, with a flat row for each of its elements.

    It shows itself as a table, in notebooks and in terminals.
    """

    def __init__(self, items: Sequence[T]) -> None:
        self._items = list(items)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> T | Self:
        if isinstance(index, slice):
            return self._with(self._items[index])
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def _with(self, items: Sequence[T]) -> Self:
        return type(self)(items)

    @abstractmethod
    def _table(self) -> Table:
        """Return the table that is shown."""

    def __repr__(self) -> str:
        return self._table().text()

    def _repr_html_(self) -> str:
        from stepml.reports.fragments import fragment  # which needs the library for templates

        return fragment(self._table().html())


class Epochs(Tabular[EpochAttempt]):
    """Attempts at epochs, in the order of their start."""

    def rows(self) -> list[Row]:
        """Return a row for each attempt: loss, metrics, seconds, cost, times by part."""
        return attempt_rows(self)

    def _table(self) -> Table:
        from stepml.reports.attempt_table import attempt_table

        return attempt_table(self)


@dataclass(frozen=True, slots=True)
class EpochFunction:
    """A function of an epoch."""

    epoch: int
    attempt: int  # at the epoch, from 1
    times: FunctionTimes


class Parts(Tabular[EpochFunction]):
    """The functions of epochs: where their time went, their traffic and memory."""

    @classmethod
    def of(
        cls, attempts: Sequence[EpochAttempt], functions: Mapping[int, Sequence[FunctionTimes]]
    ) -> Self:
        """Return the functions, given by epoch, of the attempts that ended their epochs."""
        return cls(
            [
                EpochFunction(attempt.epoch, attempt.number, each)
                for attempt in attempts
                if attempt.report is not None
                for each in functions.get(attempt.epoch, ())
            ]
        )

    def rows(self) -> list[Row]:
        """Return a row for each function: seconds of its parts, requests and bytes by service."""
        return [
            {"epoch": each.epoch, "attempt": each.attempt, **function_row(each.times)}
            for each in self
        ]

    def _table(self) -> Table:
        from stepml.reports.attempt_table import function_table

        by_epoch = groupby(self, lambda each: each.epoch)
        return function_table({epoch: [each.times for each in found] for epoch, found in by_epoch})
