"""Doubts about a trained model, by the course of its losses."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stepml.job import algorithms, models
from stepml.job.spec import JobSpec
from stepml.ml.doubts import Training, doubts_about_model
from stepml.ml.second_opinion import Better
from tests.support.learning import job_of

DESCENT = job_of(models.LogisticRegression(), algorithms.GradientAveraging())
ADMM = job_of(models.LogisticRegression(), algorithms.Admm())
CLUSTERS = job_of(models.KMeans(n_clusters=4), algorithms.ExpectationMaximisation())
SCALED = msgspec.structs.replace(
    DESCENT, data=msgspec.structs.replace(DESCENT.data, standardise=True)
)
IMAGES = job_of(  # which a network normalises itself
    models.Neural(network="mlp", input_shape=(8, 8)), algorithms.GradientAveraging()
)
GOOD: dict[str, Any] = {
    "losses": [0.5, 0.4, 0.37, 0.36],
    "ended_by": "max_epochs",
    "training_loss": 0.36,
    "validation_rows": 1000,
    "constant_loss": 0.69,
    "first_loss": 0.693,
}


def doubts(job: JobSpec, **changed: Any) -> list[tuple[str, str]]:
    """Return code and text of each warning."""
    fields = GOOD | changed
    training = Training(loss=fields["losses"][-1], **fields)
    return [(warning.code, warning.text) for warning in doubts_about_model(job, training)]


@pytest.mark.parametrize("job", [DESCENT, ADMM, CLUSTERS])
@pytest.mark.parametrize(
    "losses",
    [
        [0.36],
        [0.5, 0.36],
        [0.5, 0.4, 0.37, 0.3695],
        [0.5, 0.4, 0.41, 0.39, 0.395, 0.385, 0.39],  # noise of the steps
        [0.5, 0.1, 1e-3, 2e-3, 1e-3, 2e-3, 1e-3, 2e-3],  # noise near 0
    ],
)
def test_a_good_job_has_no_doubts(job: JobSpec, losses: list[float]) -> None:
    assert doubts(job, losses=losses) == []


def test_a_model_worse_than_the_constant_one() -> None:
    ((code, text),) = doubts(DESCENT, losses=[0.9, 0.8, 0.71, 0.72], training_loss=0.8)
    assert code == "worse_than_constant"
    assert "0.72 is worse than that of a model that ignores the features, 0.69: lower alg" in text
    ((_, text),) = doubts(DESCENT, losses=[4.0, 3.0, 2.0], training_loss=2.5, first_loss=5.0)
    assert text.endswith(
        ": raise stop.max_epochs or algorithm.learning_rate or set data.standardise"
    )  # it is on its way
    ((_, text),) = doubts(DESCENT, losses=[0.7, 0.72, 0.73], training_loss=0.6)
    assert text.endswith("the features may say little about the labels, or the rows are too few")
    ((_, text),) = doubts(ADMM, losses=[0.7, 0.72], training_loss=0.8, ended_by="algorithm")
    assert text.endswith("the features may say little about the labels, or the rows are too few")


def test_a_loss_that_rose() -> None:
    ((code, text),) = doubts(DESCENT, losses=[0.3, 0.4], first_loss=0.2)
    assert code == "loss_rose"
    assert "data.standardise" in text
    ((code, text),) = doubts(IMAGES, losses=[0.3, 0.4], first_loss=0.2)
    assert code == "loss_rose"
    assert "data.standardise" not in text
    assert "from 0.2 to 0.4 in training: lower algorithm.learning_rate" in text
    ((code, text),) = doubts(DESCENT, losses=[0.3, 0.4], first_loss=0.38, training_loss=0.1)
    assert code == "loss_rose"  # on the rows for validation alone
    assert text.endswith("the features may say little about the labels, or the rows are too few")
    assert doubts(CLUSTERS, losses=[2e-13], first_loss=1e-13, constant_loss=3.0) == []


def test_a_loss_that_oscillates() -> None:
    losses = [0.5, 0.3, 0.5, 0.3, 0.5, 0.3, 0.5, 0.3]
    ((code, text),) = doubts(SCALED, losses=losses)
    assert code == "loss_oscillates"
    assert text == (
        "the validation loss rose by more than 5% in 3 of 8 epochs: lower algorithm.learning_rate"
    )


def test_oscillations_that_calm_down_are_no_reason_to_doubt() -> None:
    losses = [0.5, 0.3, 0.5, 0.3, 0.5, 0.3, 0.5, 0.3, 0.3, 0.3, 0.3, 0.3]
    assert doubts(SCALED, losses=losses) == []


def test_a_loss_that_rose_after_the_best_epoch() -> None:
    ((code, text),) = doubts(SCALED, losses=[0.117, 0.135, 0.15, 0.169])
    assert code == "rose_after_best"
    assert text == (
        "the validation loss was 0.117 after epoch 1, and is 0.169: set stop.keep to 'best' or "
        "raise model.l2"
    )
    assert doubts(SCALED, losses=[0.117, 0.12]) == []


def test_a_model_kept_for_another_metric_may_have_a_larger_loss_than_other_epochs() -> None:
    stop = msgspec.structs.replace(SCALED.stop, metric="auc", keep="best")
    job = msgspec.structs.replace(SCALED, stop=stop)
    losses = [0.5, 0.2, 0.37, 0.36]  # the last one is that of the model
    assert doubts(job, losses=losses, better=Better(0.199, 12_000)) == []
    ((code, _),) = doubts(job, losses=losses, better=Better(0.1, 12_000))
    assert code == "not_converged"


@pytest.mark.parametrize(
    ("job", "changed", "advice"),
    [
        (SCALED, {}, "raise stop.max_epochs or algorithm.learning_rate"),
        (DESCENT, {}, "raise stop.max_epochs or algorithm.learning_rate or set data.standardise"),
        (SCALED, {"ended_by": "max_seconds"}, "raise stop.max_seconds or algorithm.learning_rate"),
        (
            SCALED,
            {"ended_by": "tolerance"},
            "lower stop.tolerance or raise algorithm.learning_rate",
        ),
        (
            SCALED,
            {"losses": [0.5, 0.4, 0.39, 0.4]},
            "raise stop.max_epochs or set algorithm.schedule to 'cosine'",
        ),
        (ADMM, {}, "raise stop.max_epochs or change algorithm.rho or set data.standardise"),
        (IMAGES, {}, "raise stop.max_epochs or algorithm.learning_rate"),
    ],
)
def test_a_loss_that_can_fall(job: JobSpec, changed: dict[str, Any], advice: str) -> None:
    ((code, text),) = doubts(job, better=Better(0.3, 12_000), **changed)
    assert code == "not_converged"
    assert "to 0.3 or less, as a few steps of L-BFGS on 12,000 training rows show" in text
    assert text.endswith(f": {advice}")


def test_clusters_whose_inertia_still_falls() -> None:
    falling = {"losses": [10.0, 8.0, 6.5, 5.5], "first_loss": 12.0, "constant_loss": 20.0}
    ((code, text),) = doubts(CLUSTERS, **falling)
    assert code == "not_converged"
    assert "5.5 still falls, by about 36% in the epochs to come: raise stop.max_epochs" in text
    assert doubts(CLUSTERS, **falling | {"ended_by": "algorithm"}) == []
    for end in (0.0, 1e-300):  # a cluster for each row
        assert doubts(CLUSTERS, **falling | {"losses": [3.0, 1.0, end]}) == []
    ((_, text),) = doubts(CLUSTERS, **falling | {"losses": [10.0, 5.0, 0.1]})
    assert "0.1 still falls, by about 100% in" in text
    assert doubts(CLUSTERS, **falling | {"losses": [10.0, 8.0, 7.9, 7.89]}) == []


SLOW = [0.2 + 0.5 * 0.95**epoch for epoch in range(1, 51)]  # ends 0.038 above its limit


@pytest.mark.parametrize("job", [DESCENT, ADMM])
def test_a_long_course_that_still_falls(job: JobSpec) -> None:
    ((code, text),) = doubts(job, losses=SLOW)
    assert code == "not_converged"
    assert "0.238472 still falls, by about 16% in the epochs to come: raise stop.max_epochs" in text
    assert doubts(job, losses=SLOW, ended_by="algorithm") == []
    assert doubts(job, losses=[*SLOW, SLOW[-1] + 1e-6]) == []  # as noise does at a minimum
    assert doubts(job, losses=[0.2 + 0.5 * 0.8**epoch for epoch in range(1, 51)]) == []
    assert doubts(job, losses=SLOW[:29]) == []  # nobody knows yet
    assert doubts(IMAGES, losses=SLOW) == []  # a network may always fit its rows better


def test_a_model_no_better_than_the_constant_one() -> None:
    ((code, text),) = doubts(DESCENT, losses=[0.69, 0.689])
    assert code == "no_better_than_constant"
    assert text.endswith("the features may say little about the labels")
    assert doubts(DESCENT, losses=[0.69, 0.68]) == []
    assert doubts(DESCENT, losses=[0.69, 0.68], validation_rows=20) != []  # cannot be told apart
    ((_, text),) = doubts(CLUSTERS, losses=[0.69, 0.69])
    assert "one cluster" in text
    assert doubts(DESCENT, losses=[0.69, 0.689], constant_loss=None) == []


@pytest.mark.parametrize(
    ("penalties", "reason"),
    [
        ({"l2": 0.5}, "the labels"),
        ({"l2": 0.6}, "the labels, or model.l2 is too large"),
        ({"l1": 0.1}, "the labels, or model.l1 is too large"),
        ({"l1": 9, "l2": 9}, "the labels, or model.l1 is too large, or model.l2 is too large"),
    ],
)
def test_a_strong_penalty_may_be_the_reason(penalties: dict[str, float], reason: str) -> None:
    job = job_of(models.LogisticRegression(**penalties), algorithms.Admm())
    ((code, text),) = doubts(job, losses=[0.69, 0.689])
    assert code == "no_better_than_constant"
    assert text.endswith(f"the features may say little about {reason}")
    ((code, text),) = doubts(job, losses=[0.7, 0.71], training_loss=0.6)
    assert text.endswith(f"about {reason}, or the rows are too few")


def test_clusters_without_rows() -> None:
    at_rest = [0.5, 0.37, 0.36, 0.36]
    assert doubts(CLUSTERS, losses=at_rest, empty_clusters=1) == [
        ("empty_clusters", "1 cluster has no rows: lower model.n_clusters")
    ]
    ((_, text),) = doubts(CLUSTERS, losses=at_rest, empty_clusters=3)
    assert text.startswith("3 clusters have no rows")
