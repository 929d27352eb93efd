"""The job that a command is given: a file or standard input, and ``--set``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from stepml.cli.errors import BadInputError
from stepml.job.errors import InvalidJobError
from stepml.job.json_text import MOST_JOB_BYTES, json_document
from stepml.job.suggestions import nearest

STDIN = Path("-")


def known_settings(incomplete: str) -> list[str]:
    """Return how settings of a job may begin, for shells: groups, and the fields of a group."""
    from stepml.job.schema import field_names

    group, dot, _ = incomplete.rpartition(".")
    path = tuple(group.split(".")) if dot else ()
    return [
        f"{group}{dot}{name}{'.' if field_names((*path, name), {}) else '='}"
        for name in field_names(path, {}) or ()
        if f"{group}{dot}{name}".startswith(incomplete)
    ]


JobFile = Annotated[
    Path,
    typer.Argument(metavar="JOB.json", help="The job, in JSON, YAML or TOML; - is stdin."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        autocompletion=known_settings,
        help="Set a field of the job, such as algorithm.learning_rate=0.1; may be repeated.",
    ),
]


def file_of(job: Path) -> str:
    """Return the name of a job's file for messages; a stream has none."""
    return "" if is_stream(job) else str(job)


def is_stream(job: Path) -> bool:
    """Return whether the job comes from a pipe, or from standard input as ``-``."""
    return job == STDIN or job.is_fifo() or job.is_char_device()


def job_given(job: Path, settings: Sequence[str] | None) -> str:
    """Return a job as JSON, with the fields of ``--set``."""
    from stepml.client.job_sources import job_json

    return with_settings(job_json(read_job(job), file_of(job)), settings, file_of(job))


def with_settings(text: str, settings: Sequence[str] | None, file: str) -> str:
    """Return a job, a JSON text, with the fields of ``settings``; without any, to the letter."""
    from stepml.client.job_changes import Change, changed

    if not settings:
        return text
    document = json_document(text, file)
    with of_option():
        return json.dumps(changed(document, [Change.parsed(each) for each in settings]))


def settings_again(settings: Sequence[str] | None) -> str:
    """Return the options that give ``settings`` again, for a command: `` --set workers=8``."""
    return "".join(f" --set {quote(each)}" for each in settings or ())


@contextmanager
def of_option() -> Iterator[None]:
    """Let errors about a field name the option ``--set``."""
    try:
        yield
    except InvalidJobError as error:
        raise BadInputError(f"--set: {error}") from None


def read_job(job: Path) -> bytes:
    """Return the content of a job's file, or of standard input."""
    try:
        with nullcontext(sys.stdin.buffer) if job == STDIN else job.open("rb") as file:
            content = file.read(MOST_JOB_BYTES + 1)
    except OSError as error:
        hint = _hint_at_file(job) if isinstance(error, FileNotFoundError) else ""
        raise BadInputError(
            f"job file {str(job)!r} cannot be read: {error.strerror}{hint}"
        ) from None
    if len(content) > MOST_JOB_BYTES:  # of any length: it may be data, or a device without end
        raise BadInputError(
            f"job file {str(job)!r}: expected a job, in at most {MOST_JOB_BYTES:,} bytes"
        )
    return content


def _hint_at_file(job: Path) -> str:
    """Return a hint at the job beside a file that does not exist, or "" if none is like it."""
    from stepml.client.job_sources import SUFFIXES

    try:
        beside = sorted(each for each in job.parent.iterdir() if each.suffix.lower() in SUFFIXES)
    except OSError:  # there is no such directory
        return ""
    meant = next((each.name for each in beside if each.stem.lower() == job.stem.lower()), None)
    meant = meant or nearest(job.name, (each.name for each in beside))
    return f" (did you mean {str(job.parent / meant)!r}?)" if meant else ""
