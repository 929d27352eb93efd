"""``stepml data``: data sets to try StepML with, and data in the stack's bucket."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from stepml.cli import data_put, data_show, stored_data
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
from stepml.job.names import DEFAULT_STACK
from stepml.job.spec_base import listed

if TYPE_CHECKING:
    from pathlib import Path

    from stepml.client import Client, Upload
    from stepml.datasets import Dataset

app = typer.Typer(
    help="Upload, look at, list and delete data; get data sets to try StepML with.",
    no_args_is_help=True,
    epilog="Example: stepml data get digits --local",
)


class DatasetName(StrEnum):
    """The available data sets."""

    COVERTYPE = "covertype"
    DIGITS = "digits"
    DIABETES = "diabetes"


@app.callback()
def data() -> None:
    """Upload, look at, list and delete data; get data sets to try StepML with."""


data_put.add_to(app)
data_show.add_to(app)
stored_data.add_to(app)


@app.command(
    epilog="Exit codes: 0 done, 2 bad input, 3 the package index or the service cannot be "
    "reached.\n\nExample: stepml data get covertype --local"
)
def get(
    name: Annotated[
        DatasetName,
        typer.Argument(metavar="NAME", help=f"The data set: {listed(tuple(DatasetName))}."),
    ],
    upload: Annotated[
        bool | None,
        typer.Option(
            "--upload/--no-upload",
            help="Copy the data to the stack's bucket. Default: if --local or an endpoint is "
            "given.",
            show_default=False,
        ),
    ] = None,
    local: Local = False,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    region: Region = None,
    stack: StackName = DEFAULT_STACK,
    as_json: AsJson = False,
) -> None:
    """Fetch a data set into a cache and copy it to the stack's bucket.

    covertype: 581,012 rows of 54 features, fetched from the package index.

    digits: 1,797 rows of 64 features and 10 classes, from scikit-learn, without network.

    diabetes: 442 rows of 10 features and a numeric label, from scikit-learn, without network.
    """
    from stepml import datasets

    target = Target.chosen(local, endpoint_url, stack, profile, region)
    output = Output(as_json)
    dataset = datasets.DATASETS[name.value]
    path = _fetched(dataset, output)
    output.line(f"{dataset.name}: {path}")
    is_wanted = target.endpoint_url is not None if upload is None else upload
    uploaded = _upload(target.client(), dataset, path, output) if is_wanted else None
    output.document(
        {
            "dataset": dataset.name,
            "path": str(path),
            "uri": uploaded.uri if uploaded else None,
            "uploaded": uploaded.sent if uploaded else False,
            "label": dataset.label,
            "rows": dataset.rows,
            "features": dataset.features,
            "size_bytes": dataset.size_bytes,
        }
    )
    if uploaded:
        output.line(f"{uploaded.uri}" + ("" if uploaded.sent else " (was there already)"))


def _fetched(dataset: Dataset, output: Output) -> Path:
    from stepml import datasets

    if not output.is_live:
        return datasets.get(dataset)
    with output.console.status(f"getting {dataset.name}"):
        return datasets.get(dataset)


def _upload(client: Client, dataset: Dataset, path: Path, output: Output) -> Upload:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    from stepml.client.transfers import upload

    columns = (TextColumn("uploading"), BarColumn(bar_width=40), DownloadColumn())
    with Progress(
        *columns, console=output.console, transient=True, disable=not output.is_live
    ) as bar:
        task = bar.add_task("", total=path.stat().st_size)
        return upload(
            client.connection,
            client.stack,
            path,
            dataset.key,
            lambda sent: bar.advance(task, sent),
        )
