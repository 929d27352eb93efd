"""Writes the output of commands: text of 80 columns for people, JSON for programs."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from stepml.cli.folding import COLUMNS, folded, for_stream
from stepml.cli.streams import GuardedStdout, OutputLostError, can_encode_all
from stepml.job.error_lines import message_lines, note_lines

if TYPE_CHECKING:
    from rich.console import Console


class Output:
    """Writes to stdout and stderr.

    Parameters
    ----------
    as_json : bool
        Whether to write only JSON to stdout and nothing to stderr.
    survives : bool
        Whether the command goes on if stdout can no longer be written; see `lost`.
    """

    def __init__(self, as_json: bool, survives: bool = False) -> None:
        self.as_json = as_json
        self.stdout = GuardedStdout(survives)

    @property
    def lost(self) -> OutputLostError | None:
        """The reason why stdout cannot be written; None while it can."""
        return self.stdout.lost

    @cached_property
    def console(self) -> Console:
        """The console for people, with colours on a terminal unless NO_COLOR is set."""
        from rich.console import Console

        file: Any = self.stdout
        return Console(file=file, highlight=False, emoji=False, markup=False, quiet=self.as_json)

    @property
    def width(self) -> int:
        """The columns of the terminal; 80 without one, unless COLUMNS says otherwise."""
        return self.console.width

    @property
    def is_live(self) -> bool:
        """Whether written text can be overwritten."""
        return not self.as_json and self.console.is_terminal and not self.console.is_dumb_terminal

    def working(self, text: str) -> AbstractContextManager[object]:
        """Return a context that shows ``text`` while it lasts, on a terminal."""
        return self.console.status(text) if self.is_live else contextlib.nullcontext()

    def document(self, content: Any) -> None:
        """Write the result, if JSON was requested."""
        if self.as_json:
            escapes = not can_encode_all(sys.stdout)
            self._print(json.dumps(content, indent=2, default=str, ensure_ascii=escapes))

    def json_line(self, content: Any) -> None:
        """Write one of many results on a line, if JSON was requested."""
        if self.as_json:
            self._print(json.dumps(content, default=str))

    def line(self, text: str = "", style: str | None = None) -> None:
        """Write a line for people, without wrapping it, so that it can be copied."""
        if not self.as_json:
            self.console.print(text, style=style, soft_wrap=True)

    def pairs(self, pairs: Mapping[str, object]) -> None:
        """Write names and values in two columns, for people; sentences are folded."""
        width = max(map(len, pairs), default=0)
        for name, value in pairs.items():
            # Names of files, which may have spaces, stay whole.
            first, *more = (
                folded(value, COLUMNS - width - 4) if isinstance(value, str) else [str(value)]
            )
            self.line(f"  {name:<{width}}  {first}")
            for line in more:
                self.line(f"  {'':<{width}}  {line}")

    def table(
        self, columns: Sequence[str], rows: Iterable[Sequence[str]], numbers: set[str]
    ) -> None:
        """Write a table for people, with the columns in ``numbers`` aligned right."""
        if self.as_json:
            return
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in columns:
            table.add_column(column, justify="right" if column in numbers else "left")
        for row in rows:
            table.add_row(*row)
        self.console.print(table)

    def error(self, name: str, message: str, hints: Sequence[str] = (), **more: Any) -> None:
        """Write an error: message and hints on stderr, or one line of JSON on stdout."""
        if self.as_json:
            self.json_line({"error": name, "message": message, **more})
            return
        self.complaint(f"{name}: {message}")
        for hint in hints:
            self.complaint(f"  {hint}")

    def refusal(self, error: Exception) -> None:
        """Write an error with each of its mistakes on a line, and with its notes."""
        name, notes = type(error).__name__, note_lines(error)
        if self.as_json:
            more = {"mistakes": getattr(error, "mistakes", ()), "notes": notes}
            self.error(name, str(error), **{key: each for key, each in more.items() if each})
            return
        first, *others = message_lines(error)
        for line in (f"{name}: {first}", *others):
            self.complaint(line)
        self.unfolded(notes)

    def unfolded(self, notes: Sequence[str]) -> None:
        """Write lines on stderr, such as an excerpt with a caret below it, as they are."""
        for line in notes:
            self._complaint(f"  {line}")

    def complaint(self, text: str) -> None:
        """Write a line for people on stderr, folded to the width of a terminal."""
        self._complaint(for_stream(text, sys.stderr))

    def _complaint(self, text: str) -> None:
        if not self.as_json:
            with contextlib.suppress(OSError):  # no other place is left
                print(text, file=sys.stderr, flush=True)

    def _print(self, text: str) -> None:
        self.stdout.write(f"{text}\n")
        self.stdout.flush()
