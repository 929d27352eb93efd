"""Parts of a page that the browser draws apart from each other."""

from __future__ import annotations

from stepml.console.styles import OWN
from stepml.console.widgets.tags import Tag


class Part(Tag, component=OWN / "part.js"):
    """An element as `Tag`; a change in it draws nothing again but itself.

    A change of any other element draws the whole page again, which takes a browser 0.1 ms for each
    of its elements: those that change while a person looks at a long page belong to a part.
    """

    def __init__(self, name: str, classes: str = "", **attributes: str | int | bool | None) -> None:
        super().__init__("", "", classes, element=name, **attributes)
