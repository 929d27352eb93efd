"""A long text, such as the JSON of an input, in a box of its own."""

from __future__ import annotations

import json
from typing import Any

from stepml.console.widgets.tags import Tag, button, download

MOST = 4_000  # characters that are shown until a person asks for more
DEPTH = 6  # of JSON in strings of JSON


class TextBlock:
    """A text with its heading. A long one is cut; a person may see all of it, or download it.

    Parameters
    ----------
    label : str
        The heading.
    heading : str
        Its element.
    """

    def __init__(self, label: str, heading: str = "h4") -> None:
        self._label, self._text, self._name = label, "", label
        self._is_all = False
        with Tag("section", classes="text-block") as self._section:
            Tag(heading, label)
            self._pre = Tag("pre", tabindex=0, role="group", aria_label=label)
            with Tag("p", classes="text-rest") as self._rest:
                self._how_much = Tag("span", classes="soft")
                button("Show all", self.show_all, aria_label=f"Show all of: {label}")
                button("Download", self._download, aria_label=f"Download: {label}")
        self._section.set_visibility(False)

    def show(self, text: str, name: str = "") -> None:
        """Show a text; ``name`` is that of the file which a person may download."""
        self._name = name or self._label
        if text != self._text:
            self._text, self._is_all = text, False
            self._draw()
        self._section.set_visibility(bool(text))

    def _draw(self) -> None:
        is_cut = len(self._text) > MOST and not self._is_all
        self._pre.say(self._text[:MOST] if is_cut else self._text)
        self._rest.set_visibility(is_cut)
        self._how_much.say(f"The first {MOST:,} of {len(self._text):,} characters.")

    def show_all(self) -> None:
        """Show also the rest of a long text."""
        self._is_all = True
        self._draw()

    def _download(self) -> None:
        download(self._text, self._name)


def indented(text: str) -> str:
    """Return JSON with a line for each value; another text as it is."""
    return _indented(_value(text), text)


def unfolded(text: str) -> str:
    """Return JSON as `indented`; strings in it that are JSON objects are shown as such.

    The cause of a failed execution has the cause of its child in a string.
    """
    return _indented(_opened(_value(text), DEPTH), text)


def _indented(value: Any, text: str) -> str:
    if not isinstance(value, dict | list):
        return text
    return json.dumps(value, indent=2, ensure_ascii=False)


def _opened(value: Any, depth: int) -> Any:
    if isinstance(value, dict):
        return {name: _opened(each, depth) for name, each in value.items()}
    if isinstance(value, list):
        return [_opened(each, depth) for each in value]
    if depth and isinstance(value, str) and isinstance(inner := _value(value), dict | list):
        return _opened(inner, depth - 1)
    return value


def _value(text: str) -> Any:
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
