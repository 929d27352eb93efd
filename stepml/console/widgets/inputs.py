"""Inputs with a label, whose text the browser has: no update disturbs what a person types."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui.events import GenericEventArguments

from stepml.console.widgets.field import VALUE, set_value
from stepml.console.widgets.tags import Tag


class Input:
    """An input of one line.

    Parameters
    ----------
    label : str
    on_change : callable
        Called with the new text when the person has finished it; it may be a coroutine.
    classes : str
        Of the element around label and control.
    attributes : str or int
        Of the control.
    """

    def __init__(
        self,
        label: str,
        on_change: Callable[[str], Awaitable[object] | None],
        classes: str = "field",
        **attributes: str | int,
    ) -> None:
        self.text, self._on_change = "", on_change
        with Tag("div", classes=classes):
            named = Tag("label", label)
            self.control = Tag("input", autocomplete="off").put(**attributes)
            named.put(for_=self.control.html_id)
        self.control.on("change", self._hear, js_handler=VALUE)

    def show(self, text: str) -> None:
        """Show another text, unless it is the present one, or a person is typing."""
        if text != self.text:
            self.text = text
            set_value(self.control, text, unless_focused=True)

    def correct(self, text: str) -> None:
        """Show another text than the person has typed."""
        self.text = text
        set_value(self.control, text)

    async def _hear(self, event: GenericEventArguments) -> None:
        self.text = str(event.args).strip()
        if (going := self._on_change(self.text)) is not None:
            await going
