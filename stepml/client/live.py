"""Shows runs in notebooks, live: as the value of a cell, and while `Run.wait` waits.

Outputs are HTML without scripts or widgets. All displays of a run have one id, made of its ARN, so
whoever follows the run updates all of them, those of earlier cells as well, and an exported
notebook has the last state. A run that is resumed has a new id: the failure before stays visible.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, Protocol

from stepml.client.run_progress import progress_of
from stepml.client.watching import Snapshot
from stepml.job.errors import StepMLError

if TYPE_CHECKING:
    from stepml.reports.run_progress import RunProgress
    from stepml.reports.run_record import RunRecord

LEAST_PAUSE_S = 0.5  # between two updates that differ in their time alone
_following: dict[str, Event] = {}  # by ARN: set to end the thread that follows the run
_shown: dict[str, int] = {}  # by ARN: the number of the last cell that has shown the run
_changing = Lock()


class Followable(Protocol):
    """The part of a run that a display needs."""

    @property
    def name(self) -> str: ...
    @property
    def arn(self) -> str: ...
    @property
    def record(self) -> RunRecord: ...
    def watch(self) -> Iterator[Snapshot]: ...


def in_notebook() -> bool:
    """Return whether this is the kernel of a notebook; IPython in a terminal is none."""
    return hasattr(_shell(), "kernel")


def show(run: Followable) -> None:
    """Show a run in this cell; a thread follows it until it has ended.

    If the cell has shown it already, because it has waited for it, nothing happens.
    """
    if _shown.get(run.arn) == _cell():
        return
    card = _Card(run)
    card.show(next(run.watch()))
    if not card.has_ended:
        _follow(run, card.id)


@contextmanager
def shown_live(run: Followable) -> Iterator[Callable[[Snapshot], None]]:
    """Yield a function that shows snapshots in the cell of a notebook; elsewhere it does nothing.

    A run that has not ended when the block is left, because of a time-out or an interrupt, is
    followed further.
    """
    if not in_notebook():
        yield unseen
        return
    _end_following(run.arn)
    card = _Card(run)
    try:
        yield card.show
    finally:
        if card.id and not card.has_ended:
            _follow(run, card.id)


class _Card:
    """A new display of a run in the present cell, or all displays with an id.

    Once ``stop`` is set, nothing more is shown: somebody else has the news.
    """

    def __init__(
        self,
        run: Followable,
        id: str = "",  # noqa: A002
        stop: Event | None = None,
    ) -> None:
        self._run = run
        self._stop = stop or Event()
        self._last: tuple[Any, ...] = ()
        self._at = 0.0
        self.id = id  # empty before the first snapshot
        self.has_ended = False

    def show(self, snapshot: Snapshot) -> None:
        """Show a snapshot, unless it has no news and the last one is recent.

        Of a job that has ended, all that is known is shown.
        """
        self.has_ended = snapshot.state.ended
        done = len(snapshot.epochs), len(snapshot.failed_attempts)
        news = (snapshot.state.status, snapshot.phase, *done, snapshot.waits_beside)
        if news == self._last and time.monotonic() - self._at < LEAST_PAUSE_S:
            return
        self._last, self._at = news, time.monotonic()
        progress = _final(self._run.record) if self.has_ended else progress_of(snapshot)
        self._publish(progress, snapshot.state.redrives)

    def lose(self, snapshot: Snapshot | None, error: StepMLError) -> None:
        """Show that a run is no longer followed."""
        from dataclasses import replace

        if snapshot is not None:
            note = f"no longer followed: {error}"
            self._publish(replace(progress_of(snapshot), notes=[note]))

    def _publish(self, progress: RunProgress, redrives: int = 0) -> None:
        from IPython.display import display

        is_new = not self.id
        if is_new:
            self.id = f"stepml {self._run.arn} {redrives}"
            _shown[self._run.arn] = _cell()
        forms = _forms(progress)
        with _changing:  # in which `_end_following` sets it: nothing older comes after newer news
            if not self._stop.is_set():
                display(forms, raw=True, display_id=self.id, update=not is_new)


def forms_of(record: RunRecord) -> dict[str, str]:
    """Return a run as HTML and as text that do not change, by media type."""
    return _forms(_final(record))


def _final(record: RunRecord) -> RunProgress:
    from stepml.reports.run_progress import RunProgress

    return RunProgress.of_record(record)


def _forms(progress: RunProgress) -> dict[str, str]:
    from stepml.reports.fragments import fragment
    from stepml.reports.run_card import run_card, run_text

    return {"text/html": fragment(run_card(progress)), "text/plain": run_text(progress)}


def _follow(run: Followable, id: str) -> None:  # noqa: A002
    """Start a thread that updates the displays of a run until it has ended, unless one does."""
    with _changing:
        if run.arn in _following:
            return
        stop = _following[run.arn] = Event()
    name = f"follows {run.name}"
    Thread(target=_update, args=(run, id, stop), name=name, daemon=True).start()


def _update(run: Followable, id: str, stop: Event) -> None:  # noqa: A002
    card = _Card(run, id, stop)
    snapshot: Snapshot | None = None
    try:
        for snapshot in run.watch():
            if stop.is_set():
                return
            card.show(snapshot)
    except StepMLError as error:  # the local AWS has ended, or nobody may ask it
        card.lose(snapshot, error)
    finally:
        with _changing:
            if _following.get(run.arn) is stop:
                del _following[run.arn]


def _end_following(arn: str) -> None:
    with _changing:
        if (stop := _following.pop(arn, None)) is not None:
            stop.set()


def _shell() -> Any:
    """Return the running IPython, or None; it is not imported for this."""
    module = sys.modules.get("IPython")
    return None if module is None else module.get_ipython()


def _cell() -> int:
    """Return the number of the present cell."""
    return int(_shell().execution_count)


def unseen(snapshot: Snapshot) -> None:
    """Show nothing."""
