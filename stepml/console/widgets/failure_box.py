"""The reason of a failure in plain words, with the way to the failed epoch."""

from __future__ import annotations

from stepml.client.stopping import ERROR as STOPPED
from stepml.console.addresses import epoch_address
from stepml.console.widgets.tags import Tag
from stepml.records.failures import Failure
from stepml.reports.run_head import log_of, place_of


class FailureBox:
    """The failure that ended a job or an attempt, empty while there is none.

    Parameters
    ----------
    job : str
        The job's name, for the link to the failed epoch.
    """

    def __init__(self, job: str) -> None:
        self._job = job
        with Tag("div", classes="box") as self._box:
            with Tag("p"):
                self._error = Tag("strong")
                self._message = Tag("span", classes="long")
            self._place = Tag("p", classes="soft")
            self._log = Tag("p", classes="small long")
            with Tag("p"):
                self._link = Tag("a")
        self._box.set_visibility(False)

    def show(self, failure: Failure | None) -> None:
        """Show a failure, or nothing."""
        self._box.set_visibility(failure is not None)
        if failure is None:
            return
        is_bad = failure.error != STOPPED
        self._box.classes(replace="box failed" if is_bad else "box")
        self._error.classes(replace="bad" if is_bad else "note")
        self._error.say(failure.error)
        self._message.say(f": {failure.message}")
        self._place.say(place_of(failure))
        self._log.say(log_of(failure))
        self._link.set_visibility(failure.epoch is not None)
        if failure.epoch is not None:
            self._link.say(f"Open epoch {failure.epoch}, which failed")
            self._link.put(href=epoch_address(self._job, failure.epoch))
