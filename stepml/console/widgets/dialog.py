"""A window over the page, which asks before something is done, and says how it went."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from stepml.console.widgets.notices import Notice
from stepml.console.widgets.tags import Tag, button
from stepml.job.errors import StepMLError


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
        Does it, if the person wants that; a `StepMLError` is shown here.
    is_risky : bool
        Whether something is lost by it.
    on_done : callable
        Called when it is done, and the dialog is closed.

    Attributes
    ----------
    body : Tag
        Where its text and its fields go.
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
        self._is_working = False
        self._dialog = Tag("dialog", classes="dialog")
        self._dialog.put(aria_labelledby=f"title-{self._dialog.id}")
        with self._dialog:
            Tag("h2", title, id=f"title-{self._dialog.id}")
            self.body = Tag("div")
            self._notice = Notice("alert")
            with Tag("div", classes="buttons"):
                self._action = button(action, self._do, "risky" if is_risky else "main")
                button("Cancel", self.close)

    def open(self) -> None:
        """Show it, over all else."""
        self._notice.clear()
        self.allow(True)
        self._dialog.run_method("showModal")

    def close(self) -> None:
        """Close it; the focus returns to where it was."""
        self._dialog.run_method("close")

    def allow(self, is_allowed: bool) -> None:
        """Let the person do it, or not."""
        self._action.put(disabled=not is_allowed or self._is_working)

    def wait(self, what: str) -> None:
        """Say that something is going on before it can be done."""
        self._notice.going(what)
        self.allow(False)

    def refuse(self, why: str) -> None:
        """Say why it cannot be done."""
        self._notice.failed(why)
        self.allow(False)

    def clear(self) -> None:
        """Say nothing more about it."""
        self._notice.clear()
        self.allow(True)

    async def _do(self) -> None:
        if self._is_working:  # a second click
            return
        self._is_working = True
        self._notice.going(self._going)
        self.allow(False)
        try:
            await self._act()
        except StepMLError as error:
            self._notice.failed(str(error))
        else:
            self._notice.clear()
            self.close()
            self._on_done()
        finally:
            self._is_working = False
            self.allow(True)
