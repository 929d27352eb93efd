"""Names with values, whose texts change in their places."""

from __future__ import annotations

from collections.abc import Sequence

from stepml.console.widgets.tags import Tag

Fact = tuple[str, str]


class Facts:
    """A table of facts, a row for each.

    Parameters
    ----------
    caption : str
        For people who do not see the page.
    """

    def __init__(self, caption: str) -> None:
        with Tag("table", classes="facts"):
            Tag("caption", caption, "unseen")
            self._body = Tag("tbody")
        self._names: list[str] = []
        self._values: list[Tag] = []

    def show(self, facts: Sequence[Fact]) -> None:
        """Show these facts; as long as their names are the same, only texts change."""
        if (names := [name for name, _ in facts]) != self._names:
            self._names = names
            self._body.clear()
            with self._body:
                self._values = [_row(name) for name in names]
        for value, (_, text) in zip(self._values, facts, strict=True):
            value.say(text)


class Tiles:
    """Large numbers beside each other, each with its name above and a note below."""

    def __init__(self) -> None:
        self._list = Tag("dl", classes="tiles")
        self._names: list[str] = []
        self._shown: list[tuple[Tag, Tag]] = []

    def show(self, tiles: Sequence[tuple[str, str, str]]) -> None:
        """Show these names, values and notes; as `Facts.show`."""
        if (names := [name for name, _, _ in tiles]) != self._names:
            self._names = names
            self._list.clear()
            with self._list:
                self._shown = [_tile(name) for name in names]
        for (value, note), (_, text, beside) in zip(self._shown, tiles, strict=True):
            value.say(text)
            note.say(beside)


class Lines:
    """Paragraphs, as many as there are texts."""

    def __init__(self, classes: str = "") -> None:
        self._box, self._classes = Tag("div"), classes
        self._lines: list[Tag] = []

    def show(self, texts: Sequence[str]) -> None:
        """Show these texts; a paragraph that stays keeps its place."""
        for line in self._lines[len(texts) :]:
            line.delete()
        del self._lines[len(texts) :]
        with self._box:
            self._lines += [Tag("p", classes=self._classes) for _ in texts[len(self._lines) :]]
        for line, text in zip(self._lines, texts, strict=True):
            line.say(text)


def _row(name: str) -> Tag:
    with Tag("tr"):
        Tag("th", name, scope="row")
        return Tag("td")


def _tile(name: str) -> tuple[Tag, Tag]:
    with Tag("div", classes="tile"):
        Tag("dt", name)
        with Tag("dd"):
            return Tag("span"), Tag("span", classes="small")
