"""The mistakes of a form: a list of links to their fields."""

from __future__ import annotations

from collections.abc import Sequence

from stepml.console.widgets.tags import Tag
from stepml.reports.figures import count

# A link to `#id` focuses its element, and opens the parts in which it is hidden.
FOCUS = """(event) => {
  event.preventDefault();
  const found = document.getElementById(event.currentTarget.hash.slice(1));
  for (let part = found; part; part = part.parentElement) {
    if (part.tagName === 'DETAILS') part.open = true;
  }
  if (found) { found.scrollIntoView({block: 'center'}); found.focus({preventScroll: true}); }
}"""


class MistakeList:
    """A list of mistakes, which is absent while there are none."""

    def __init__(self) -> None:
        self._shown: list[tuple[str, str]] = []
        with Tag("section", classes="box failed", tabindex=-1, role="alert") as self._box:
            self._title = Tag("h2")
            self._list = Tag("ul")
        self._box.set_visibility(False)

    def show(self, mistakes: Sequence[tuple[str, Tag]]) -> None:
        """Show mistakes, each with the element where it can be mended."""
        shown = [(text, target.html_id) for text, target in mistakes]
        if shown == self._shown:
            return
        self._shown = shown
        self._title.say(count(len(shown), "mistake"))
        self._list.clear()
        with self._list:
            for text, target in shown:
                with Tag("li"):
                    Tag("a", text, href=f"#{target}").on("click", js_handler=FOCUS)
        self._box.set_visibility(bool(shown))

    def focus(self) -> None:
        """Give the list the focus, so that it is read."""
        self._box.client.run_javascript(f"setTimeout(() => getHtmlElement({self._box.id}).focus())")
