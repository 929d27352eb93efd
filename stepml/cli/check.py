"""``stepml check``: every mistake of a job, before it starts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from stepml.cli.errors import BAD_INPUT, DOUBTFUL, BadInputError
from stepml.cli.figures import count
from stepml.cli.folding import folded
from stepml.cli.job_input import JobFile, Settings, file_of, job_given, read_job, settings_again
from stepml.cli.options import (
    AsJson,
    EndpointUrl,
    Local,
    Profile,
    Region,
    StackName,
    Target,
)
from stepml.cli.output import Output
from stepml.cli.own_code import CODE_HELP
from stepml.cli.run import Strict
from stepml.cli.streams import can_encode_all
from stepml.job.error_lines import numbered
from stepml.job.json_text import json_document
from stepml.job.names import DEFAULT_STACK

if TYPE_CHECKING:
    from stepml.client.job_findings import JobFindings

EXIT_CODES = (
    "Exit codes: 0 no mistake, 2 mistakes or bad input, 3 the service cannot be reached or the "
    "stack is missing, 4 a strict job has warnings."
)


def add_to(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(epilog=f"{EXIT_CODES}\n\nExample: stepml check job.json --local")(check)


def check(
    job: JobFile,
    settings: Settings = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="PATH",
            help="Check the job on this file or folder instead of data.uri, without a stack.",
        ),
    ] = None,
    code: Annotated[
        Path | None,
        typer.Option(
            "--code",
            metavar="PATH",
            help=CODE_HELP,
        ),
    ] = None,
    prints: Annotated[
        bool, typer.Option("--print", help="Print the job as JSON, with --set, and check no more.")
    ] = False,
    strict: Strict = False,
    local: Local = False,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    region: Region = None,
    stack: StackName = DEFAULT_STACK,
    as_json: AsJson = False,
) -> None:
    """Check a job: all mistakes, and what it would take its data for.

    At most 16 MB of the data are read, but compressed objects whole. Nothing is written or started.
    """
    from stepml.cli.job_findings import findings_of

    if data is not None and not data.exists():
        raise BadInputError(f"--data: {str(data)!r} cannot be read: No such file or directory")
    if prints:
        _print(job_given(job, settings), file_of(job))
        return
    file = file_of(job)
    target, output = Target.chosen(local, endpoint_url, stack, profile, region), Output(as_json)
    with output.working("checking"):
        found = findings_of(read_job(job), file, target, data, code, settings)
    output.document(_document(file, found))
    _show(found, file, settings_again(settings), target, output)
    if found.mistakes:
        raise typer.Exit(BAD_INPUT)
    if (strict or found.is_strict) and found.warnings:
        raise typer.Exit(DOUBTFUL)


def _print(text: str, file: str) -> None:
    from stepml.job.parse import parse_job

    parse_job(text, file)
    escapes = not can_encode_all(sys.stdout)
    print(json.dumps(json_document(text, file), indent=2, ensure_ascii=escapes))


def _document(file: str, found: JobFindings) -> dict[str, Any]:
    facts = found.facts
    return {
        "job": file or None,
        "mistakes": found.mistakes,
        "notes": found.notes,
        "unchecked": found.unchecked,
        "warnings": [{"code": each.code, "text": each.text} for each in found.warnings],
        "data": None if facts is None else msgspec.to_builtins(facts),
        "share_of_data": found.share,
    }


def _show(found: JobFindings, file: str, again: str, target: Target, output: Output) -> None:
    from stepml.cli.data_lines import data_lines

    name = file or "the job"
    lines = [] if found.facts is None else data_lines(found.facts)
    lines += [line for each in found.unchecked for line in folded(f"not checked: {each}")]
    if 0 < found.share < 1:
        lines += folded(f"of the data, the first {found.share:.2%} were read")
    for line in lines:
        output.line(line)
    if not found.mistakes:
        start = f"; start it with: stepml run {quote(file)}{again}{target.flags}" if file else ""
        output.line(f"{name}: no mistake found{start}")
        return
    output.complaint(f"{name}: {count(len(found.mistakes), 'mistake')}")
    for line in numbered(found.mistakes):
        output.complaint(line)
    output.unfolded(found.notes)
