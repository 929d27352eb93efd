"""A part of a page that costs nothing until a person unfolds it."""

from __future__ import annotations

from collections.abc import Callable

from nicegui.events import GenericEventArguments

from stepml.console.widgets.tags import Tag


class Folded:
    """A summary, below which the rest is made when it is opened.

    Parameters
    ----------
    summary : str
        The words by which it opens.
    draw : callable
        Called inside of it when it is opened, and by `update` as long as it is open.
    on_close : callable, optional
    classes : str
    """

    def __init__(
        self,
        summary: str,
        draw: Callable[[], object],
        on_close: Callable[[], object] = lambda: None,
        classes: str = "",
    ) -> None:
        self._draw, self._on_close = draw, on_close
        self._is_open = False
        with Tag("details", classes=classes) as self.element:
            self.summary = Tag("summary", summary)
            self.body = Tag("div")
        self.element.on("toggle", self._toggle, js_handler="(event) => emit(event.target.open)")

    def update(self) -> None:
        """Draw it again if it is open."""
        if self._is_open:
            with self.body:
                self._draw()

    def _toggle(self, event: GenericEventArguments) -> None:
        self._is_open = bool(event.args)
        if self._is_open:
            self.update()
        else:
            self._on_close()
