"""Parts of the console's pages without a browser: their elements, and what an update sends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nicegui import Client, ui

from stepml.console.widgets.tags import Tag


class Drawn:
    """The elements of one page."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def tags(self) -> list[Tag]:
        """All elements that are there, in the order in which they were made."""
        return [each for each in self._client.elements.values() if isinstance(each, Tag)]

    def texts(self, name: str) -> list[str]:
        """Return the texts of all elements such as ``td`` that can be seen."""
        return [each.text for each in self.tags if each.tag == name and each.text and is_seen(each)]

    def find(self, name: str, text: str) -> Tag:
        """Return the element with this text."""
        found = [each for each in self.tags if each.tag == name and each.text == text]
        assert len(found) == 1, f"{len(found)} of {name} {text!r}"
        return found[0]

    def sent(self) -> int:
        """Return the number of elements that have changed since the last call."""
        updates = self._client.outbox.updates
        number = len(updates)
        updates.clear()
        return number


def is_seen(tag: Tag) -> bool:
    """Return whether neither an element nor one around it is hidden."""
    return all("hidden" not in each.classes for each in tag.ancestors(include_self=True))


@contextmanager
def drawn() -> Iterator[Drawn]:
    """Collect the elements that are made inside."""
    client = Client(ui.page("/drawn"), request=None)
    with client:
        yield Drawn(client)
    client.delete()
