"""The mistakes that people make in a job, and the messages that they get."""

from __future__ import annotations

import copy
import json
import time
from typing import Any

import pytest

from stepml.job.errors import InvalidJobError
from stepml.job.explanations import MOST_MISTAKES
from stepml.job.parse import parse_job
from stepml.job.suggestions import nearest

JOB: dict[str, Any] = {
    "data": {"uri": "data/rows.csv", "label": "y"},
    "model": {"name": "logistic_regression"},
    "algorithm": {"name": "model_averaging"},
}


def mistakes(job: Any) -> tuple[str, ...]:
    with pytest.raises(InvalidJobError) as caught:
        parse_job(job)
    assert str(caught.value) == "; ".join(caught.value.mistakes)
    return caught.value.mistakes


def job_with(path: str, value: Any) -> dict[str, Any]:
    job = copy.deepcopy(JOB)
    *groups, name = path.split(".")
    group = job
    for each in groups:
        group = group.setdefault(each, {})
    group[name] = value
    return job


@pytest.mark.parametrize(
    ("field", "meant"),
    [
        ("wokers", "workers"),
        ("Workers", "workers"),
        ("n_workers", "workers"),
        ("world_size", "workers"),
        ("epochs", "stop.max_epochs"),
        ("seed", "data.seed"),
        ("channel", "exchange.channel"),
        ("learning_rate", "algorithm.learning_rate"),
        ("timeout", "stop.max_seconds"),
        ("algorithm.lr", "learning_rate"),
        ("algorithm.learningRate", "learning_rate"),
        ("algorithm.learning-rate", "learning_rate"),
        ("algorithm.optimizer", "optimiser"),
        ("algorithm.epochs", "stop.max_epochs"),
        ("data.standardize", "standardise"),
        ("data.target", "label"),
        ("data.sep", "delimiter"),
        ("data.test_size", "validation_fraction"),
        ("data.random_state", "seed"),
        ("data.workers", "workers"),
        ("stop.tol", "tolerance"),
        ("stop.max_iter", "max_epochs"),
        ("stop.max_cost", "max_cost_usd"),
        ("exchange.staleness", "max_staleness"),
    ],
)
def test_an_unknown_field_has_one_that_is_meant(field: str, meant: str) -> None:
    *group, name = field.split(".")
    (first, *_) = mistakes(job_with(field, 1))

    place = ".".join(group) or "the job"
    assert first == f"{place}: unknown field {name!r} (did you mean {meant!r}?)"


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("comment", "a job has no comments; leave it out"),
        ("name", "a run's name is that of its execution"),
        ("memory_mb", "that is a parameter of the stack"),
        ("zzz", "known: algorithm, code, data, exchange, model,"),
        ("model.C", "known: class_weight, l1, l2, name, positive_class"),
    ],
)
def test_a_field_that_has_no_place_is_explained(field: str, words: str) -> None:
    (found,) = mistakes(job_with(field, "x"))

    assert words in found


@pytest.mark.parametrize(
    ("field", "value", "hint"),
    [
        ("workers", "4", "write 4 without quotes"),
        ("workers", "four", None),
        ("algorithm.learning_rate", "1e-3", "write 1e-3 without quotes"),
        ("stop.max_cost_usd", "$3", "write 3 without quotes"),
        ("stop.max_seconds", "60s", "write 60 without quotes"),
        ("data.standardise", "True", "write true without quotes"),
        ("data.header", "yes", "write true without quotes"),
        ("data.header", 0, "write false"),
        ("data.delimiter", "\\t", r'a tab is written "\t"'),
        ("data.format", "CSV", "did you mean 'csv'?"),
        ("data.encode", "onehot", "did you mean 'one_hot'?"),
        ("data.columns", {"types": {"a": "float"}}, "did you mean 'number'?"),
        ("data", "data/rows.csv", 'write {"uri": "data/rows.csv"}'),
        ("data.uri", ["a.csv"], "give one place; all objects below it, if it ends with /"),
        ("data.uri", "S3://bucket/rows.csv", "write s3://bucket/rows.csv"),
        ("data.uri", "arn:aws:s3:::bucket/rows.csv", "write s3://bucket/rows.csv"),
        ("data.uri", "https://x.org/rows.csv", "copy it to this machine, then: stepml data put"),
        ("data.uri", "./rows.csv", "upload it with: stepml data put ./rows.csv; it prints"),
        ("model", "svm", 'write {"name": "svm"}'),
        ("model.name", "LogisticRegression", "did you mean 'logistic_regression'?"),
        ("model.name", "logreg", "did you mean 'logistic_regression'?"),
        ("model.name", "lr", None),
        ("algorithm", "ADMM", 'write {"name": "admm"}'),
        ("algorithm.name", "ADMM", "did you mean 'admm'?"),
        ("algorithm.name", "adam", "that is a value of algorithm.optimiser"),
        ("exchange", "redis", 'write {"channel": "redis"}'),
        ("exchange.channel", "ps", "did you mean 'parameter_server'?"),
        ("exchange.channel", "Memcache", "did you mean 'memcached'?"),
        ("exchange.channel", "kafka", None),
        ("exchange.pattern", "ScatterReduce", "did you mean 'reduce_scatter'?"),
        ("exchange.compression", "fp16", "did you mean 'float16'?"),
        ("stop", 10, 'write {"max_epochs": 10}'),
        ("stop.metric", "acc", "did you mean 'accuracy'?"),
        ("stop.keep", "BEST", "did you mean 'best'?"),
    ],
)
def test_a_wrong_value_has_what_to_write_instead(field: str, value: Any, hint: str | None) -> None:
    (first, *_) = mistakes(job_with(field, value))

    assert first.startswith(f"{field}")
    assert ": expected " in first
    assert hint is None or f"({hint}" in first
    assert hint is not None or "(" not in first


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([JOB], "the job: expected an object, got it in a list; remove the [ and ]"),
        ({"input": JOB}, "the job: expected its fields, got them within 'input'; give that alone"),
        ({"cells": [], "metadata": {}, "nbformat": 4}, "got only cells, metadata, nbformat"),
        ([], "the job: expected an object, got []"),
        (None, "the job: expected an object, got null"),
        ({}, "data: is required (an object); model: is required (an object)"),
        ({**JOB, "model": {"type": "svm"}}, "model: unknown field 'type' (did you mean 'name'?)"),
        ({**JOB, "model": {}}, "model.name: is required (one of: "),
    ],
)
def test_what_is_no_job_is_explained_at_once(document: Any, words: str) -> None:
    found = mistakes(json.dumps(document))

    assert words in "; ".join(found)
    assert len(found) == words.count("is required") or len(found) == 1


