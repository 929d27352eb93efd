"""The journal of executions while they run; by default, there is none."""

from __future__ import annotations

from typing import Any


class Journal:
    """Learns of every change of an execution. This one forgets all of them."""

    def changed(self, execution: Any) -> None:
        """Note the present status of ``execution``, and what it was started with."""

    def added(self, arn: str, event: dict[str, Any]) -> None:
        """Note an event of the history of an execution."""

    def entered(self, arn: str, state: str, state_input: Any, results: dict[int, Any]) -> None:
        """Note the present state, or attempt of its Map, with the results that it reuses."""

    def finished(self, arn: str, item: int, result: Any) -> None:
        """Note the result of an item of the present Map."""


_journals = [Journal()]


def journal() -> Journal:
    """Return the journal of this process."""
    return _journals[-1]


def use(new: Journal) -> None:
    """Write to ``new`` from now on."""
    _journals.append(new)
