"""``stepml compare``: runs side by side, as a table, CSV, a page or a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stepml.cli.errors import LOOKING_EXIT_CODES, BadInputError
from stepml.cli.model_files import whole_file
from stepml.cli.options import (
    RESULTS,
    AsJson,
    EndpointUrl,
    Local,
    Profile,
    Region,
    StackName,
    Target,
    known_runs,
)
from stepml.cli.output import Output
from stepml.job.installing import require_packages
from stepml.job.names import DEFAULT_STACK

if TYPE_CHECKING:
    from stepml.reports.comparison import Comparison
    from stepml.reports.run_record import RunRecord


MIN_RUNS = 2
_DEFAULTS = {"html": "compare.html", "plot": "compare.png"}
_FORMS = {".csv": "csv", ".html": "html", ".png": "plot", ".svg": "plot", ".pdf": "plot"}


class Effort(StrEnum):
    """The axes of curves."""

    EPOCH = "epoch"
    SECOND = "second"
    DOLLAR = "dollar"


def add_to(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command(
        epilog=f"{LOOKING_EXIT_CODES}\n\nExample: stepml compare runs/a runs/b latest --html"
    )(compare)


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="Names or ARNs of jobs, latest, or directories of results such as runs/NAME; "
            "speed-ups refer to the first.",
            autocompletion=known_runs,
        ),
    ],
    by: Annotated[
        Effort,
        typer.Option(
            "--by", metavar="EFFORT", help="Show the course of training by epoch, second or dollar."
        ),
    ] = Effort.EPOCH,
    csv: Annotated[
        bool, typer.Option("--csv", help="Write CSV: a row for each epoch of each run.")
    ] = False,
    html: Annotated[
        bool, typer.Option("--html", help="Write a page with tables and curves.")
    ] = False,
    plot: Annotated[
        bool, typer.Option("--plot", help="Write a picture of the curves (needs matplotlib).")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="The file. Default: stdout for CSV, compare.html, or compare.png; a plot may "
            "also be .svg or .pdf.",
        ),
    ] = None,
    local: Local = False,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    region: Region = None,
    stack: StackName = DEFAULT_STACK,
    as_json: AsJson = False,
) -> None:
    """Compare runs: what differs between their jobs, quality, time, cost, and curves.

    A run that is downloaded is read from there; others are looked up in the stack.
    """
    from stepml.cli.comparison_table import comparison_lines
    from stepml.reports.comparison import compare as compared
    from stepml.reports.comparison_rows import document

    form = _form({"csv": csv, "html": html, "plot": plot}, out, as_json)
    target = Target.chosen(local, endpoint_url, stack, profile, region)
    comparison = compared(_found(runs, target))
    output = Output(as_json)
    if form is not None:
        _write(comparison, form, out, output)
        return
    output.document(document(comparison))
    for line, style in comparison_lines(comparison, by.value, output.width):
        output.line(line, style)


def _form(chosen: Mapping[str, bool], out: Path | None, as_json: bool) -> str | None:
    """Return the form of the output; None: a table, or JSON."""
    given = [name for name, is_chosen in chosen.items() if is_chosen]
    if not given and out is not None:
        given = [_form_of(out)]
    if as_json and "csv" in given:
        given.append("json")
    if len(given) > 1:
        raise BadInputError(f"--{' and --'.join(given)} exclude each other; give one of them")
    form = given[0] if given else None
    if form == "plot" and out is not None and _FORMS.get(out.suffix.lower()) != form:
        endings = ", ".join(ending for ending, each in _FORMS.items() if each == form)
        raise BadInputError(f"--out: expected a file that ends with {endings}, got {str(out)!r}")
    return form


def _form_of(out: Path) -> str:
    if (form := _FORMS.get(out.suffix.lower())) is None:
        raise BadInputError(
            f"--out: expected a file that ends with {', '.join(_FORMS)}, or one of --csv, --html "
            f"and --plot, got {str(out)!r}"
        )
    return form


def _found(places: Sequence[str], target: Target) -> list[RunRecord]:
    from stepml.client.run_records import find_run

    client = cache(target.client)
    runs = [find_run(place, lambda name: client().named(name), RESULTS) for place in places]
    # Stacks may have different runs of the same name.
    found = {(run.job_id, run.started_at): run for run in runs}
    if len(found) < MIN_RUNS:
        raise BadInputError(f"expected two or more different runs, got {' '.join(places)!r}")
    return list(found.values())


def _write(comparison: Comparison, form: str, out: Path | None, output: Output) -> None:
    if form == "csv" and out is None:
        from stepml.reports.comparison_rows import csv_text

        output.line(csv_text(comparison).rstrip("\n"))
        return
    file = out or Path(_DEFAULTS[form])
    content = _content(comparison, form, file)
    with whole_file(file, "--out") as stream:
        stream.write(content)
    output.document({"file": str(file)})
    output.line(f"written: {file}")


def _content(comparison: Comparison, form: str, file: Path) -> bytes:
    if form == "csv":
        from stepml.reports.comparison_rows import csv_text

        return csv_text(comparison).encode()
    if form == "html":
        from stepml.reports.comparison_page import comparison_page

        return comparison_page(comparison).encode()
    require_packages(("matplotlib",), "the library for plots", "plot", BadInputError)
    from stepml.reports.plots import curves_picture

    return curves_picture(comparison, file.suffix.removeprefix("."))
