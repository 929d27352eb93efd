"""The columns of a trained model: their names, what they become, and rows as it learnt them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from stepml.ml.artifact import Artifact
from stepml.ml.matrices import Floats, Floats64, Matrix
from stepml.trained.model_table import ModelTable
from stepml.trained.numbers import Array
from stepml.trained.preparation import Preparation
from stepml.trained.rows import dense


class ModelOfColumns:
    """The part of a trained model that knows its columns; see `TrainedModel`."""

    def __init__(self, artifact: Artifact) -> None:
        self.card = artifact.card
        self._model = artifact.model
        self._w = artifact.parameters
        self._preparation = Preparation(artifact)
        self.n_features_in_ = self._preparation.n_columns
        self.n_features_out_ = self._preparation.n_features

    def __repr__(self) -> str:
        return f"<{self._name} of {self.n_features_in_} features, job {self.card.get('job_id')!r}>"

    @property
    def feature_names_in_(self) -> Array:
        return _named("feature_names_in_", self._preparation.column_names)

    @property
    def feature_names_out_(self) -> Array:
        self.feature_names_in_  # noqa: B018 (it is missing as well)
        return _named("feature_names_out_", self._preparation.feature_names)

    @property
    def pipeline_(self) -> dict[str, Any]:
        """The fate of each column of the data, as JSON; only of models of tables."""
        if "pipeline" not in self.card:
            raise AttributeError("pipeline_: the data of this model are no table with columns")
        return dict(self.card["pipeline"])

    def encode(self, X: Any) -> Floats | Floats64:
        """Return the features of rows before they are filled in and scaled: the module's input.

        Returns
        -------
        array of shape (n_samples, n_features_out)
            In the order of ``feature_names_out_``; missing values are NaN. It is float64 if there
            are `fine_features`, else float32.
        """
        return self._preparation.features(X)

    def prepare(self, X: Any) -> Floats:
        """Return the features that the model learnt: encoded, filled in and scaled.

        Returns
        -------
        array of shape (n_samples, n_features_out)
            In the order of ``feature_names_out_``. The models' parameters apply to them.
        """
        return np.concatenate([dense(block) for block in self._preparation.blocks(X)])

    @property
    def table(self) -> ModelTable | None:
        """The columns of the data, if they are not all numbers."""
        return self._preparation.table

    @property
    def dropped_columns(self) -> list[str]:
        """The names of columns that the job left out."""
        return list(self._preparation.dropped)

    @property
    def fine_features(self) -> list[int]:
        """The features that are centred in float64, because float32 has too few digits for them."""
        return list(self._preparation.fine)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The shape of a row, (channels, height, width), if it is an image; otherwise empty."""
        return self._model.image_shape

    @property
    def _name(self) -> str:
        return str(self.card["model"])

    def _of_blocks(self, function: Callable[[Floats, Matrix], Array], X: Any) -> Array:
        blocks = self._preparation.blocks(X)
        return np.concatenate([function(self._w, block) for block in blocks])


def _named(attribute: str, names: list[str]) -> Array:
    if not names:
        raise AttributeError(f"{attribute}: the data of this model had no names")
    return np.array(names, dtype=object)
