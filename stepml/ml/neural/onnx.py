"""Modules as ONNX graphs, for runtimes without torch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.onnx import OnnxExporterError

from stepml.job.errors import InvalidNetworkError, NotAvailableError
from stepml.job.installing import install_command

INPUT, OUTPUT = "rows", "outputs"


def onnx_bytes(
    module: nn.Module, row_shape: Sequence[int], *, wide: bool, metadata: Mapping[str, str]
) -> bytes:
    """Return the graph of a module, whose input has any number of rows.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode.
    row_shape : sequence of int
        Of one row of its input.
    wide : bool
        The input is float64 instead of float32.
    metadata : mapping
        Stored with the graph.

    Raises
    ------
    NotAvailableError
        The libraries that write graphs are not installed.
    InvalidNetworkError
        A network of the user's has operations that ONNX lacks, or depends on values of its input.
    """
    _require_libraries()
    rows = torch.zeros(2, *row_shape, dtype=torch.float64 if wide else torch.float32)
    with _quiet():
        try:
            # Not the older exporter (dynamo=False), although it is five times as fast: torch will
            # drop it, and it writes branches that depend on values as the example row takes them.
            program = torch.onnx.export(
                module,
                (rows,),
                dynamo=True,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim("n_rows")},),
                verbose=False,
            )
        except OnnxExporterError as error:
            raise InvalidNetworkError(_reason(error)) from error
    assert program is not None
    graph = program.model_proto
    for name, value in metadata.items():
        graph.metadata_props.add(key=name, value=value)
    packed: bytes = graph.SerializeToString()
    return packed


def _require_libraries() -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise NotAvailableError(
            f"ONNX needs {error.name}, which is not installed: run {install_command('onnx')}"
        ) from error


def _reason(error: BaseException) -> str:
    """Return the first line about the cause, without torch's advice to its developers."""
    cause = error.__cause__ or error
    line = next((each.strip() for each in str(cause).splitlines() if each.strip()), "")
    return f"the network cannot be written as ONNX: {type(cause).__name__}: {line}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide torch's remarks about itself and about libraries that are not needed."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
