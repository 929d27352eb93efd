"""Plain elements of HTML, whose text is text: nothing in it is taken for markup."""

from __future__ import annotations

from typing import Any

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement


class Tag(TextElement):
    """An element such as ``td``, with text or with other elements inside.

    Parameters
    ----------
    name : str
        Of the element: ``h2``, ``a``, ``td``.
    text : str
        Its text.
    classes : str
        Its classes in console.css.
    attributes : str, int, bool or None
        Its attributes; an underscore stands for a hyphen, and a last one is left out. None and
        False: without it.
    """

    def __init__(
        self, name: str, text: str = "", classes: str = "", **attributes: str | int | bool | None
    ) -> None:
        super().__init__(tag=name, text=text)
        if classes:
            self.classes(classes)
        self.put(**attributes)

    def put(self, **attributes: str | int | bool | None) -> Tag:
        """Change attributes, as in the constructor, and return the element."""
        for name, value in attributes.items():
            key = name.rstrip("_").replace("_", "-")
            if value is None or value is False:
                self.props.pop(key, None)
            elif self.props.get(key) != value:
                self.props[key] = value
        return self

    def say(self, text: str) -> None:
        """Replace the text, if it is another one."""
        if self.text != text:
            self.set_text(text)


def link(text: str, address: str, classes: str = "", **attributes: Any) -> Tag:
    """Return a link to another view."""
    return Tag("a", text, classes, href=address, **attributes)


def button(text: str, on_click: Any, classes: str = "", **attributes: Any) -> Tag:
    """Return a button; ``on_click`` is called without arguments, and may be a coroutine."""
    made = Tag("button", text, classes, type="button", **attributes)
    made.on("click", on_click, [])
    return made


# A click with such a key opens the link in another tab or window, as everywhere.
_CHOOSE = """(event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  emit();
}"""


def choice_link(
    text: str, address: str, on_choose: Any, classes: str = "", **attributes: Any
) -> Tag:
    """Return a link to the present view with another choice; it calls ``on_choose`` in place."""
    made = link(text, address, classes, **attributes)
    made.on("click", on_choose, [], js_handler=_CHOOSE)
    return made


def replace_address(address: str) -> None:
    """Show the address of the present view in the browser, without loading it again."""
    ui.navigate.history.replace(address)
