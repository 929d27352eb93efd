"""Doubts about the classes of a model and of the rows that validate it."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from stepml.job import algorithms, models
from stepml.job.data import Validation
from stepml.job.reports import JobWarning
from stepml.job.spec import JobSpec
from stepml.ml.doubts.decisions import Decisions, if_one_validates, if_rarely_predicted
from stepml.ml.models import build_model
from stepml.ml.models.confusion import Totals
from tests.support.learning import job_of

LOGISTIC = models.LogisticRegression()
SOFTMAX = models.SoftmaxRegression()
RARE = [[98, 0], [2, 0]]  # rows of each class by their prediction
NO_BETTER = JobWarning(code="no_better_than_constant", text="…")
NOT_CONVERGED = JobWarning(code="not_converged", text="…")


def decisions(counts: Any, model: models.ModelSpec = LOGISTIC, labels: Any = None) -> Decisions:
    counts = np.array(counts)
    labels = tuple(labels or range(len(counts)))
    totals = Totals.of(counts), Totals.of(10 * counts)
    return Decisions.of(build_model(model, 2, labels, [1] * len(labels)), *totals)


def never(
    counts: Any,
    model: models.ModelSpec = LOGISTIC,
    about_loss: JobWarning | None = None,
    labels: Any = None,
    metric: str = "loss",
) -> list[str]:
    job = job_of(model, algorithms.Admm())
    job = msgspec.structs.replace(job, stop=msgspec.structs.replace(job.stop, metric=metric))
    found = if_rarely_predicted(job, decisions(counts, model, labels), about_loss)
    assert {each.code for each in found} <= {"rarely_predicted"}
    return [each.text for each in found]


SHARE = "class 1, 2% of the rows, is never predicted, so the accuracy, 0.98, is only the share of"
BALANCE = "set model.class_weight to 'balanced'"


@pytest.mark.parametrize(
    ("model", "advice"),
    [
        (LOGISTIC, f"{BALANCE}; if only scores matter, set stop.metric to 'average_precision'"),
        (
            models.Svm(loss="squared_hinge"),
            f"{BALANCE}; if only scores matter, set stop.metric to 'average_precision'",
        ),
        (SOFTMAX, f"{BALANCE}; if only scores matter, set stop.metric to 'log_loss'"),
        (
            models.LogisticRegression(class_weight="balanced"),
            "the features may say little about it",
        ),
        (models.Svm(class_weight={"1": 2}), "raise the weight in model.class_weight"),
    ],
)
def test_a_class_that_is_rarely_predicted_is_named_with_a_cure(
    model: models.ModelSpec, advice: str
) -> None:
    assert never(RARE, model) == [f"{SHARE} class 0: {advice}"]


def test_classes_that_are_all_predicted_are_no_reason_to_doubt() -> None:
    assert never([[97, 1], [2, 0]]) == []
    assert never([[97, 0], [2, 1]]) == []
    assert never([[900, 10], [90, 0]]) == []
    assert never([[100, 0], [0, 0]]) == []  # no row has the other one


@pytest.mark.parametrize("metric", ["auc", "average_precision", "log_loss"])
def test_a_job_that_is_judged_by_scores_needs_no_decisions(metric: str) -> None:
    assert never(RARE, metric=metric) == []


def test_a_class_that_is_hardly_ever_predicted_is_said_too() -> None:
    assert never([[900, 5], [95, 0]])[0].startswith(
        f"class 1, 9.5% of the rows, is hardly ever predicted: {BALANCE}"
    )
    job = job_of(LOGISTIC, algorithms.Admm())
    validation, trained = (Totals.of(np.array(each)) for each in (RARE, [[980, 0], [19, 1]]))
    found = Decisions.of(build_model(LOGISTIC, 2, (0, 1)), validation, trained)
    (warning,) = if_rarely_predicted(job, found, None)
    assert warning.text.startswith(
        "class 1, 2% of the rows, is hardly ever predicted, so the accuracy, 0.98, is only the "
        "share of class 0: set"
    )


def test_a_class_that_no_validation_row_is_predicted_to_be_is_said() -> None:
    trained = Totals.of(np.array([[900, 40], [40, 20]]))
    for rows, is_said in ((4, False), (5, True)):
        validation = Totals.of(np.array([[95, 0], [rows, 0]]))
        found = Decisions.of(build_model(LOGISTIC, 2, (0, 1)), validation, trained)
        assert bool(found.missed) == is_said


def test_several_classes_are_listed() -> None:
    rows = np.zeros((9, 9), int)
    rows[:, :2] = 10
    assert never([[50, 0, 0], [0, 40, 0], [5, 5, 0]], SOFTMAX)[0].startswith(
        f"class 2, 10% of the rows, is never predicted: {BALANCE}"
    )
    assert never([[50, 0, 0], [40, 0, 0], [10, 0, 0]], SOFTMAX)[0].startswith(
        "class 1 and class 2, 50% of the rows, are never predicted, so the accuracy, 0.5, is"
    )
    assert never(rows, SOFTMAX)[0].startswith(
        "class 2, class 3, class 4, class 5, class 6 and 2 more, 78% of the rows, are never"
    )


def test_one_class_against_the_rest_is_named_by_its_label() -> None:
    model = models.LogisticRegression(positive_class=7)
    assert never([[97, 0], [3, 0]], model, labels=(5, 6, 7))[0].startswith(
        "label 7, 3% of the rows, is never predicted, so the accuracy, 0.97, is only the share of "
        "the other labels: set"
    )


def test_without_a_cure_the_share_is_said_all_the_same() -> None:
    assert never(RARE, about_loss=NOT_CONVERGED) == [f"{SHARE} class 0"]
    assert never(RARE, about_loss=NO_BETTER) == [
        f"{SHARE} class 0: the features may say little about it, or {BALANCE}"
    ]


def test_weights_are_not_suggested_for_classes_with_many_rows() -> None:
    (text,) = never([[50, 0], [40, 0]])
    assert text.endswith("only the share of class 0: the features may say little about it")
    (text,) = never([[50, 0], [40, 0]], models.LogisticRegression(class_weight={"1": 0}))
    assert text.endswith(": raise the weight in model.class_weight")


def only_one(job: JobSpec) -> str:
    warning = if_one_validates(job, decisions([[40, 0], [0, 0]]))
    assert warning is not None
    assert warning.code == "one_class_validates"
    return warning.text


def test_validation_rows_of_one_class_are_said() -> None:
    job = job_of(LOGISTIC, algorithms.Admm())
    assert only_one(job) == (
        "all validation rows are of class 0, so loss and metrics say little: set data.stratify or "
        "raise data.validation_fraction"
    )
    own = msgspec.structs.replace(job.data, validation=Validation(uri="s3://b/x"))
    assert only_one(msgspec.structs.replace(job, data=own)).endswith(
        ": choose others in data.validation"
    )
    stratified = msgspec.structs.replace(job.data, stratify=True)
    assert only_one(msgspec.structs.replace(job, data=stratified)).endswith(
        ": raise data.validation_fraction"
    )
    assert if_one_validates(job, decisions(RARE)) is None
    assert if_one_validates(job, None) is None
