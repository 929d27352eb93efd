"""The facts of one stack for all pages, each read once however many tabs show it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from stepml.client.client import Client
from stepml.client.connection import connect_local
from stepml.client.job_list import JobList
from stepml.client.pacing import Pacing
from stepml.console.backends import Backend, pause_of, present_id
from stepml.console.defects import Worded, defect
from stepml.console.feeds import Feed

T = TypeVar("T")
MOST_IDLE = 64  # feeds that nobody follows, whose last reading a page that is opened again shows


class Board:
    """The feeds of a stack.

    Parameters
    ----------
    client : Client
    worded : callable
        Returns the error to show for one that reading raises.

    Attributes
    ----------
    client : Client
        Another one after `keep_up` has found another local AWS.
    jobs : JobList
        Which knows the jobs that have been listed.
    backend : Feed of Backend
        Says whether the services answer.
    """

    def __init__(self, client: Client, worded: Worded = defect) -> None:
        self.pacing = Pacing()
        self.worded = worded
        self.backend: Feed[Backend] = Feed(self._look, pause_of, worded)
        self._begin(client)

    def _begin(self, client: Client) -> None:
        self.client = client
        client.connection.pace(self.pacing)
        self.jobs = JobList(client)
        self._feeds: dict[Hashable, Feed[Any]] = {}
        self._shared: dict[Hashable, Any] = {}

    def _look(self) -> Backend:
        return Backend(present_id(self.client.connection))

    def keep_up(self, backend: Backend) -> None:
        """Forget everything if another local AWS answers: its jobs are others."""
        connection = self.client.connection
        if backend.id != connection.local_id and connection.endpoint_url is not None:
            region = connection.session.region_name
            again = connect_local(connection.endpoint_url, region, backend.id)
            self._begin(Client(again, self.client.stack_name))

    @property
    def place(self) -> str:
        """The endpoint or region, and the stack, for the head of each page."""
        return f"{self.client.stack_name} at {self.client.connection.place}"

    @property
    def poll_s(self) -> float:
        """Seconds between two readings of a fact that is changing."""
        return max(1.0, self.client.connection.poll_s)

    def feed(
        self,
        key: Hashable,
        read: Callable[[], T],
        pause_s: Callable[[T], float | None],
    ) -> Feed[T]:
        """Return the feed with this key: the present one, or a new one that ``read`` reads."""
        found = self._feeds.pop(key, None)
        if found is None:
            self._drop_idle()
            found = Feed(read, pause_s, self.worded)
        self._feeds[key] = found  # the newest last
        return found

    def shared(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the object with this key, which several feeds read from; ``make`` makes it."""
        found: T = self._shared.pop(key, None) or make()
        self._shared[key] = found  # the newest last
        for old in list(self._shared)[:-MOST_IDLE]:
            del self._shared[old]
        return found

    def refresh(self, key: Hashable) -> None:
        """Read a fact now if a page shows it; of facts whose keys begin with ``key``, all."""
        for known, feed in list(self._feeds.items()):
            if known == key or (isinstance(known, tuple) and known[0] == key):
                feed.refresh()

    def _drop_idle(self) -> None:
        idle = [key for key, feed in self._feeds.items() if not feed.is_followed]
        for key in idle[: max(0, len(idle) - MOST_IDLE)]:
            del self._feeds[key]
