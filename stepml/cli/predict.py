"""``stepml predict``: predictions of a trained model for a file of rows."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import msgspec
import typer

from stepml.cli.errors import BAD_INPUT, BadInputError
from stepml.cli.figures import MOST_CLASSES_SHOWN, class_lines, on_its_own
from stepml.cli.model_files import Code, ModelPlace, loaded_model, prints_of, whole_file
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
from stepml.client.stack import DEFAULT_STACK
from stepml.job.formats import FORMATS, Format
from stepml.job.spec_base import label_text, listed

if TYPE_CHECKING:
    from stepml.cli.prediction_rows import GivenFormat, PredictionRows
    from stepml.cli.prediction_source import Source
    from stepml.cli.prediction_table import Results
    from stepml.trained_model import TrainedModel

STDOUT = Path("-")
_NO_LABEL = re.compile(r" a missing label|: the label is .* a missing value")
_NO_LABEL_HINT = "to predict rows without labels, leave out the label's column (--no-label)"


def add_to(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command(
        epilog="Exit codes: 0 done, 2 bad input, 3 the service cannot be reached.\n\n"
        "Example: stepml predict runs/my-run rows.csv --out predictions.csv"
    )(predict)


def predict(
    model: ModelPlace,
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="A file of rows, - for stdin, or an s3:// object.")
    ],
    format: Annotated[  # noqa: A002 - the job's field
        Format | None,
        typer.Option(
            metavar="FORMAT",
            help=f"{listed(tuple(FORMATS))}. Default: from the ending, else the job's.",
        ),
    ] = None,
    header: Annotated[
        bool | None,
        typer.Option(
            "--header/--no-header", help="csv, tsv: whether line 1 is a header.", show_default=False
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(metavar="NAME_OR_INDEX", help="The label's column. Default: the job's."),
    ] = None,
    no_label: Annotated[bool, typer.Option("--no-label", help="All columns are features.")] = False,
    code: Code = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the CSV here; default, or -: stdout."),
    ] = None,
    local: Local = False,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    region: Region = None,
    stack: StackName = DEFAULT_STACK,
    as_json: AsJson = False,
) -> None:
    """Predict each row of a file with a trained model and write CSV.

    If the rows have labels, the quality of the predictions is shown as well.
    """
    from stepml.cli.prediction_rows import GivenFormat

    if label is not None and no_label:
        raise BadInputError("--label and --no-label exclude each other; give one of them")
    out = None if out == STDOUT else out
    if as_json and out is None:
        raise BadInputError("--json: predictions are CSV; write them to a file with --out")
    if out is not None and out.is_file() and Path(data).exists() and out.samefile(data):
        raise BadInputError(f"--out: expected another file than that of the rows, got {str(out)!r}")
    column = None if label is None else _name_or_index(label)
    has_label = False if no_label else (True if label is not None else None)
    given = GivenFormat(format, header, column, has_label)
    target = Target.chosen(local, endpoint_url, stack, profile, region)
    output = Output(as_json)
    with closing(_source(data, target)) as source, _bad_input_errors(source, output):
        with prints_of(code):
            loaded = loaded_model(model, code, target, output)
            results, rows = _predicted(loaded, source, given, out, output)
        output.document(_document(model, loaded, rows, out, results))
        _show(results, output)


def _predicted(
    model: TrainedModel, source: Source, given: GivenFormat, out: Path | None, output: Output
) -> tuple[Results, PredictionRows]:
    from stepml.cli.prediction_rows import prediction_rows
    from stepml.cli.prediction_table import write_predictions

    rows = prediction_rows(source, model, given)
    for assumption in rows.assumed:
        output.complaint(f"assumed: {assumption}")
    with _opened(out, output) as file:
        return write_predictions(model, rows, file), rows


def _document(
    where: str, model: TrainedModel, rows: PredictionRows, out: Path | None, results: Results
) -> dict[str, object]:
    return {
        "model": where,
        "job_id": model.card["job_id"],
        "data": rows.source.objects[0].name,
        "format": rows.layout.format,
        "has_label": rows.has_label,
        "assumed": rows.assumed,
        "out": str(out),
        "rows": results.rows,
        **msgspec.to_builtins(results.quality),
    }


def _show(results: Results, output: Output) -> None:
    quality = results.quality
    output.complaint(f"{results.rows:,} rows")
    for name, value in quality.metrics.items():
        output.complaint(f"{name} {on_its_own(value, 4)}")
    if 0 < len(quality.per_class) <= MOST_CLASSES_SHOWN:
        for line in class_lines(quality.per_class):
            output.complaint(line)
    if quality.unknown_labels:
        some = ", ".join(label_text(label) for label in quality.unknown_labels[:5])
        more = ", …" if len(quality.unknown_labels) > 5 else ""
        output.complaint(f"note: the model never predicts some labels of the data: {some}{more}")


def _name_or_index(label: str) -> str | int:
    try:
        return int(label)
    except ValueError:
        return label


def _source(data: str, target: Target) -> Source:
    from stepml.cli.prediction_source import local_source, s3_source

    if not data.startswith("s3://"):
        return local_source(data)
    return s3_source(data, target.connection())


@contextmanager
def _bad_input_errors(source: Source, output: Output) -> Iterator[None]:
    """Turn errors of the model or the data into one line and an exit."""
    from stepml.job.errors import DamagedValueError, InvalidDataError, NotAvailableError
    from stepml.ml.artifact import ArtifactError
    from stepml.model_loading import ModelNotFoundError

    refusals = (
        ArtifactError,
        DamagedValueError,
        InvalidDataError,
        ModelNotFoundError,
        NotAvailableError,
    )
    try:
        yield
    except refusals as error:
        hints = [_NO_LABEL_HINT] if _NO_LABEL.search(str(error)) else []
        output.error(type(error).__name__, source.named_in(str(error)), hints)
        raise typer.Exit(BAD_INPUT) from None


@contextmanager
def _opened(out: Path | None, output: Output) -> Iterator[TextIO]:
    """Yield the file for the CSV, which becomes visible when it is complete."""
    if out is None:
        stdout: Any = output.stdout
        yield stdout
        stdout.flush()
        return
    with (
        whole_file(out, "--out") as file,
        io.TextIOWrapper(file, encoding="ascii", newline="\n") as text,
    ):
        yield text
