"""Fields with which a person filters what a view shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from nicegui.events import GenericEventArguments

from stepml.console.widgets.tags import Tag

PAUSE_S = 0.3  # between two searches while a person types
_VALUE = "(event) => emit(event.target.value)"


@contextmanager
def labelled(label: str) -> Iterator[None]:
    """Put a label before the field that is made inside."""
    with Tag("div", classes="filter") as box:
        name = Tag("label", label)
        yield
    name.put(for_=box.default_slot.children[-1].html_id)


class Select:
    """A list of values, one of which is chosen.

    Parameters
    ----------
    label : str
    options : mapping of str to str
        The values, each with its text.
    value : str
        The chosen one; the first one instead of an unknown one.
    on_change : callable
        Called with the value that a person has chosen.
    """

    def __init__(
        self,
        label: str,
        options: Mapping[str, str],
        value: str,
        on_change: Callable[[str], object],
    ) -> None:
        with labelled(label):
            self._select = Tag("select")
        self._options: dict[str, str] = {}
        self.value, self._on_change = value, on_change
        self.offer(options)
        self._select.on("change", self._choose, js_handler=_VALUE)

    def offer(self, options: Mapping[str, str]) -> None:
        """Offer these values; the chosen one stays."""
        if dict(options) == self._options:
            return
        self._options = dict(options)
        self._select.clear()
        with self._select:
            for value, text in options.items():
                Tag("option", text, value=value, selected=value == self.value)

    def _choose(self, event: GenericEventArguments) -> None:
        self.value = str(event.args)
        for option in self._select.default_slot.children:
            if isinstance(option, Tag):
                option.put(selected=option.props["value"] == self.value)
        self._on_change(self.value)


class Search:
    """A field for a text to look for.

    Parameters
    ----------
    label : str
    value : str
        The text at first.
    on_change : callable
        Called with the text while a person types it.
    """

    def __init__(self, label: str, value: str, on_change: Callable[[str], object]) -> None:
        with labelled(label):
            # Its `value` would be set at each change of the page, while the person types on.
            typed = Tag("input", type="search", defaultValue=value, autocomplete="off")
        self._on_change = on_change
        typed.on("input", self._type, throttle=PAUSE_S, leading_events=False, js_handler=_VALUE)

    def _type(self, event: GenericEventArguments) -> None:
        self._on_change(str(event.args))
