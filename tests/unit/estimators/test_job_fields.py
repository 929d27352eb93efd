"""Parameters of estimators become the fields of a job, each once."""

from __future__ import annotations

from typing import Any

import pytest

import stepml
from stepml.estimators.job_fields import group, merged, name_of, rest_of_job
from stepml.job.errors import InvalidJobError


@pytest.mark.parametrize("chosen", ["svm", {"name": "svm"}, stepml.Svm()])
def test_a_model_is_a_name_fields_or_a_type(chosen: Any) -> None:
    found = group(chosen, {"l1": 0.1, "class_weight": None}, "model")
    assert found is not None
    assert (found["name"], found["l1"]) == ("svm", 0.1)
    assert found.get("class_weight") is None


@pytest.mark.parametrize("chosen", [stepml.Svm, 3, ["svm"]])
def test_what_is_no_model_is_refused(chosen: Any) -> None:
    assert name_of(chosen) == ""
    with pytest.raises(InvalidJobError, match=r"model: expected a name, a mapping .*, got "):
        group(chosen, {}, "model")


@pytest.mark.parametrize("chosen", [{"nam": "svm"}, {"name": 3}, {}])
def test_a_group_without_its_name_is_refused(chosen: Any) -> None:
    with pytest.raises(InvalidJobError, match=r"model\.name: expected the name of a model, got "):
        group(chosen, {}, "model")


def test_a_group_that_is_left_open_has_no_fields() -> None:
    assert group(None, {"learning_rate": None}, "algorithm") is None
    with pytest.raises(InvalidJobError, match="learning_rate: depends on the algorithm") as caught:
        group(None, {"learning_rate": 0.1}, "algorithm")
    assert "model_averaging" in str(caught.value)
    assert "least_squares" not in str(caught.value)  # which has no such field


def test_groups_are_merged_field_by_field() -> None:
    own = {"workers": 2, "stop": {"max_epochs": 3}, "model": {"name": "svm"}}
    rest = {"stop": {"patience": 2}, "workers": 2, "strict": True}
    assert merged(own, rest) == {
        "workers": 2,
        "stop": {"max_epochs": 3, "patience": 2},
        "model": {"name": "svm"},
        "strict": True,
    }
    assert own["stop"] == {"max_epochs": 3}


def test_a_field_has_one_value() -> None:
    with pytest.raises(InvalidJobError, match=r"stop.max_epochs: is given twice, as 3 and as 4"):
        merged({"stop": {"max_epochs": 3}}, {"stop": {"max_epochs": 4}})


@pytest.mark.parametrize("field", ["uri", "label", "format", "has_label", "weight"])
def test_a_job_does_not_name_the_rows_of_a_fit(field: str) -> None:
    with pytest.raises(InvalidJobError, match=f"job: data.{field} comes from the rows"):
        rest_of_job({"data": {field: "x"}})
    assert rest_of_job({"data": {"on_bad_row": "skip"}}) == {"data": {"on_bad_row": "skip"}}
