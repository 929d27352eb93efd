"""The line of a view that has nothing else to show: loading, empty, failed."""

from __future__ import annotations

from stepml.console.addresses import JOBS
from stepml.console.widgets.tags import Tag, link


class Notice:
    """A line that is empty, or says that something is being read, is missing, or cannot be read.

    Parameters
    ----------
    role : str
        ``status``; ``alert`` for what a person has to know at once.
    """

    def __init__(self, role: str = "status") -> None:
        self._line = Tag("p", classes="notice", role=role)
        self._line.set_visibility(False)
        self._way: Tag | None = None

    def loading(self, what: str) -> None:
        """Say that ``what`` is being read."""
        self.going(f"Reading {what}")

    def going(self, text: str) -> None:
        """Say that something is going on."""
        self._show(f"{text} …", "notice is-loading")

    def empty(self, text: str) -> None:
        """Say that there is nothing, and what to do about it."""
        self._show(text, "notice is-empty")

    def failed(self, text: str, *, leads_to_jobs: bool = False) -> None:
        """Say that something could not be read; with a link to the jobs if that helps."""
        self._show(text, "notice is-failed")
        if leads_to_jobs:
            with self._line:
                self._way = link("Show the jobs", JOBS, "beside")

    def clear(self) -> None:
        """Say nothing."""
        self._line.set_visibility(False)
        self._line.say("")

    def _show(self, text: str, classes: str) -> None:
        if self._way is not None:
            self._way.delete()
            self._way = None
        self._line.classes(replace=classes)
        self._line.say(text)
        self._line.set_visibility(True)
