"""Libraries of extras, which are loaded when they are asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stepml.job.installing import require_packages
from stepml.records.errors import LibraryMissingError

if TYPE_CHECKING:
    import pandas as pd


class Framed(ABC):
    """Rows that become a data frame."""

    @abstractmethod
    def rows(self) -> list[dict[str, Any]]:
        """Return flat rows: values by name."""

    def to_frame(self) -> pd.DataFrame:
        """Return `rows` as a data frame, with times as such.

        Raises
        ------
        LibraryMissingError
            pandas is not installed.
        """
        return _frame_of(self.rows())


def _frame_of(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    require_packages(("pandas",), "the library for data frames", "notebook", LibraryMissingError)
    import pandas as pd

    frame = pd.DataFrame(list(rows))
    for name in {"started_at", "ended_at"} & set(frame):
        frame[name] = pd.to_datetime(frame[name], utc=True, format="ISO8601")
    return frame


def require_plots() -> None:
    """Raise `LibraryMissingError` unless matplotlib is installed."""
    require_packages(("matplotlib",), "the library for plots", "plot", LibraryMissingError)
