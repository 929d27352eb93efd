"""The model artifact: what a job leaves, and what a prediction needs.

Two files lie side by side::

    model.safetensors   the model's arrays by their usual names; `feature_fill`, `feature_mean` and
                        `feature_scale` if rows are prepared before they reach the model
    model.json          the card: what kind of model it is, of which features and labels, and how
                        it came about
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
from stepml.ml.data.scaling import Scale
from stepml.ml.matrices import Floats
from stepml.ml.models import Model, restore_model

# Raise it when an older version would misunderstand the files.
FORMAT_VERSION = 1
ARRAYS_FILE, CARD_FILE = "model.safetensors", "model.json"

_SCALE = "feature_"  # before the names of the scale's arrays
_VERSION, _DIGEST = "format_version", "arrays_sha256"
_MALFORMED = (KeyError, TypeError, ValueError, AttributeError)


class ArtifactError(StepMLError, ValueError):
    """Files that no model can be read from."""


class NotAnArtifactError(ArtifactError):
    """The files are something else than a model of StepML."""


class DamagedArtifactError(ArtifactError):
    """The files are not what was written, or do not belong together."""


class NewerArtifactError(ArtifactError):
    """The files were written by a later version of StepML, in a format that this one lacks."""


@dataclass(frozen=True, slots=True, eq=False)
class Artifact:
    """A trained model.

    Attributes
    ----------
    card : mapping
        ``model`` (its name in the job spec), ``n_features``, what `Model.describe` gave,
        ``label`` and ``features`` (their names, empty without a header), ``standardised``,
        ``job`` (the job spec), ``job_id``, ``epoch``, ``metrics``, ``versions``.
    """

    model: Model
    parameters: Floats  # (n_parameters,)
    scale: Scale | None  # what rows become before they reach the model; None: they stay
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
        """Return the model that `pack` wrote.

        Parameters
        ----------
        packed, card : bytes-like
            The contents of `ARRAYS_FILE` and of `CARD_FILE`.

        Raises
        ------
        NotAnArtifactError
            If the files are something else.
        DamagedArtifactError
            If they are not what was written, or of two models.
        NewerArtifactError
            If a later version of StepML wrote them.
        """
        found = _read_card(card)
        _require_arrays(packed)
        if found.get(_DIGEST) != _digest(packed):
            raise DamagedArtifactError(
                "the arrays are not those that the card was written for: one of the files is "
                "damaged, or they are of two models"
            )
        try:
            return _assembled(arrays.unpack(packed)[0], found)
        except _MALFORMED as exc:
            raise DamagedArtifactError(f"the card does not describe the arrays: {exc!r}") from exc


def _named(scale: Scale | None) -> dict[str, arrays.Array]:
    if scale is None:
        return {}
    named = {"fill": scale.fill, "mean": scale.mean, "scale": scale.scale}
    return {f"{_SCALE}{name}": array for name, array in named.items()}


def _digest(packed: Buffer) -> str:
    return hashlib.sha256(packed).hexdigest()


def _read_card(card: Buffer) -> dict[str, Any]:
    try:
        found = json.loads(bytes(card))
    except ValueError as exc:
        raise NotAnArtifactError(f"the card is no JSON: {exc}") from exc
    version = found.get(_VERSION) if isinstance(found, dict) else None
    if not isinstance(version, int):
        raise NotAnArtifactError(f"the card is not one of StepML: it has no {_VERSION!r}")
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
        raise NotAnArtifactError(f"the arrays are no safetensors: {exc}") from exc


def _assembled(named: Mapping[str, arrays.Array], card: dict[str, Any]) -> Artifact:
    """Return the model, or raise what is wrong with its parts."""
    if len(card["features"]) not in (0, card["n_features"]) or not card["job"]["data"]:
        raise ValueError("as many features with names as there are, and a job, are expected")
    own = {name: array for name, array in named.items() if not name.startswith(_SCALE)}
    parts = {name.removeprefix(_SCALE): named[name] for name in named.keys() - own.keys()}
    model = restore_model(card)
    if sum(array.size for array in own.values()) != model.n_parameters:
        raise ValueError(f"{model.n_parameters} parameters expected")
    parameters = model.parameters(own)
    _require_alike(model.arrays(parameters), own)
    scale = Scale(**parts) if parts else None
    if scale is not None:
        _require_alike(dict.fromkeys(parts, np.zeros(model.n_features, np.float32)), parts)
    return Artifact(model, parameters, scale, card)


def _require_alike(expected: Mapping[str, arrays.Array], found: Mapping[str, arrays.Array]) -> None:
    shapes = [
        {name: (array.dtype.str, array.shape) for name, array in each.items()}
        for each in (expected, found)
    ]
    if shapes[0] != shapes[1]:
        raise ValueError(f"{shapes[0]} expected, {shapes[1]} found")
