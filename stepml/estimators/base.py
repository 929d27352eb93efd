"""The common part of the estimators: their job, and its model."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from stepml.client.choosing import chosen_connection
from stepml.client.packed_rows import packed_rows
from stepml.estimators.checks import checked_rows
from stepml.estimators.fitting import fitted
from stepml.estimators.job_fields import Fields, given, merged, rest_of_job
from stepml.records.errors import AccessError, InvalidArgumentError

if TYPE_CHECKING:
    from stepml.client import Client, Run
    from stepml.client.packed_rows import PackedRows
    from stepml.trained_model import TrainedModel

FEW_BYTES = 2**23  # of rows for which one worker is chosen
USUAL_WORKERS = 4
_MOST_SEED = 2**31 - 1
# Attributes of a trained model that the estimator takes over, if the model has them.
_OF_MODELS = ("coef_", "intercept_")


class JobEstimator(BaseEstimator):
    """Base of the estimators that train as jobs."""

    model_: TrainedModel
    history_: list[dict[str, Any]]
    run_: Run
    n_iter_: int
    # Arrays of float64, of linear models alone.
    coef_: Any
    intercept_: Any
    _stem: ClassVar[str]  # of the names of its runs

    # The parameters that all of them have.
    workers: int | None
    channel: str
    pattern: str
    epochs: int | None
    standardise: bool | None
    random_state: Any
    job: Mapping[str, Any] | None
    client: Client | None
    keep: bool
    code: str | os.PathLike[str] | None = None  # of models and algorithms that have any

    def _train(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        model: Fields,
        algorithm: Fields | None = None,
    ) -> None:
        """Train a job on checked rows, and take over its results."""
        rows = packed_rows(X, y, sample_weight)
        job = self._job(rows, model, algorithm)
        client, code = _client_of(self), None if self.code is None else Path(self.code)
        fit = fitted(client, rows, job, self._stem, keep=self.keep, code=code)
        self.model_, self.history_, self.run_ = fit.model, fit.history, fit.run
        self.n_iter_ = fit.model.n_iter_
        for name in _OF_MODELS:
            vars(self).pop(name, None)  # of an earlier fit
            if hasattr(fit.model, name):
                setattr(self, name, getattr(fit.model, name))

    def _job(self, rows: PackedRows, model: Fields, algorithm: Fields | None) -> Fields:
        seed = _seed(self.random_state)
        own: Fields = {
            "data": {**rows.settings, **given(standardise=self.standardise, seed=seed)},
            "model": model,
            **given(algorithm=algorithm),
            "workers": _workers(self.workers, rows),
            "exchange": {"channel": self.channel, "pattern": self.pattern},
            "stop": given(max_epochs=self.epochs),
        }
        job = merged(own, rest_of_job(self.job))
        if not {"validation", "validation_fraction"} & job["data"].keys():
            job["data"]["validation_fraction"] = 0.0  # all rows that are given are learnt
        return job

    def _checked(self, X: Any) -> Any:
        """Return rows to predict, checked against those of the fit."""
        check_is_fitted(self)
        return checked_rows(self, X, reset=False)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        # Without the run, which has a connection; and of the client, only the way to its AWS.
        state = {name: each for name, each in super().__getstate__().items() if name != "run_"}
        client = None if self.client is None else pickle.dumps(self.client)
        return {**state, "client": client}

    def __setstate__(self, state: dict[str, Any]) -> None:
        packed = state["client"]
        super().__setstate__({**state, "client": None if packed is None else _unpacked(packed)})


_clients: dict[tuple[str, ...], Client] = {}


def _client_of(estimator: JobEstimator) -> Client:
    """Return the client of an estimator, or `InvalidArgumentError`."""
    from stepml.client import Client

    client = estimator.client
    if not isinstance(client, Client | None):
        raise InvalidArgumentError(f"client: expected a stepml.Client or None, got {client!r}")
    return client or _own_client()


def _own_client() -> Client:
    """Return the client of the AWS that is chosen now: a local AWS may have begun or ended."""
    from stepml.client import Client

    connection = chosen_connection()
    key = (connection.place, connection.local_id, os.environ.get("AWS_PROFILE", ""))
    return _clients.setdefault(key, Client(connection))


def _unpacked(client: bytes) -> Client | None:
    """Return the client of a stored estimator; None if this machine lacks its profile."""
    try:
        # It is within a pickle that is being loaded.
        found: Client = pickle.loads(client)  # noqa: S301 # nosec B301
    except AccessError:
        return None
    return found


def _seed(random_state: Any) -> int:
    """Return the seed of a job: 0 without a random state, so that every fit is the same."""
    if random_state is None:
        return 0
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    return int(check_random_state(random_state).randint(_MOST_SEED))


def _workers(workers: int | None, rows: PackedRows) -> int:
    if workers is None:
        return 1 if rows.n_bytes <= FEW_BYTES else min(USUAL_WORKERS, rows.n_rows)
    if (
        isinstance(workers, int | np.integer) and workers > rows.n_rows
    ):  # others are refused with the job
        raise ValueError(
            f"workers: expected at most the number of rows, n_samples={rows.n_rows}, got {workers}"
        )
    return workers