def test_mistakes_of_fields_and_contradictions_come_together() -> None:
    found = mistakes(
        {
            "data": {"url": "./rows.csv", "label": "y", "seed": "1"},
            "model": {"name": "LogisticRegression"},
            "algorithm": {"name": "ADMM", "rho": -1},
            "workers": "4",
            "stop": {"metric": "rmse"},
            "exchange": {"max_staleness": 3, "pattern": "async"},
        }
    )

    assert [each.partition(": ")[0] for each in found] == [
        "data",
        "data.seed",
        "model.name",
        "algorithm.name",
        "workers",
        "data.uri",
        "algorithm.rho",
        "exchange.pattern",
        "exchange.max_staleness",
        "stop.metric",
    ]


def test_consequences_of_a_mistake_are_no_mistakes() -> None:
    unknown = {
        **JOB,
        "algorithm": {"name": "xyz", "rho": 1},
        "exchange": {"compression": "float16"},
    }
    assert len(mistakes(unknown)) == 1
    assert len(mistakes({**JOB, "data": {"path": "data/rows.csv"}})) == 1
    assert (
        len(mistakes({**JOB, "model": {"name": "kmeanz", "n_clusters": 3}, "algorithm": None})) == 1
    )


@pytest.mark.parametrize(
    ("given", "known", "expected"),
    [
        ("Digit", ["pixel", "digit"], "digit"),
        ("digits", ["pixel", "digit"], "digit"),
        ("customer id", ["id", "customer_id"], "customer_id"),
        ("income_total", ["total_income", "income"], "total_income"),
        ("prog", ["age", "progression"], "progression"),
        ("p", ["price", "progression"], None),
        ("pri", ["price", "prior"], None),
        ("tpye", ["time", "type"], "type"),
        ("target", ["age", "sex", "bmi"], None),
        ("", ["a"], None),
        ("größe", ["Größe", "name"], "Größe"),
    ],
)
def test_the_nearest_name_is_one_that_somebody_can_mean(
    given: str, known: list[str], expected: str | None
) -> None:
    assert nearest(given, known) == expected


@pytest.mark.parametrize("field", ["learning_rat{}", "zzz{}"])
@pytest.mark.parametrize("group", ["", "algorithm", "model"])
def test_of_many_mistakes_the_first_are_named_at_once(field: str, group: str) -> None:
    many = {field.format(number): 1 for number in range(20_000)}
    job = {**JOB, group: {**JOB[group], **many}} if group else {**many, **JOB}
    began = time.perf_counter()
    found = mistakes(job)
    assert time.perf_counter() - began < 5
    assert len(found) == MOST_MISTAKES + 1
    assert found[-1] == "there are more mistakes"


@pytest.mark.parametrize("job", [{"l" * 200_000: 1, **JOB}, {"l" * 200_000: 1, "x": 2}])
def test_a_long_name_is_cut(job: dict[str, Any]) -> None:
    began = time.perf_counter()
    assert len(mistakes(job)[0]) < 400
    assert time.perf_counter() - began < 2
