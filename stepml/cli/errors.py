"""Turns errors into one line and an exit code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import typer
from typer.core import TyperGroup

from stepml.cli.output import Output
from stepml.client.errors import (
    AccessError,
    ExecutionNotFoundError,
    RetryRefusedError,
    RunNameTakenError,
)
from stepml.job.errors import InvalidJobError, StepMLError

JOB_FAILED = 1
BAD_INPUT = 2
NO_SERVICE = 3
INTERRUPTED = 130

EXIT_CODES = (
    "Exit codes: 0 the job succeeded, 1 it failed, 2 bad input, 3 the service cannot be reached "
    "or the stack is missing, 130 Ctrl-C."
)
LOOKING_EXIT_CODES = (
    "Exit codes: 0 done, 2 bad input, 3 the service cannot be reached or the stack is missing."
)


class BadInputError(StepMLError):
    """An argument of the command is invalid."""


class LocalAwsFailedError(AccessError):
    """The local AWS is not installed, did not start or did not deploy."""


_BAD_INPUT = (
    BadInputError,
    ExecutionNotFoundError,
    InvalidJobError,
    RetryRefusedError,
    RunNameTakenError,
)


@contextmanager
def local_aws_errors() -> Iterator[None]:
    """Translate errors of the local AWS into errors of the command line."""
    from stepml.local.daemon import LocalAwsError

    try:
        yield
    except LocalAwsError as error:
        raise LocalAwsFailedError(str(error)) from error


def require_packages(
    packages: Sequence[str], product: str, extra: str, error: type[StepMLError]
) -> None:
    """Raise ``error`` unless the packages of an extra, which ``product`` needs, are installed."""
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise error(
            f"{product} is not installed (no {', '.join(missing)}); "
            f"install it with: pip install 'stepml[{extra}]'"
        )


def exit_code(error: StepMLError) -> int:
    """Return the exit code for ``error``."""
    if isinstance(error, AccessError):
        return NO_SERVICE
    if isinstance(error, _BAD_INPUT):
        return BAD_INPUT
    return JOB_FAILED


class RootGroup(TyperGroup):
    """The root command; it turns expected errors into one line or JSON object and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        as_json = "--json" in ctx.args
        try:
            return super().invoke(ctx)
        except StepMLError as error:
            Output(as_json).error(type(error).__name__, str(error))
            raise typer.Exit(exit_code(error)) from None
        except typer.TyperException as error:  # wrong use of the command line
            if not as_json:
                raise
            Output(as_json).error("UsageError", error.format_message())
            raise typer.Exit(BAD_INPUT) from None
