"""Loads trained models from files or S3.

::

    import stepml

    model = stepml.load_model("runs/my-run")
    model.predict(X)
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from stepml.job.errors import StepMLError
from stepml.job.places import bucket_and_key
from stepml.ml.artifact import ARRAYS_FILE, CARD_FILE, Artifact, ArtifactError
from stepml.trained.own_code import give_code
from stepml.trained_model import TrainedModel

_ENDPOINT_VARIABLE = "AWS_ENDPOINT_URL"
_NOT_FOUND = frozenset({"404", "NoSuchKey", "NoSuchBucket"})

_Reader = Callable[[str], bytes | None]  # returns the content of a file, None if it is absent


class ModelNotFoundError(StepMLError, FileNotFoundError):
    """There is no model at the given place."""


def load_model(
    where: str | os.PathLike[str],
    *,
    endpoint_url: str | None = None,
    code: str | os.PathLike[str] | None = None,
) -> TrainedModel:
    """Load the model that a job trained.

    Parameters
    ----------
    where : str or path
        A directory (``runs/<name>``), or one of the files ``model.safetensors`` and
        ``model.json`` in it; or the URI of either in S3 (``s3://<bucket>/jobs/<name>``).
    endpoint_url : str, optional
        The address of S3. Defaults to ``AWS_ENDPOINT_URL``, else AWS.
    code : str or path, optional
        The code of a network that a function of your own makes: a directory, a .zip or a .py
        file. Its modules are imported. Without it nothing of a model runs, wherever it comes
        from, and such a network has parameters but no predictions.

    Raises
    ------
    ModelNotFoundError
        There is no model at ``where``.
    ArtifactError
        The files are damaged, or no model of StepML, or of a later version.
    AccessError
        S3 cannot be reached or refuses.
    InvalidNetworkError
        ``code`` fails, or makes another network, or the model needs none.
    """
    place = os.fspath(where) or "."
    is_in_s3 = place.startswith("s3://")
    place = str(Path(place).expanduser()) if place.startswith("~") else place
    read = _reader_of_s3(endpoint_url) if is_in_s3 else _read_file
    for path in _candidates(place):
        packed = read(path)
        if packed is not None:
            artifact = _artifact(path, packed, read)
            if code is not None:
                give_code(artifact, code)
            return TrainedModel(artifact)
    raise ModelNotFoundError(f"no model at {place}: expected {ARRAYS_FILE} and {CARD_FILE}")


def _candidates(place: str) -> list[str]:
    """Return the possible paths of a model's arrays: ``place`` may be a file or a directory."""
    if place.endswith((".safetensors", ".json")):
        return [f"{place.rpartition('.')[0]}.safetensors"]
    directory = place.rstrip("/")
    return [f"{directory}/{ARRAYS_FILE}", f"{directory}/model/{ARRAYS_FILE}"]


def _artifact(path: str, packed: bytes, read: _Reader) -> Artifact:
    card_path = f"{path.removesuffix('.safetensors')}.json"
    card = read(card_path)
    if card is None:
        raise ModelNotFoundError(f"the model {path} has no card: expected {card_path}")
    try:
        return Artifact.unpack(packed, card)
    except ArtifactError as error:
        raise type(error)(f"{path}: {error}") from error


def _read_file(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _reader_of_s3(endpoint_url: str | None) -> _Reader:
    from stepml.client import connect
    from stepml.client.connection import translated
    from stepml.records.errors import ServiceRefusedError

    connection = connect(endpoint_url or os.environ.get(_ENDPOINT_VARIABLE) or None)

    def read(uri: str) -> bytes | None:
        bucket, key = bucket_and_key(uri)
        try:
            with translated(connection.endpoint_url):
                return connection.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        except ServiceRefusedError as error:
            if error.code in _NOT_FOUND:
                return None
            raise

    return read
