"""The root command: every error becomes one line or JSON object, and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from stepml.cli.errors import BAD_INPUT, CLOSED_PIPE, INTERRUPTED, NO_SERVICE, exit_code
from stepml.cli.help_texts import tidy
from stepml.cli.machine import as_stepml_error
from stepml.cli.output import Output
from stepml.cli.streams import OutputLostError, discard
from stepml.job.errors import StepMLError

TRACEBACK_VARIABLE = "STEPML_TRACEBACK"
MIN_COLUMNS = 20
# Phrases of the library that parses arguments.
_PLAIN = {
    "Value error, ": "",
    "Input should be": "expected",
    ", unable to parse string as an integer": "",
    ", unable to parse string as a number": "",
}
# Commands that people know from other tools, and those that do the same here.
MEANT = {
    **dict.fromkeys(("list", "ls", "runs", "status"), "jobs"),
    **dict.fromkeys(("history", "metrics"), "epochs"),
    **dict.fromkeys(("start", "train", "fit", "submit"), "run"),
    **dict.fromkeys(("cancel", "abort", "kill"), "stop"),
    **dict.fromkeys(("resume", "redrive", "restart"), "retry"),
    **dict.fromkeys(("validate", "lint"), "check"),
    **dict.fromkeys(("upload", "put"), "data put"),
    **dict.fromkeys(("delete", "rm"), "jobs rm"),
    **dict.fromkeys(("undeploy", "teardown"), "destroy"),
    "sweep": "study",
    "up": "local up",
    "down": "local down",
}


class RootGroup(TyperGroup):
    """The root of all commands."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> Any:
        _widen()
        tidy(self)
        with _exit_codes("--json" in args):
            return super().make_context(info_name, args, *rest, **extra)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except typer.TyperException as error:
            if meant := MEANT.get(args[0]):
                error.message = f"No such command {args[0]!r}. Did you mean {meant!r}?"
            raise

    def invoke(self, ctx: Any) -> Any:
        with _exit_codes("--json" in ctx.args):
            return super().invoke(ctx)


def _widen() -> None:
    """Let text have some columns, whatever the environment says: in none, nothing is shown."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) < MIN_COLUMNS:
        os.environ["COLUMNS"] = str(MIN_COLUMNS)


@contextmanager
def _exit_codes(as_json: bool) -> Iterator[None]:
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except typer.TyperException as error:  # wrong use of the command line
        _make_plain(error)
        if not as_json:
            raise
        Output(as_json).error("UsageError", error.format_message())
        raise typer.Exit(BAD_INPUT) from None
    except Exception as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        found = _found(error)
        raise typer.Exit(report(found, as_json)) from None


def _found(error: Exception) -> StepMLError:
    if isinstance(error, BrokenPipeError):
        discard(sys.stdout)
        return OutputLostError(error)
    return as_stepml_error(error)


def report(error: StepMLError, as_json: bool) -> int:
    """Report an error, and return its exit code."""
    if isinstance(error, OutputLostError):
        if error.is_closed:
            return CLOSED_PIPE
        Output(as_json=False).error(type(error).__name__, str(error))  # stdout is lost
        return NO_SERVICE
    Output(as_json).refusal(error)
    return exit_code(error)


def _make_plain(error: typer.TyperException) -> None:
    message = getattr(error, "message", None)
    if isinstance(message, str):
        for phrase, plain in _PLAIN.items():
            message = message.replace(phrase, plain)
        error.message = message
