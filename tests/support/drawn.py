"""Parts of the console's pages without a browser: their elements, and what an update sends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from nicegui import Client, core, ui
from nicegui.element import Element

from stepml.console.widgets.tags import Tag

T = TypeVar("T")


class Drawn:
    """The elements of one page."""

    def __init__(self, client: Client, loop: asyncio.AbstractEventLoop) -> None:
        self.client, self._loop = client, loop

    def done(self, *work: Coroutine[Any, Any, object]) -> None:
        """Do it, all at once, and what it leaves to the event loop."""

        async def all_of_it() -> None:
            await asyncio.gather(*work)
            await asyncio.sleep(0)

        self._loop.run_until_complete(all_of_it())

    def call(self, act: Callable[[], T]) -> T:
        """Return the result of ``act`` in the event loop, as a page does when it is made."""
        results: list[T] = []

        async def do() -> None:
            with self.client:
                results.append(act())

        self.done(do())
        return results[0]

    @property
    def tags(self) -> list[Tag]:
        """All elements that are there, in the order in which they were made."""
        return [each for each in self.client.elements.values() if isinstance(each, Tag)]

    def texts(self, name: str) -> list[str]:
        """Return the texts of all elements such as ``td`` that can be seen."""
        return [each.text for each in self.tags if each.tag == name and each.text and is_seen(each)]

    def find(self, name: str, text: str) -> Tag:
        """Return the element with this text."""
        found = [each for each in self.tags if each.tag == name and each.text == text]
        assert len(found) == 1, f"{len(found)} of {name} {text!r}"
        return found[0]

    def changed(self) -> list[Element]:
        """Return the elements that are there and have changed since the last call."""
        updates = self.client.outbox.updates
        found = [self.client.elements[each] for each in updates if each in self.client.elements]
        updates.clear()
        return found

    def sent(self) -> int:
        """Return the number of elements that have changed since the last call, or have gone."""
        number = len(self.client.outbox.updates)
        self.client.outbox.updates.clear()
        return number


def is_seen(tag: Tag) -> bool:
    """Return whether neither an element nor one around it is hidden."""
    return all("hidden" not in each.classes for each in tag.ancestors(include_self=True))


@contextmanager
def drawn() -> Iterator[Drawn]:
    """Collect the elements that are made inside."""
    client = Client(ui.page("/drawn"), request=None)
    loop = core.loop = asyncio.new_event_loop()
    page = Drawn(client, loop)
    try:
        with client:
            yield page
    finally:
        page.done()
        client.delete()
        page.done()  # feeds that it has followed
        core.loop = None
        loop.close()
