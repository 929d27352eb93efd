"""The code of a trained network whose function is the user's own."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from stepml.job.errors import InvalidNetworkError
from stepml.ml.artifact import Artifact
from stepml.ml.models import NeuralNetwork


def give_code(artifact: Artifact, code: str | os.PathLike[str]) -> None:
    """Let a network run code: a directory, a .zip or a .py file.

    Raises
    ------
    InvalidNetworkError
        The model needs no code, or the code makes another network than the trained one.
    """
    from stepml.ml.neural.code import unpack
    from stepml.packaging.user_code import packed_code

    model = artifact.model
    if not isinstance(model, NeuralNetwork) or not model.spec.needs_code:
        raise InvalidNetworkError(
            f"code: expected none, because the model needs none, got {os.fspath(code)!r}"
        )
    packed = packed_code(Path(code).expanduser())
    model.code = unpack(packed.archive)
    model.bound  # noqa: B018 (it is built now, and not at the first prediction)
    if packed.digest != artifact.card.get("code_sha256"):
        warnings.warn(
            f"the code at {os.fspath(code)!r} is not the one that was trained; its parameters "
            "have the same names and shapes",
            stacklevel=3,
        )
