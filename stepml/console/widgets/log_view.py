"""The log lines of one invocation, the newest of them at first."""

from __future__ import annotations

from stepml.client.invocations import InvocationLog
from stepml.client.log_lines import SEVERE, LogLine
from stepml.console.widgets.notices import Notice
from stepml.console.widgets.tags import Tag, button, download
from stepml.reports.figures import count

MOST = 100  # lines, until a person asks for more
MOST_CHARACTERS = 2_000  # of a line, until a person unfolds it
BEGINNING = 600  # of them; the end of a traceback says more than its beginning


class LogView:
    """The lines of a log, and where they lie."""

    def __init__(self) -> None:
        self._log = InvocationLog()
        self._is_all = False
        Tag("h4", "Log lines of the call")
        self._notice = Notice()
        with Tag("p", classes="text-rest") as self._rest:
            self._how_many = Tag("span", classes="soft")
            self._more = button("Show all lines", self._show_all)
            button("Download", self._download, aria_label="Download the log lines")
        label = "Log lines"
        self._box = Tag("div", classes="log-lines", tabindex=0, role="region", aria_label=label)
        self._lines: list[_Line] = []
        self._unfolded: set[str] = set()
        self._where = Tag("p", classes="small long")

    def show(self, log: InvocationLog) -> None:
        """Show a log; of one that has grown, only the new lines are added."""
        self._log = log
        self._draw()
        self._where.say(_where(log))

    def _draw(self) -> None:
        lines = list(self._log)
        shown = lines if self._is_all else lines[-MOST:]
        if lines:
            self._notice.clear()
        else:
            self._notice.empty("This invocation has logged nothing so far.")
        self._rest.set_visibility(bool(lines))
        self._box.set_visibility(bool(lines))
        self._more.set_visibility(len(shown) < len(lines))
        self._how_many.say(_how_many(len(shown), len(lines), self._log.is_cut))
        self._put(shown)

    def _put(self, lines: list[LogLine]) -> None:
        """Show these lines; elements stay in their places."""
        for tag in self._lines[len(lines) :]:
            tag.element.delete()
        del self._lines[len(lines) :]
        with self._box:
            self._lines += [_Line(self._unfolded) for _ in lines[len(self._lines) :]]
        for tag, line in zip(self._lines, lines, strict=True):
            tag.show(line)

    def _show_all(self) -> None:
        self._is_all = True
        self._draw()

    def _download(self) -> None:
        text = "".join(f"{line}\n" for line in self._log)
        download(text, f"{self._log.request_id or 'lines'}.log")


def _how_many(shown: int, known: int, is_cut: bool) -> str:
    if shown < known:
        return f"The last {shown} of {count(known, 'line')}{' or more' if is_cut else ''}."
    return f"The last {count(known, 'line')}." if is_cut else f"{count(known, 'line')}."


class _Line:
    """A line; of a long one the beginning and the end, until a person unfolds it in its place.

    ``unfolded`` has the texts that a person has unfolded: lines move when new ones come.
    """

    def __init__(self, unfolded: set[str]) -> None:
        self.element = Tag("div")
        self._unfolded = unfolded
        self._text = ""
        self._long: tuple[Tag, Tag, Tag] | None = None

    def show(self, line: LogLine) -> None:
        self.element.classes(replace="bad" if line.level in SEVERE else "")
        if self._text != (text := str(line)):
            self._text = text
            self._draw()

    def _draw(self) -> None:
        is_long = len(self._text) > MOST_CHARACTERS
        self.element.say("" if is_long else self._text)
        if not is_long:
            self.element.clear()
            self._long = None
            return
        if self._long is None:
            with self.element:
                self._long = Tag("span"), button("", self._fold, "unfold"), Tag("span")
        self._draw_long(*self._long)

    def _draw_long(self, beginning: Tag, fold: Tag, end: Tag) -> None:
        is_unfolded = self._text in self._unfolded
        left_out = len(self._text) - MOST_CHARACTERS
        beginning.say(self._text if is_unfolded else self._text[:BEGINNING])
        fold.say("Show less" if is_unfolded else f"… Show {left_out:,} characters more …")
        fold.put(aria_expanded="true" if is_unfolded else "false")
        end.say("" if is_unfolded else self._text[BEGINNING - MOST_CHARACTERS :])

    def _fold(self) -> None:
        self._unfolded ^= {self._text}
        self._draw()


def _where(log: InvocationLog) -> str:
    parts = [
        f"log stream {log.log_stream} of {log.log_group}" if log.log_stream else log.log_group,
        f"request {log.request_id}" if log.request_id else "",
    ]
    return ", ".join(filter(None, parts))
