"""A row of weight 2 counts as two rows, one of weight 0 as none, in the losses of networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stepml.job import models, networks
from stepml.ml.models.row_weights import weighted
from stepml.ml.models.tallies import counts_of
from tests.support.learning import model_for
from tests.support.torch import torch  # noqa: F401 (skips where it is absent)

MLP = networks.Mlp(hidden=(4,))
N, D = 400, 5
RNG = np.random.default_rng(7)
TIMES = RNG.integers(0, 4, N)  # the weight of each row; some are 0
WEIGHTS = (TIMES / TIMES.mean()).astype(np.float32)
REPEATED = np.repeat(np.arange(N), TIMES)
X = RNG.normal(size=(N, D)).astype(np.float32)
LABELS = {
    "numbers": X[:, 0] + 3,
    "two": (X[:, 0] > 0.5).astype(np.float32),
    "three": np.argmax(X[:, :3], axis=1).astype(np.float32),
}
NETWORKS: list[tuple[models.Model, str]] = [
    (models.Neural(network=MLP, label_smoothing=0.1), "three"),
    (models.Neural(network=MLP, loss="binary_cross_entropy"), "two"),
    (models.Neural(network=MLP, loss="mean_squared_error"), "numbers"),
]


@pytest.mark.parametrize(("spec", "kind"), NETWORKS, ids=str)
def test_weights_repeat_rows_in_the_loss_of_networks(spec: models.Model, kind: str) -> None:
    labels = LABELS[kind]
    model: Any = model_for(spec, X, labels)
    y = weighted(model.targets(labels), WEIGHTS)
    repeated = model.targets(labels[REPEATED])
    w = model.initial_parameters()
    by_weight, by_rows = np.empty_like(w), np.empty_like(w)
    loss = model.gradient(w, X, y, out=by_weight)
    assert loss == pytest.approx(model.gradient(w, X[REPEATED], repeated, out=by_rows), rel=1e-5)
    np.testing.assert_allclose(by_weight, by_rows, rtol=1e-3, atol=1e-5)
    same_quality(model.evaluate(w, X, y), model.evaluate(w, X[REPEATED], repeated))
    # Slices of the validation rows may have no weight at all.
    parts = [slice(0, 7), slice(7, 7), slice(7, N)]
    tallies = sum(model.tally(w, X[part], y[part]) for part in parts)
    same_quality(model.judged(tallies), model.evaluate(w, X, y))
    nothing = weighted(model.targets(labels), np.zeros(N, np.float32))
    assert model.evaluate(w, X, nothing).loss == 0
    if kind == "three":  # tables count rows
        counts = counts_of(model.tally(w, X, y), 3)
        assert np.array_equal(counts, model.confusion(w, X, y))
        assert counts is not None
        assert counts.sum() == N


def same_quality(found: Any, expected: Any) -> None:
    assert found.loss == pytest.approx(expected.loss, rel=1e-5)
    assert found.metrics.keys() == expected.metrics.keys()
    assert found.metrics == pytest.approx(expected.metrics, rel=1e-5)
