"""Levels in rows to predict that training did not have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from stepml.cli.figures import count
from stepml.job.errors import BadRowError
from stepml.ml.data.encoding import RawRows
from stepml.ml.data.levels import level_hashes
from stepml.trained.model_table import title_of

if TYPE_CHECKING:
    from stepml.trained.model_table import ModelTable

_MOST_NAMED = 3


class UnknownLevels:
    """Counts rows with levels that training did not have, and knows some of the levels.

    Attributes
    ----------
    counts : dict of str to int
        The rows with such a level, by the title of the column.
    """

    def __init__(self, table: ModelTable | None) -> None:
        self._table = table
        self.counts: dict[str, int] = {}
        self._samples: dict[str, list[str]] = {}

    def add(self, rows: RawRows, place: str, levels: Callable[[], Sequence[Sequence[str]]]) -> None:
        """Count the unknown levels of some rows.

        Parameters
        ----------
        rows : RawRows
        place : str
            Of the rows, for messages.
        levels : callable
            Returns the levels of each category in the data so far.

        Raises
        ------
        BadRowError
            There is one, and the job says that they fail.
        """
        assert self._table is not None
        unknown = self._table.encoder.unknown(rows.levels)
        for number in np.flatnonzero(unknown.any(axis=0)).tolist():
            title, own = title_of(self._table.table.categories[number]), unknown[:, number]
            self.counts[title] = self.counts.get(title, 0) + int(np.count_nonzero(own))
            samples = self._samples.setdefault(title, [])
            if len(samples) <= _MOST_NAMED:
                hashes = dict.fromkeys(rows.levels[own, number].tolist())
                samples += _named(hashes, levels()[number], without=samples)
            if self._table.table.unknown_levels == "fail":
                raise BadRowError(
                    f"{place}: {title} has levels that training did not have, and "
                    f"data.unknown_levels is 'fail': {_few(samples)}"
                )

    def notes(self) -> list[str]:
        """Return a note on each column with such levels."""
        return [
            f"{title} has levels that training did not have, in {count(n_rows, 'row')}: "
            f"{_few(self._samples[title])}; they count for nothing"
            for title, n_rows in self.counts.items()
        ]


def _named(hashes: Iterable[int], levels: Sequence[str], without: Sequence[str]) -> list[str]:
    """Return some of the levels with these hashes."""
    names = dict(zip(level_hashes(levels).tolist(), levels, strict=True))
    found = (names[each] for each in hashes if each in names)
    return list(islice((each for each in found if each not in without), _MOST_NAMED + 1))


def _few(levels: Sequence[str]) -> str:
    more = ", …" if len(levels) > _MOST_NAMED else ""
    return ", ".join(f"{each[:40]!r}" for each in levels[:_MOST_NAMED]) + more
