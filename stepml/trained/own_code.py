"""The code of a trained model whose network or class is the user's own."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from stepml.job.errors import InvalidCodeError
from stepml.ml.artifact import Artifact
from stepml.ml.models import CustomNumbers, NeuralNetwork
from stepml.ml.models.custom_linear import CustomLinear

_OfCode = NeuralNetwork | CustomNumbers | CustomLinear


def give_code(artifact: Artifact, code: str | os.PathLike[str]) -> None:
    """Let a model run code: a directory, a .zip or a .py file.

    Raises
    ------
    InvalidCodeError
        The model needs no code, or the code makes another model than the trained one.
    """
    from stepml.ml.own.code import unpack
    from stepml.packaging.user_code import packed_code

    model = artifact.model
    if not isinstance(model, _OfCode) or not model.spec.needs_code:
        raise InvalidCodeError(
            f"code: expected none, because the model needs none, got {os.fspath(code)!r}"
        )
    packed = packed_code(Path(code).expanduser())
    model.code = unpack(packed.archive)
    _build(model)
    if packed.digest != artifact.card.get("code_sha256"):
        warnings.warn(
            f"the code at {os.fspath(code)!r} is not the one that was trained; its parameters "
            "have the same names and shapes",
            stacklevel=3,
        )


def _build(model: _OfCode) -> None:
    """Build the model now, and not at the first prediction."""
    if isinstance(model, NeuralNetwork):
        model.bound  # noqa: B018
    elif isinstance(model, CustomLinear):
        model.own  # noqa: B018
    else:
        model.require_same_shapes()
