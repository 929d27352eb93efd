"""A window over the page, which asks before something is done, and says how it went."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from stepml.console.defects import defect
from stepml.console.widgets.notices import Notice
from stepml.console.widgets.tags import Tag, button


class Dialog:
    """A dialog with a title, a body, and an action that is done once.

    Parameters
    ----------
    title : str
    action : str
        The words of its button.
    going : str
        The words for the time until it is done: ``Stopping the job``.
    act : callable
        Does it, if the person wants that; an error is shown here.
    is_risky : bool
        Whether something is lost by it.
    on_done : callable
        Called when it is done, and the dialog is closed.

    Attributes
    ----------
    body : Tag
        Where its text and its fields go.
    beside : Tag
        Below what is said of a refusal: what can be done instead.
    """

    def __init__(
        self,
        title: str,
        action: str,
        going: str,
        act: Callable[[], Awaitable[object]],
        is_risky: bool = False,
        on_done: Callable[[], object] = lambda: None,
    ) -> None:
        self._act, self._going, self._on_done = act, going, on_done
        self._is_allowed = True
        self._dialog = Tag("dialog", classes="dialog")
        self._dialog.put(aria_labelledby=f"title-{self._dialog.id}")
        with self._dialog:
            Tag("h2", title, id=f"title-{self._dialog.id}")
            self.body = Tag("div")
            self._notice = Notice("alert")
            self.beside = Tag("div")
            with Tag("div", classes="buttons"):
                self._action = button(action, self._do, "risky" if is_risky else "main")
                button("Cancel", self.close)

    def open(self) -> None:
        """Show it, over all else."""
        self._notice.clear()
        self._allow(True)
        self._dialog.run_method("showModal")

    def close(self) -> None:
        """Close it; the focus returns to where it was."""
        self._dialog.run_method("close")

    def wait(self, what: str) -> None:
        """Say that something is going on before it can be done."""
        self._notice.going(what)
        self._allow(False)

    def decide(self, refusal: str) -> None:
        """Let the person do it, or say why it cannot be done."""
        if refusal:
            self._notice.failed(refusal)
        else:
            self._notice.clear()
        self._allow(not refusal)

    def _allow(self, is_allowed: bool) -> None:
        self._is_allowed = is_allowed
        self._action.put(disabled=not is_allowed)

    async def _do(self) -> None:
        if not self._is_allowed:  # a second click, or one before the browser knew of `wait`
            return
        self.wait(self._going)
        try:
            await self._act()
        except Exception as error:
            self._notice.failed(str(defect(error)))
        else:
            self._notice.clear()
            self.close()
            self._on_done()
        finally:
            self._allow(True)
