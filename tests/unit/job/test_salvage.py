"""All mistakes of a job at once, and no consequences of them."""

from __future__ import annotations

from typing import Any

import pytest

from stepml.job.salvage import salvaged

JOB: dict[str, Any] = {"data": {"uri": "data/x.csv"}, "model": {"name": "logistic_regression"}}


def test_a_right_job_is_returned_as_it_is() -> None:
    spec, mistakes = salvaged(JOB)
    assert spec is not None
    assert mistakes == []


def test_mistakes_of_structure_and_contradictions_come_together() -> None:
    document = JOB | {
        "data": {"uri": "data/x.csv", "labels": "y", "stratify": True, "validation_fraction": 0},
        "workers": 0,
    }
    spec, mistakes = salvaged(document)
    assert spec is not None
    fields = [each.partition(":")[0] for each in mistakes]
    assert fields == ["data", "workers", "data.stratify"]
    assert document["workers"] == 0


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"algorithm": {"name": "admn", "rho": 1}}, ["algorithm.name: expected one of:"]),
        ({"model": {"name": "logistc_regression"}}, ["model.name: expected one of:"]),
        ({"data": {"uri": "./x.csv"}}, ["data.uri: expected a string like"]),
        ({"data": 3}, ["data: expected an object, got 3"]),
    ],
)
def test_the_removal_of_a_wrong_field_is_no_mistake(
    change: dict[str, Any], expected: list[str]
) -> None:
    _, mistakes = salvaged(JOB | change)
    assert len(mistakes) == len(expected)
    assert all(each.startswith(begin) for each, begin in zip(mistakes, expected, strict=True))


@pytest.mark.parametrize("document", [None, [], "job", 3, {}])
def test_what_is_no_job_has_a_mistake(document: object) -> None:
    spec, mistakes = salvaged(document)
    assert spec is None
    assert mistakes
