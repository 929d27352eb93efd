"""Jobs built in Python: the same values, messages and JSON as those of a file."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

import stepml
from stepml.job.algorithms import ALGORITHMS
from stepml.job.building import builder
from stepml.job.errors import InvalidJobError
from stepml.job.models import MODELS
from stepml.job.networks import NETWORKS
from stepml.job.parse import parse_job
from stepml.job.spec import JobSpec
from stepml.job.spec_base import SpecGroup
from stepml.job.written import object_json, written

DATA = {"uri": "data/x.csv", "label": "y"}
TYPES: dict[str, dict[str, type[SpecGroup]]] = {
    "model": MODELS,
    "algorithm": ALGORITHMS,
    "network": NETWORKS,
}


def job(**fields: Any) -> JobSpec:
    data: Any = stepml.Data(**DATA)
    return stepml.Job(**{"data": data, "model": stepml.LogisticRegression(), **fields})


@pytest.mark.parametrize(
    "group", [each for kind in TYPES.values() for each in kind.values()], ids=lambda it: it.__name__
)
def test_every_type_of_the_spec_has_its_name(group: type[SpecGroup]) -> None:
    stand_in = getattr(stepml, group.__name__)

    assert group.__name__ in stepml.__all__
    assert stand_in.of is group
    assert stand_in.__doc__ == group.__doc__


@pytest.mark.parametrize(
    ("build", "document"),
    [
        (lambda: job(data=stepml.Data(uri="x", typo=1)), {"data": {"uri": "x", "typo": 1}}),
        (lambda: stepml.Stop(max_epochs=0), {"stop": {"max_epochs": 0}}),
        (lambda: stepml.Exchange(channel="s4"), {"exchange": {"channel": "s4"}}),
        (
            lambda: stepml.Columns(types={"a": "word"}),
            {"data": {**DATA, "columns": {"types": {"a": "word"}}}},
        ),
        (lambda: stepml.KMeans(k=3), {"model": {"name": "kmeans", "k": 3}}),
        (lambda: job(workers=0, typo=1), {"workers": 0, "typo": 1}),
        (
            lambda: job(model=stepml.KMeans(n_clusters=2), algorithm=stepml.Admm()),
            {"model": {"name": "kmeans", "n_clusters": 2}, "algorithm": {"name": "admm"}},
        ),
        (lambda: job(data="data/x.csv"), {"data": "data/x.csv"}),
    ],
)
def test_what_is_wrong_is_refused_at_once_as_in_json(
    build: Callable[[], object], document: dict[str, Any]
) -> None:
    whole = {"data": DATA, "model": {"name": "logistic_regression"}, **document}
    with pytest.raises(InvalidJobError) as of_json:
        parse_job(json.dumps(whole))

    with pytest.raises(InvalidJobError) as of_python:
        build()

    assert str(of_python.value) == str(of_json.value)


def test_the_json_of_a_job_is_what_was_written() -> None:
    built = job(algorithm=stepml.ModelAveraging(learning_rate=0.1), stop=stepml.Stop(max_epochs=3))

    document = json.loads(object_json(built))

    assert document == {
        "data": DATA,
        "model": {"name": "logistic_regression"},
        "algorithm": {"name": "model_averaging", "learning_rate": 0.1},
        "stop": {"max_epochs": 3},
    }
    assert parse_job(document) == built


def test_every_default_is_left_out_and_comes_back() -> None:
    built = job(model=stepml.Neural(network=stepml.Mlp(hidden=(3,)), input_shape=(4,)))

    assert parse_job(object_json(built)) == built
    assert msgspec.json.decode(msgspec.json.encode(built), type=JobSpec) == built


def test_numbers_of_numpy_and_tuples_are_accepted() -> None:
    network = stepml.Mlp(hidden=np.array([3, 4]))
    algorithm = stepml.ModelAveraging(learning_rate=np.float32(0.5), batch_size=np.int64(10))

    assert (network.hidden, algorithm.learning_rate, algorithm.batch_size) == ((3, 4), 0.5, 10)
    assert json.loads(object_json({"workers": np.int64(2), "data": stepml.Data(**DATA)})) == {
        "workers": 2,
        "data": DATA,
    }


def test_what_has_no_json_is_refused_with_its_field() -> None:
    with pytest.raises(InvalidJobError, match=r"^data\.uri: expected a value of JSON.*, got set$"):
        object_json({"data": {"uri": {1}}})
    endless: dict[str, Any] = {}
    endless["data"] = endless
    with pytest.raises(InvalidJobError, match="nested too deeply"):
        object_json(endless)


def test_a_stand_in_behaves_as_the_type() -> None:
    built = job()

    assert isinstance(built, stepml.Job)
    assert isinstance(built.data, stepml.Data)
    assert not isinstance(built.model, stepml.Svm)
    assert issubclass(stepml.Svm, stepml.Svm)
    assert pickle.loads(pickle.dumps(built)) == copy.deepcopy(built) == built
    assert repr(stepml.Stop(max_epochs=3)).startswith("Stop(max_epochs=3")
    with pytest.raises(TypeError, match="Data: fields are given by name, such as uri="):
        stepml.Data("data/x.csv")  # type: ignore[misc]


def test_a_group_inside_another_one_may_be_a_mapping() -> None:
    built = builder(JobSpec, "Job")(data=DATA, model={"name": "logistic_regression"}, workers=2)

    assert built == job(workers=2)
    assert written(built) == {
        "data": DATA,
        "model": {"name": "logistic_regression"},
        "workers": 2,
    }
