"""The model artifact: the result of a job, and the input of predictions.

It has two files::

    model.safetensors   the model's arrays by their usual names; `feature_fill`, `feature_mean` and
                        `feature_scale` if rows are prepared for the model; `feature_fine` and
                        `feature_fine_mean` if some features are centred in float64; others of
                        `Scale` if it has them
    model.json          the card: kind of model, features, labels, and the job that trained it
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from stepml.job.errors import DamagedValueError, StepMLError
from stepml.ml.data import arrays
from stepml.ml.data.objects import Buffer
from stepml.ml.data.remainders import is_ascending_below
from stepml.ml.data.scaling import Scale
from stepml.ml.matrices import Floats
from stepml.ml.models import Model, restore_model
from stepml.ml.neural.layout import SCALE_ARRAYS

# To be raised if an older version would misread the files.
# 2: fills of all kinds are in the scale, and the card may have a pipeline of columns.
FORMAT_VERSION = 2
ARRAYS_FILE, CARD_FILE = "model.safetensors", "model.json"

_VERSION, _DIGEST = "format_version", "arrays_sha256"
_MALFORMED = (KeyError, TypeError, ValueError, AttributeError, OverflowError)


class ArtifactError(StepMLError, ValueError):
    """The files cannot be read as a model."""


class NotAnArtifactError(ArtifactError):
    """The files are not a model of StepML."""


class DamagedArtifactError(ArtifactError):
    """The files have changed, or belong to two models."""


class NewerArtifactError(ArtifactError):
    """A later version of StepML has written the files, in a format unknown to this one."""


@dataclass(frozen=True, slots=True, eq=False)
class Artifact:
    """A trained model.

    Attributes
    ----------
    card : mapping
        ``model`` (its name in the job spec), ``n_features``, the items of `Model.describe`,
        ``label`` and ``features`` (their names, empty without a header), ``standardised``,
        ``job`` (the job spec), ``job_id``, ``epoch``, ``metrics``, ``versions``.
    """

    model: Model
    parameters: Floats  # (n_parameters,)
    scale: Scale | None  # preparation of rows for the model; None: there is none
    card: Mapping[str, Any]

    def pack(self) -> tuple[bytes, bytes]:
        """Return the contents of `ARRAYS_FILE` and of `CARD_FILE`."""
        named = {**self.model.arrays(self.parameters), **_named(self.scale)}
        metadata = {"format": "stepml", "model": str(self.card["model"])}
        packed = bytes(arrays.pack(named, metadata))
        card = {_VERSION: FORMAT_VERSION, **self.card, _DIGEST: _digest(packed)}
        return packed, msgspec.json.format(msgspec.json.encode(card)) + b"\n"

    @classmethod
    def unpack(cls, packed: Buffer, card: Buffer) -> Artifact:
        """Return the model of two packed files.

        Parameters
        ----------
        packed, card : bytes-like
            The contents of `ARRAYS_FILE` and of `CARD_FILE`.

        Raises
        ------
        NotAnArtifactError
            The files are not a model.
        DamagedArtifactError
            The files have changed, or belong to two models.
        NewerArtifactError
            A later version of StepML has written the files.
        """
        found = _read_card(card)
        _require_arrays(packed)
        if found.get(_DIGEST) != _digest(packed):
            raise DamagedArtifactError(
                "the digest of the arrays is not that of the card: one of the files is damaged, "
                "or they belong to two models"
            )
        try:
            return _assembled(arrays.unpack(packed)[0], found)
        except _MALFORMED as exc:
            raise DamagedArtifactError(f"the card does not describe the arrays: {exc!r}") from exc


def _named(scale: Scale | None) -> dict[str, arrays.Array]:
    arrays_of_scale = {} if scale is None else scale.named()
    return {
        title: arrays_of_scale[name]
        for title, name in SCALE_ARRAYS.items()
        if name in arrays_of_scale
    }


def _digest(packed: Buffer) -> str:
    return hashlib.sha256(packed).hexdigest()


def _read_card(card: Buffer) -> dict[str, Any]:
    try:
        found = json.loads(bytes(card))
    except (ValueError, RecursionError) as exc:
        raise NotAnArtifactError(f"the card is not JSON: {exc}") from exc
    version = found.get(_VERSION) if isinstance(found, dict) else None
    if not isinstance(version, int):
        raise NotAnArtifactError(f"the card is not a card of StepML: it has no {_VERSION!r}")
    if version > FORMAT_VERSION:
        raise NewerArtifactError(
            f"the card has format {version}, this version of StepML reads up to {FORMAT_VERSION}: "
            "install a newer one"
        )
    return dict(found)


def _require_arrays(packed: Buffer) -> None:
    try:
        arrays.header(packed)
    except DamagedValueError as exc:
        raise NotAnArtifactError(f"the arrays are not safetensors: {exc}") from exc


def _assembled(named: Mapping[str, arrays.Array], card: dict[str, Any]) -> Artifact:
    """Return the model, or raise an error if its parts do not fit."""
    if len(card["features"]) not in (0, card["n_features"]) or not card["job"]["data"]:
        raise ValueError("as many features with names as there are, and a job, are expected")
    own = {name: array for name, array in named.items() if name not in SCALE_ARRAYS}
    parts = {SCALE_ARRAYS[name]: named[name] for name in named.keys() - own.keys()}
    model = restore_model(card)
    if sum(array.size for array in own.values()) != model.n_parameters:
        raise ValueError(f"{model.n_parameters} parameters expected")
    parameters = model.parameters(own)
    _require_alike(model.arrays(parameters), own)
    scale = Scale(**parts) if parts else None
    if scale is not None:
        _require_scale(scale, model.n_features)
    return Artifact(model, parameters, scale, card)


def _require_scale(scale: Scale, n_features: int) -> None:
    fine, found = len(scale.fine), scale.named()
    fills = len(scale.fine_fill) and fine
    zeros = np.zeros(n_features, np.float32)
    expected = Scale(
        zeros,
        zeros,
        zeros,
        fine=np.zeros(fine, np.int64),
        fine_mean=np.zeros(fine),
        fine_fill=np.zeros(fills),
        moved=np.zeros((len(scale.moved), 2), np.int64),
    )
    _require_alike(expected.named(), found)
    if not is_ascending_below(scale.fine, n_features):
        raise ValueError(f"different features below {n_features} expected, {scale.fine} found")
    if len(scale.moved) and not 0 <= scale.moved.min() <= scale.moved.max() < n_features:
        raise ValueError(f"features below {n_features} expected, {scale.moved.tolist()} found")


def _require_alike(expected: Mapping[str, arrays.Array], found: Mapping[str, arrays.Array]) -> None:
    shapes = [
        {name: (array.dtype.str, array.shape) for name, array in each.items()}
        for each in (expected, found)
    ]
    if shapes[0] != shapes[1]:
        raise ValueError(f"{shapes[0]} expected, {shapes[1]} found")
