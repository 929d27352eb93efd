"""Plain elements of HTML, whose text is text: nothing in it is taken for markup."""

from __future__ import annotations

import re
from typing import Any

from nicegui import ui
from nicegui.element import Element

# Without a picture, or with power over the order of others; lone surrogates cannot be sent at all.
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    r"""Return a text in which control characters are escapes such as ``\x1b``."""
    return text if text.isprintable() else _UNSEEN.sub(lambda each: repr(each[0])[1:-1], text)


def _visible_value(value: str | int | bool) -> str | int | bool:
    return visible(value) if isinstance(value, str) else value


def _attribute(name: str) -> str:
    return name.rstrip("_").replace("_", "-")


class Tag(Element):
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
        super().__init__(name)
        self._text = visible(text)
        # The new element is sent in any case: nobody needs to hear of these changes.
        list.extend(self._classes, classes.split())
        for name, value in attributes.items():
            if value is not None and value is not False:
                dict.__setitem__(self._props, _attribute(name), _visible_value(value))

    def put(self, **attributes: str | int | bool | None) -> Tag:
        """Change attributes, as in the constructor, and return the element."""
        for name, value in attributes.items():
            key = _attribute(name)
            if value is None or value is False:
                if key in self.props:
                    del self.props[key]
            elif self.props.get(key) != (seen := _visible_value(value)):
                self.props[key] = seen
        return self

    def dress(self, classes: str) -> None:
        """Give the element other classes; it stays hidden if it is."""
        self.classes(replace=classes if self.visible else f"{classes} hidden")

    def say(self, text: str) -> None:
        """Replace the text, if it is another one."""
        if self._text != (seen := visible(text)):
            self._text = seen
            self.update()

    @property
    def text(self) -> str:
        """The text, as it is shown."""
        return self._text or ""


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
    return choose_in_place(link(text, address, classes, **attributes), on_choose)


def choose_in_place(link_tag: Tag, on_choose: Any) -> Tag:
    """Let a link call ``on_choose`` instead of loading its view, and return it."""
    link_tag.on("click", on_choose, [], js_handler=_CHOOSE)
    return link_tag


def push_address(address: str) -> None:
    """Show the address of another choice in the present view: Back leads to the choice before.

    console.js loads the view again for Back and Forward.
    """
    ui.navigate.history.push(address)


def replace_address(address: str) -> None:
    """Show the address of the present view in the browser, without loading it again."""
    ui.navigate.history.replace(address)


def download(text: str, name: str, kind: str = "text/plain") -> None:
    """Let the browser save a text as a file; what cannot be sent becomes escapes."""
    ui.download.content(text.encode(errors="backslashreplace"), name, kind)


# Browsers have a clipboard for pages of this machine, and for those with TLS.
_COPY = """(event) => {
  const pressed = event.currentTarget;
  navigator.clipboard?.writeText(pressed.dataset.copy).then(() => emit());
}"""


def copy_button(label: str, text: str) -> Tag:
    """Return a button that copies a text, and says so."""
    made = Tag("button", label, type="button", data_copy=text)
    made.on("click", lambda: made.say(f"{label}: done"), [], js_handler=_COPY)
    return made
