"""Checks of a job's own code, before the data are read, and again with all facts.

Networks have checks of their own, which need torch.
"""

from __future__ import annotations

from lambdas.job_store.code import ready_code
from lambdas.job_store.plans import PartitionPlan
from lambdas.job_store.store import JobStore
from stepml.job.custom import CustomModel
from stepml.ml.data import Manifest
from stepml.ml.own.code import directory_of
from stepml.ml.own_model_checks import check_own_model
from stepml.ml.suitability import require_room

_GUESSED_FEATURES, _GUESSED_CLASSES = 5, 3


def check_own_code_of(
    store: JobStore, plan: PartitionPlan, manifest: Manifest | None, most_model_bytes: int
) -> None:
    """Try the job's own model on random rows.

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
    InvalidCodeError
        The code fails, or does something else than the job needs.
    ModelTooLargeError
        There is no room for so many parameters.
    """
    ready_code(store.storage, plan.code)
    spec = plan.spec
    if isinstance(spec.model, CustomModel):
        n_features, labels = _shape_of(plan, manifest)
        n_parameters = check_own_model(spec.model, n_features, labels, directory_of(plan.code))
        require_room(spec, n_parameters, most_model_bytes)


def _shape_of(plan: PartitionPlan, manifest: Manifest | None) -> tuple[int, list[float]]:
    if manifest is not None:
        return manifest.n_features, [*(manifest.labels or ())]
    guess = [float(label) for label in range(_GUESSED_CLASSES)]
    return plan.layout.n_features or _GUESSED_FEATURES, guess
