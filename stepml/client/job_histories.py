"""The histories of a job's executions: the first one, and those that continue a long job."""

from __future__ import annotations

from stepml.client.connection import Connection
from stepml.client.histories import History, Seen
from stepml.records.history import CONTINUES


class JobHistories:
    """The histories of the executions of a job, in their order.

    Parameters
    ----------
    connection : Connection
    arn : str
        Of the job's first execution.
    """

    def __init__(self, connection: Connection, arn: str) -> None:
        self.connection = connection
        self.arn = arn
        self._histories: dict[str, History] = {}
        self._seen: tuple[Seen, ...] = ()

    def history(self, arn: str) -> History:
        """Return the history of one of the executions."""
        return self._histories.setdefault(arn, History(self.connection, arn))

    def newest(self) -> History:
        """Return the history of the execution that trains now, or has trained last."""
        return self.history(self.look()[-1].arn)

    def look(self, older_pages: int = 1) -> tuple[Seen, ...]:
        """Return the visits of each execution so far; see `History.look`.

        An execution that another one continues waits for it, and is looked at again after it.
        """
        seen, known = list[Seen](), self._waiting()
        arn: str | None = self.arn
        while arn is not None:
            last = known.get(arn) or self.history(arn).look(older_pages)
            seen.append(last)
            arn = _continuation(last)
        self._seen = tuple(seen)
        return self._seen

    def _waiting(self) -> dict[str, Seen]:
        """Return the executions that wait for one that has not ended."""
        if not self._seen or self._seen[-1].ended:
            return {}
        return {each.arn: each for each in self._seen[:-1] if each.is_whole}


def _continuation(seen: Seen) -> str | None:
    """Return the execution that continues another one, or None."""
    last = seen.visits[-1] if seen.visits else None
    if last is None or last.state != CONTINUES or not last.attempts:
        return None
    return last.attempts[-1].child
