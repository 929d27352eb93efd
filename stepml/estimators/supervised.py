"""The common part of the estimators that learn labels."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

from stepml.estimators.base import JobEstimator
from stepml.estimators.job_fields import Fields, Group, group

if TYPE_CHECKING:
    from stepml.client import Client


class SupervisedEstimator(JobEstimator):
    """Base of classifier and regressor."""

    def __init__(
        self,
        model: Group | None = None,
        *,
        algorithm: Group | None = None,
        workers: int | None = None,
        channel: str = "s3",
        pattern: str = "reduce",
        epochs: int | None = None,
        learning_rate: float | None = None,
        batch_size: int | None = None,
        l1: float | None = None,
        l2: float | None = None,
        standardise: bool | None = None,
        random_state: Any = None,
        job: Mapping[str, Any] | None = None,
        code: str | PathLike[str] | None = None,
        client: Client | None = None,
        keep: bool = False,
    ) -> None:
        self.model = model
        self.algorithm = algorithm
        self.workers = workers
        self.channel = channel
        self.pattern = pattern
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.l1 = l1
        self.l2 = l2
        self.standardise = standardise
        self.random_state = random_state
        self.job = job
        self.code = code
        self.client = client
        self.keep = keep

    def _model_fields(self, usual: str, **more: Any) -> Fields:
        fields = {"l1": self.l1, "l2": self.l2, **more}
        found = group(usual if self.model is None else self.model, fields, "model")
        assert found is not None
        return found

    def _algorithm_fields(self) -> Fields | None:
        fields = {"learning_rate": self.learning_rate, "batch_size": self.batch_size}
        return group(self.algorithm, fields, "algorithm")
