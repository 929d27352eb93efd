"""Checks of a job's own code, before the data are read, and again with all facts.

Networks have checks of their own, which need torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np

from lambdas.job_store.code import ready_code
from lambdas.job_store.plans import PartitionPlan
from lambdas.job_store.store import JobStore
from stepml.job.errors import InvalidJobError
from stepml.job.models import MODELS, Model
from stepml.job.own_code import CustomAlgorithm, CustomModel
from stepml.job.spec import JobSpec
from stepml.ml.data import Manifest
from stepml.ml.models import LinearModel, build_model
from stepml.ml.models.base import LossModel
from stepml.ml.models.row_weights import weighted
from stepml.ml.own.code import directory_of
from stepml.ml.own_algorithm_checks import check_own_algorithm
from stepml.ml.own_model_checks import check_own_model
from stepml.ml.suitability import require_room

_GUESSED_FEATURES, _GUESSED_CLASSES = 5, 3
_ROWS = 32


def check_own_code_of(
    store: JobStore, plan: PartitionPlan, manifest: Manifest | None, most_model_bytes: int
) -> None:
    """Try the job's own model and algorithm on random rows.

    Parameters
    ----------
    store : JobStore
    plan : PartitionPlan
    manifest : Manifest, or None
        Of the data; None: they have not been read, so that labels, and perhaps the number of
        features, are guessed.
    most_model_bytes : int
        Memory for a model in a function.

    Raises
    ------
    InvalidJobError
        Rows have weights, and the model knows none.
    InvalidCodeError
        The code fails, or does something else than the job needs.
    ModelTooLargeError
        There is no room for so many parameters.
    """
    if not plan.code:
        return
    ready_code(store.storage, plan.code)
    spec, code = plan.spec, directory_of(plan.code)
    n_features, labels = _shape_of(plan, manifest)
    if isinstance(spec.model, CustomModel):
        own = check_own_model(spec.model, n_features, labels, code)
        if spec.data.weight is not None and not isinstance(own, LinearModel):
            raise InvalidJobError(
                "data.weight: of models of your own, only those that derive from "
                f"stepml.OwnLinearModel weight their rows; expected null, got {spec.data.weight!r}"
            )
        require_room(spec, own.n_parameters, most_model_bytes)
    if isinstance(spec.algorithm, CustomAlgorithm):
        _check_algorithm(
            spec.algorithm,
            _model_for(spec, n_features, labels, code),
            has_weights=spec.data.weight is not None,
        )


def _check_algorithm(spec: CustomAlgorithm, model: LossModel, *, has_weights: bool) -> None:
    rng = np.random.Generator(np.random.PCG64(0))
    X = rng.normal(size=(_ROWS, model.n_features)).astype(np.float32)
    y = np.resize(np.arange(_GUESSED_CLASSES), _ROWS).astype(np.float32)
    if hasattr(model, "classes"):
        y = np.resize(np.array(model.classes, np.float32), _ROWS)
    weights = rng.uniform(0.5, 1.5, _ROWS).astype(np.float32) if has_weights else None
    check_own_algorithm(spec, model, (X, weighted(model.targets(y), weights)))


def _model_for(spec: JobSpec, n_features: int, labels: list[float], code: Path) -> LossModel:
    """Return the job's own model, or one in the place of those whose labels must be known."""
    chosen = spec.model
    if not isinstance(chosen, CustomModel):
        chosen = cast(Model, next(each() for each in MODELS.values() if "squares" in each.traits))
    model = build_model(chosen, n_features, labels, code=code)
    assert isinstance(model, LossModel)
    return model


def _shape_of(plan: PartitionPlan, manifest: Manifest | None) -> tuple[int, list[float]]:
    if manifest is not None:
        return manifest.n_features, [*(manifest.labels or ())]
    guess = [float(label) for label in range(_GUESSED_CLASSES)]
    return plan.layout.n_features or _GUESSED_FEATURES, guess
