"""``stepml data show``: what data would be taken for."""

from __future__ import annotations

from typing import Annotated

import typer

from stepml.cli.errors import LOOKING_EXIT_CODES, BadInputError
from stepml.cli.options import (
    AsJson,
    EndpointUrl,
    Local,
    NoLabel,
    Profile,
    Region,
    StackName,
    Target,
    name_or_index,
)
from stepml.cli.output import Output
from stepml.job.formats import FORMATS, Format
from stepml.job.names import DEFAULT_STACK
from stepml.job.spec_base import listed

# The job's fields in messages, and the options of this command.
_OPTIONS = {
    "set data.header to true or false": "give --header or --no-header",
    "data.header false makes": "--no-header makes",
    "data.format": "--format",
    "data.label": "--label",
    "data.has_label false": "--no-label",
}


def add_to(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(epilog=f"{LOOKING_EXIT_CODES}\n\nExample: stepml data show rows.csv")(show)


def show(
    place: Annotated[
        str,
        typer.Argument(metavar="PLACE", help="A file, a folder, s3://…, or a key of the bucket."),
    ],
    label: Annotated[
        str | None,
        typer.Option(metavar="NAME_OR_INDEX", help="The label's column. Default: the last."),
    ] = None,
    no_label: NoLabel = False,
    format: Annotated[  # noqa: A002 - the job's field
        Format | None,
        typer.Option(
            metavar="FORMAT",
            help=f"Format of the data: {listed(tuple(FORMATS))}. Default: by the name's ending.",
        ),
    ] = None,
    header: Annotated[
        bool | None,
        typer.Option("--header/--no-header", help="Whether line 1 names the columns."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="Another field of a job's data, such as decimal=, or missing=zero.",
        ),
    ] = None,
    rows: Annotated[
        int, typer.Option(min=0, max=100, metavar="N", help="Show the first N rows.")
    ] = 5,
    local: Local = False,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    region: Region = None,
    stack: StackName = DEFAULT_STACK,
    as_json: AsJson = False,
) -> None:
    """Show what data would be taken for: columns, types, label, missing values, rows.

    At most 16 MB are read, but compressed objects whole. Nothing is written or started.
    """
    from stepml.cli.data_places import place_of
    from stepml.cli.data_settings import data_with
    from stepml.cli.data_view import lines_of
    from stepml.client.data_views import document_of, view_of
    from stepml.job.data import Data

    if label is not None and no_label:
        raise BadInputError("--label and --no-label exclude each other; give one of them")
    output = Output(as_json)
    found = place_of(place, Target.chosen(local, endpoint_url, stack, profile, region))
    data = Data(
        uri=found.uri,
        format=format,
        header=header,
        label=None if label is None else name_or_index(label),
        has_label=not no_label,
    )
    data = data_with(data, settings or ())
    with output.working("reading the first rows"), found.in_its_words(_OPTIONS):
        view = view_of(found, data, rows)
    output.document(document_of(view))
    for line in lines_of(view):
        output.line(line)
