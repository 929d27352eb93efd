"""What a view shows while there is nothing to show: loading, empty, failed."""

from __future__ import annotations

from stepml.console.widgets.tags import Tag


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

    def loading(self, what: str) -> None:
        """Say that ``what`` is being read."""
        self.going(f"Reading {what}")

    def going(self, text: str) -> None:
        """Say that something is going on."""
        self._show(f"{text} …", "notice is-loading")

    def empty(self, text: str) -> None:
        """Say that there is nothing, and what to do about it."""
        self._show(text, "notice is-empty")

    def failed(self, text: str) -> None:
        """Say that something could not be read."""
        self._show(text, "notice is-failed")

    def clear(self) -> None:
        """Say nothing."""
        self._line.set_visibility(False)
        self._line.say("")

    def _show(self, text: str, classes: str) -> None:
        self._line.classes(replace=classes)
        self._line.say(text)
        self._line.set_visibility(True)
