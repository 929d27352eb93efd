"""Callbacks: a program hears of a run's epochs, failures and end while the run is watched."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from stepml.job.errors import StepMLError
from stepml.job.suggestions import nearest

if TYPE_CHECKING:
    from stepml.client.run import Run
    from stepml.client.watching import Snapshot
    from stepml.job.reports import EpochReport, JobReport
    from stepml.records.failures import Failure

_METHODS = ("on_start", "on_epoch", "on_failed_attempt", "on_failure", "on_end")


@runtime_checkable
class Callback(Protocol):
    """Hears of a run while `Client.run` or `Run.wait` watches it; subclasses define what they need.

    The thread that watches calls the methods, one after another. An error in one of them is shown
    once, as a `RuntimeWarning`; the job and the watch go on.
    """

    def on_start(self, run: Run) -> None:
        """Begin: the run is watched from now on. Epochs that have ended already follow."""
        return  # a type checker takes a method without a body for an abstract one

    def on_epoch(self, run: Run, report: EpochReport) -> None:
        """Note an epoch that has ended. Each epoch comes once, in order."""
        return

    def on_failed_attempt(self, run: Run, failure: Failure) -> None:
        """Note an attempt at an epoch that has failed; the epoch is repeated."""
        return

    def on_failure(self, run: Run, failure: Failure) -> None:
        """Note the failure that has ended the job; `on_end` follows."""
        return

    def on_end(self, run: Run, result: JobReport | None) -> None:
        """End: the job is over. ``result`` is its final report, None without a model."""
        return


def checked_callbacks(callbacks: Iterable[Callback]) -> tuple[Callback, ...]:
    """Return ``callbacks``, or refuse those that are none.

    Raises
    ------
    TypeError
        One of them lacks a method, or is a class; or they are no sequence.
    """
    if not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks: expected a sequence of callbacks, got {callbacks!r}")
    found = tuple(callbacks)
    for each in found:
        if isinstance(each, type):
            raise TypeError(f"callbacks: expected {each.__name__}(), an instance, got the class")
        _refuse_misspelt(each)
        if lacking := [name for name in _METHODS if not callable(getattr(each, name, None))]:
            raise TypeError(
                f"callbacks: expected subclasses of stepml.Callback, got {each!r} without "
                f"{', '.join(lacking)}"
            )
    return found


def _refuse_misspelt(callback: Callback) -> None:
    """Raise `TypeError` for a method that is almost one of a callback; others are its own."""
    for name in dir(callback):
        if name.startswith("on_") and name not in _METHODS and (meant := nearest(name, _METHODS)):
            raise TypeError(
                f"callbacks: {type(callback).__name__}.{name} is called by nobody; "
                f"did you mean {meant}?"
            )


class Notifier:
    """Calls the callbacks of a run for all that is new in each of its snapshots.

    Parameters
    ----------
    run : Run
    callbacks : iterable of Callback
        See `checked_callbacks` for errors.
    complain : callable, optional
        Shows a line on a callback that has failed. Default: a `RuntimeWarning`.
    """

    def __init__(
        self,
        run: Run,
        callbacks: Iterable[Callback],
        complain: Callable[[str], object] | None = None,
    ) -> None:
        self._run = run
        self._callbacks = checked_callbacks(callbacks)
        self._complain = complain or _warn
        self._failed: set[int] = set()  # ids of callbacks about which a line has been shown
        self._has_started = False
        self._n_epochs = 0
        self._n_failures = 0

    def __call__(self, snapshot: Snapshot) -> None:
        if not self._callbacks:
            return
        if not self._has_started:
            self._has_started = True
            self._call("on_start")
        for failure in snapshot.failed_attempts[self._n_failures :]:
            self._call("on_failed_attempt", failure)
        for report in snapshot.epochs[self._n_epochs :]:
            self._call("on_epoch", report)
        self._n_failures, self._n_epochs = len(snapshot.failed_attempts), len(snapshot.epochs)
        if snapshot.state.ended:
            self._end()

    def _end(self) -> None:
        failure = self._run.failure
        if failure is not None:
            self._call("on_failure", failure)
        self._call("on_end", self._run.result)

    def _call(self, method: str, *given: Any) -> None:
        for callback in self._callbacks:
            try:
                getattr(callback, method)(self._run, *given)
            except Exception as error:
                self._show(callback, method, error)

    def _show(self, callback: Callback, method: str, error: Exception) -> None:
        if id(callback) in self._failed:
            return
        self._failed.add(id(callback))
        self._complain(
            f"{type(callback).__name__}.{method} has failed, and {self._run.name} goes on: "
            f"{type(error).__name__}: {error}{_place(error)}; further errors of this callback are "
            "not shown"
        )


def _place(error: Exception) -> str:
    """Return the line that raised an error; errors of StepML say enough."""
    if isinstance(error, StepMLError):
        return ""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f" ({last.filename}, line {last.lineno})"


def _warn(text: str) -> None:
    warnings.warn(text, RuntimeWarning, stacklevel=2)
