"""Places of trained models, and files that become visible when they are complete."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import (
    AbstractContextManager,
    contextmanager,
    nullcontext,
    redirect_stdout,
    suppress,
)
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from stepml.cli.errors import BadInputError, LocalMachineError
from stepml.cli.machine import is_full, reason_of
from stepml.cli.options import RESULTS, Target
from stepml.cli.output import Output
from stepml.job.errors import StepMLError
from stepml.job.names import LATEST
from stepml.records.errors import AccessError
from stepml.records.execution import SUCCEEDED

if TYPE_CHECKING:
    from stepml.trained_model import TrainedModel

_RUN_NAME = re.compile(r"[0-9A-Za-z_-]+")


ModelPlace = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="runs/NAME, s3://BUCKET/jobs/NAME, or a run's name; latest is that of the newest job "
        "that has one.",
    ),
]
Code = Annotated[
    Path | None,
    typer.Option("--code", metavar="PATH", help="The code of a network of your own."),
]


def loaded_model(where: str, code: Path | None, target: Target, output: Output) -> TrainedModel:
    """Return the model at a path or URI, or of a run; its warnings are shown."""
    from stepml.model_loading import load_model

    place = _place(where, target)
    if place.startswith("s3://"):
        target.connection()  # to no other program than the local AWS, if that is chosen
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = load_model(place, endpoint_url=target.endpoint_url, code=code)
    for each in caught:
        output.complaint(f"warning: {each.message}")
    return model


def prints_of(code: Path | None) -> AbstractContextManager[object]:
    """Return a context in which the user's code prints to stderr: stdout has results."""
    return nullcontext() if code is None else redirect_stdout(sys.stderr)


@contextmanager
def whole_file(out: Path, option: str) -> Iterator[BinaryIO]:
    """Yield the file ``out`` of an ``option``, which becomes visible when it is complete."""
    # A device or a pipe cannot be replaced.
    aside = out if out.exists() and not out.is_file() else out.with_name(f".{out.name}.part")
    try:
        with aside.open("wb") as file:
            yield file
        if aside != out:
            aside.replace(out)
    except StepMLError:  # some are OSErrors, too
        raise
    except OSError as error:
        kind = LocalMachineError if is_full(error) else BadInputError
        absent = isinstance(error, FileNotFoundError) and not out.parent.is_dir()
        reason = f"there is no directory {str(out.parent)!r}" if absent else reason_of(error)
        raise kind(f"{option} {str(out)!r} cannot be written: {reason}") from None
    finally:
        if aside != out:
            with suppress(OSError):
                aside.unlink(missing_ok=True)


def _place(model: str, target: Target) -> str:
    """Return the path or URI of the model: a run's name is looked up here, then in the stack."""
    if Path(model).exists() or not _RUN_NAME.fullmatch(model):
        return model
    if model == LATEST:
        model = target.client().latest(SUCCEEDED).name
    here = RESULTS / model
    if here.exists():
        return str(here)
    try:
        return f"s3://{target.client().stack.bucket}/jobs/{model}"
    except AccessError as error:
        error.args = (f"there is no model at {model} or {here}, and {error}",)
        raise
