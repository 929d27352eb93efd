"""The epochs of a job as a list, rows and a data frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from stepml.client.libraries import frame_of
from stepml.records.execution import EpochAttempt
from stepml.reports.epoch_rows import attempt_rows

if TYPE_CHECKING:
    import pandas as pd

    from stepml.reports.tables import Table


class Epochs(Sequence[EpochAttempt]):
    """Attempts at epochs, in the order of their start."""

    def __init__(self, attempts: Sequence[EpochAttempt]) -> None:
        self._attempts = list(attempts)

    @overload
    def __getitem__(self, index: int) -> EpochAttempt: ...
    @overload
    def __getitem__(self, index: slice) -> Epochs: ...
    def __getitem__(self, index: int | slice) -> EpochAttempt | Epochs:
        if isinstance(index, slice):
            return Epochs(self._attempts[index])
        return self._attempts[index]

    def __len__(self) -> int:
        return len(self._attempts)

    def __iter__(self) -> Iterator[EpochAttempt]:
        return iter(self._attempts)

    def rows(self) -> list[dict[str, Any]]:
        """Return a flat row for each attempt: loss, metrics, seconds, cost, times by part."""
        return attempt_rows(self._attempts)

    def to_frame(self) -> pd.DataFrame:
        """Return `rows` as a data frame.

        Raises
        ------
        LibraryMissingError
            pandas is not installed.
        """
        return frame_of(self.rows())

    def __repr__(self) -> str:
        return self._table().text()

    def _repr_html_(self) -> str:
        from stepml.reports.fragments import fragment  # which needs the library for templates

        return fragment(self._table().html())

    def _table(self) -> Table:
        from stepml.reports.attempt_table import attempt_table

        return attempt_table(self._attempts)
