"""``stepml export``: trained models in a format of other programs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stepml.cli.errors import BAD_INPUT, BadInputError
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
from stepml.job.names import DEFAULT_STACK
from stepml.job.spec_base import Label, label_text

if TYPE_CHECKING:
    from stepml.trained_model import TrainedModel


def add_to(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command(
        epilog="Exit codes: 0 done, 2 bad input, 3 the service cannot be reached.\n\n"
        "Example: stepml export runs/my-run --onnx model.onnx"
    )(export)


def export(
    model: ModelPlace,
    onnx: Annotated[
        Path, typer.Option("--onnx", metavar="FILE", help="Write the model as ONNX to this file.")
    ],
    code: Code = None,
    local: Local = False,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    region: Region = None,
    stack: StackName = DEFAULT_STACK,
    as_json: AsJson = False,
) -> None:
    """Write a trained network or linear model as an ONNX file.

    Its input, "rows", takes any number of rows as in the data. Its output, "outputs", has their
    decision values, or the predictions of a regression.
    """
    from stepml.ml.artifact import ArtifactError
    from stepml.model_loading import ModelNotFoundError

    target, output = Target.chosen(local, endpoint_url, stack, profile, region), Output(as_json)
    try:
        with prints_of(code):
            loaded = loaded_model(model, code, target, output)
    except (ArtifactError, ModelNotFoundError) as error:
        output.error(type(error).__name__, str(error))
        raise typer.Exit(BAD_INPUT) from None
    if not hasattr(loaded, "module"):
        raise BadInputError(
            f"a model of {loaded.card['model']} has no form in ONNX: expected a network or a "
            "linear model"
        )
    with prints_of(code), output.working(f"writing {onnx}"), whole_file(onnx, "--onnx") as file:
        file.write(_graph(loaded))
    output.document(_document(model, onnx, loaded))
    _show(onnx, loaded, output)


def _graph(model: TrainedModel) -> bytes:
    module = model.module()
    from stepml.ml.neural.onnx import onnx_bytes

    metadata = {"job_id": str(model.card["job_id"])}
    if classes := _classes(model):
        metadata["classes"] = json.dumps(classes, ensure_ascii=False)
        metadata["outputs"] = json.dumps(_texts(model.output_labels), ensure_ascii=False)
    return onnx_bytes(module, _row_shape(model), wide=bool(model.fine_features), metadata=metadata)


def _classes(model: TrainedModel) -> list[str]:
    return _texts(model.classes_.tolist()) if hasattr(model, "classes_") else []


def _texts(labels: Iterable[Label]) -> list[str]:
    from stepml.ml.class_names import as_stored  # loads NumPy

    return [label_text(as_stored(each) if isinstance(each, float) else each) for each in labels]


def _row_shape(model: TrainedModel) -> tuple[int, ...]:
    return model.image_shape or (model.n_features_out_,)


def _document(where: str, onnx: Path, model: TrainedModel) -> dict[str, object]:
    return {
        "model": where,
        "job_id": model.card["job_id"],
        "onnx": str(onnx),
        "row_shape": list(_row_shape(model)),
        "dtype": "float64" if model.fine_features else "float32",
        "classes": _classes(model),
        "outputs": _texts(model.output_labels),
    }


def _show(onnx: Path, model: TrainedModel, output: Output) -> None:
    shape = " × ".join(map(str, ("n", *_row_shape(model))))
    kind = "float64" if model.fine_features else "float32"
    output.complaint(f"{onnx}: {onnx.stat().st_size:,} bytes; rows {shape}, {kind}")
    if classes := _classes(model):
        some = ", ".join(classes[:10])
        output.complaint(f"classes: {some}{', …' if len(classes) > 10 else ''}")
        if len(model.output_labels) == 1:
            output.complaint(f"the output is above 0 for {classes[1]}, below 0 for {classes[0]}")
