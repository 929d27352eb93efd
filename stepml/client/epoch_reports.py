"""Reads the reports of a job's epochs, each once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice, takewhile

from stepml.client.reading import READERS, read_each
from stepml.client.run_facts import RunFacts
from stepml.job.reports import EpochReport

MOST_AT_ONCE = 64


class EpochReports:
    """The reports of the epochs of a job that have been read.

    Parameters
    ----------
    run : RunFacts
    with_functions : bool
        Whether the times of single functions are kept, which need most of the memory.
    """

    def __init__(self, run: RunFacts, *, with_functions: bool = True) -> None:
        self._run = run
        self._with_functions = with_functions
        self._by_epoch: dict[int, EpochReport] = {}
        self._in_order: tuple[EpochReport, ...] = ()
        self._ahead: EpochReport | None = None

    def in_order(self) -> tuple[EpochReport, ...]:
        """Return them in the order of their epochs; without news, the same tuple as before."""
        if len(self._in_order) != len(self._by_epoch):
            self._in_order = tuple(self._by_epoch[epoch] for epoch in sorted(self._by_epoch))
        return self._in_order

    def read_next(self) -> None:
        """Read the reports of all further epochs: more and more at once, until one has none."""
        # After a report of a last epoch too: it may be of a job that this one has resumed.
        at_once, found = 1, True
        while found:
            first = len(self._by_epoch) + 1
            some = self._load(range(first, first + at_once))
            self.add(takewhile(lambda each: each is not None, some))
            found, at_once = None not in some, min(2 * at_once, MOST_AT_ONCE)

    def read_ahead(self, epoch: int) -> None:
        """Read the report of an epoch that may have finished; `read_newest` takes it if so."""
        self._ahead = self._load_one(epoch)

    def read_newest(self, last: int, in_time: Callable[[], bool]) -> bool:
        """Read reports up to that of epoch ``last``, the newest first, while there is time.

        Returns
        -------
        bool
            Whether none is left; those that are absent are left out.
        """
        if self._ahead is not None and self._ahead.epoch <= last:
            self.add([self._ahead])
        self._ahead = None
        missing = (epoch for epoch in range(last, 0, -1) if epoch not in self._by_epoch)
        while some := list(islice(missing, 2 * READERS)):
            self.add(self._load(some))
            if not in_time():
                return next(missing, None) is None
        return True

    def add(self, reports: Iterable[EpochReport | None]) -> None:
        """Add reports, such as those of a job's final report."""
        new = {each.epoch: each for each in reports if each and each.epoch not in self._by_epoch}
        self._by_epoch.update(new)

    def get(self, epoch: int) -> EpochReport | None:
        """Return the report of an epoch, or None if it has not been read."""
        return self._by_epoch.get(epoch)

    def _load(self, epochs: Iterable[int]) -> list[EpochReport | None]:
        return read_each(self._load_one, epochs)

    def _load_one(self, epoch: int) -> EpochReport | None:
        report = self._run.epoch_report(epoch)
        return report if report is None or self._with_functions else report.without_functions()
