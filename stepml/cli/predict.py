"""``stepml predict``: predictions of a trained model for a file of rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from stepml.cli.errors import BAD_INPUT, BadInputError
from stepml.cli.figures import MOST_CLASSES_SHOWN, class_lines, on_its_own
from stepml.cli.model_files import Code, ModelPlace, loaded_model, prints_of
from stepml.cli.options import (
    AsJson,
    EndpointUrl,
    Local,
    NoLabel,
    Profile,
    Region,
    StackName,
    Target,
)
from stepml.cli.output import Output
from stepml.cli.prediction_formats import OutFormat, kind_of
from stepml.job.formats import FORMATS, Format
from stepml.job.names import DEFAULT_STACK
from stepml.job.spec_base import label_text, listed

if TYPE_CHECKING:
    from stepml.cli.given_format import GivenFormat
    from stepml.cli.prediction_rows import PredictionRows
    from stepml.cli.prediction_source import Source
    from stepml.cli.prediction_table import Results
    from stepml.trained_model import TrainedModel

STDOUT = Path("-")


def add_to(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command(
        epilog="Exit codes: 0 done, 2 bad input, 3 the service cannot be reached.\n\n"
        "Example: stepml predict runs/my-run rows.csv --out predictions.csv"
    )(predict)


def predict(
    model: ModelPlace,
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA", help="A file or folder of rows, - for stdin, or an s3:// URI of either."
        ),
    ],
    format: Annotated[  # noqa: A002 - the job's field
        Format | None,
        typer.Option(
            metavar="FORMAT",
            help=f"Format of the data: {listed(tuple(FORMATS))}. Default: by the name's ending, "
            "else the job's.",
        ),
    ] = None,
    header: Annotated[
        bool | None,
        typer.Option(
            "--header/--no-header",
            help="Whether line 1 of csv and tsv is a header.",
            show_default=False,
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(metavar="NAME_OR_INDEX", help="The label's column. Default: the job's."),
    ] = None,
    no_label: NoLabel = False,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="Another field of a job's data that says how text is written, such as decimal=, "
            "for decimal commas.",
        ),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            "--keep",
            metavar="COLUMN",
            help="Copy a column beside the predictions, by name or index; may be repeated.",
        ),
    ] = None,
    code: Code = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Write the predictions to this file. Default, and -: stdout.",
        ),
    ] = None,
    out_format: Annotated[
        OutFormat | None,
        typer.Option(
            "--out-format",
            help="Format of the predictions: csv, jsonl or parquet. Default: by the ending of "
            "--out, else csv.",
            metavar="FORMAT",
        ),
    ] = None,
    local: Local = False,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    region: Region = None,
    stack: StackName = DEFAULT_STACK,
    as_json: AsJson = False,
) -> None:
    """Predict each row of a file with a trained model.

    If rows have labels, the quality of their predictions is shown as well. Columns that are no
    features of the model are left out.
    """
    from stepml.cli.given_format import GivenFormat

    if label is not None and no_label:
        raise BadInputError("--label and --no-label exclude each other; give one of them")
    out = None if out == STDOUT else out
    if as_json and out is None:
        raise BadInputError("--json: stdout has the result; write predictions to a file with --out")
    if out is not None and out.is_file() and Path(data).exists() and out.samefile(data):
        raise BadInputError(f"--out: expected another file than that of the rows, got {str(out)!r}")
    has_label = False if no_label else (True if label is not None else None)
    kept = tuple(dict.fromkeys(keep or ()))
    given = GivenFormat(format, header, label, has_label, kept, tuple(settings or ()))
    kind = kind_of(out, out_format)
    target = Target.chosen(local, endpoint_url, stack, profile, region)
    output = Output(as_json)
    with closing(_source(data, target)) as source, _bad_input_errors(source, output):
        with prints_of(code):
            loaded = loaded_model(model, code, target, output)
            results, rows = _predicted(loaded, source, given, (out, kind), output)
        output.document(_document(model, loaded, rows, out, results))
        for note in rows.unknown_levels.notes():
            output.complaint(f"note: {note}")
        _show(results, output)
        _note_on_weights(loaded, results, output)


def _predicted(
    model: TrainedModel,
    source: Source,
    given: GivenFormat,
    out: tuple[Path | None, OutFormat],
    output: Output,
) -> tuple[Results, PredictionRows]:
    from stepml.cli.prediction_files import opened
    from stepml.cli.prediction_rows import prediction_rows
    from stepml.cli.prediction_table import write_predictions

    rows = prediction_rows(source, model, given)
    for assumption in rows.assumed:
        output.complaint(f"assumed: {assumption}")
    with opened(*out, output.stdout) as writer:
        return write_predictions(model, rows, writer), rows


def _document(
    where: str, model: TrainedModel, rows: PredictionRows, out: Path | None, results: Results
) -> dict[str, object]:
    return {
        "model": where,
        "job_id": model.card["job_id"],
        "data": rows.source.title,
        "objects": len(rows.source.objects),
        "format": rows.layout.format,
        "has_label": rows.has_label,
        "assumed": rows.assumed,
        "out": str(out),
        "rows": results.rows,
        "unlabelled_rows": results.unlabelled_rows,
        "unknown_levels": rows.unknown_levels.counts,
        **msgspec.to_builtins(results.quality),
    }


def _show(results: Results, output: Output) -> None:
    quality = results.quality
    lacking = f", {results.unlabelled_rows:,} without a label" * bool(results.unlabelled_rows)
    output.complaint(f"{results.rows:,} row{'s' * (results.rows != 1)}{lacking}")
    for name, value in quality.metrics.items():
        output.complaint(f"{name} {on_its_own(value, 4)}")
    if 0 < len(quality.per_class) <= MOST_CLASSES_SHOWN:
        for line in class_lines(quality.per_class):
            output.complaint(line)
    if quality.unknown_labels:
        some = ", ".join(label_text(label) for label in quality.unknown_labels[:5])
        more = ", …" if len(quality.unknown_labels) > 5 else ""
        output.complaint(f"note: the model never predicts some labels of the data: {some}{more}")


def _note_on_weights(model: TrainedModel, results: Results, output: Output) -> None:
    """Say that metrics are not comparable with those of a job whose rows have weights."""
    weight = model.card["job"]["data"].get("weight")
    if weight is not None and results.quality.metrics:
        output.complaint(
            f"note: here, all rows count alike; in the job, they count by data.weight {weight!r}"
        )


def _source(data: str, target: Target) -> Source:
    from stepml.cli.prediction_source import source_at

    return source_at(data, target.connection() if data.startswith("s3://") else None)


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
        output.error(type(error).__name__, source.named_in(str(error)))
        raise typer.Exit(BAD_INPUT) from None
