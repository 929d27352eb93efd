"""A classifier gives labels back as they were, whatever a job stores for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stepml.estimators.labels import Labels

KINDS: list[tuple[list[Any], str]] = [
    (["no", "yes"], "U"),
    ([False, True], "b"),
    ([-1, 1], "i"),
    ([0.0, 3.0], "i"),
    ([-(2**40), 2**40], "i"),
]
# A job would take them for something else, or as one.
CODED: list[list[Any]] = [
    ["1", "2"],
    ["1e3", "two"],
    ["True", "False"],
    ["NA", "b"],
    ["", "b"],
    ["a", " a"],
    ["a\0c", "b"],
    ["a", "b\ud800"],
    [0, 2**60],
]


def labels_of(values: list[Any]) -> Labels:
    return Labels.of(np.unique(np.array(values)))


@pytest.mark.parametrize(("values", "kind"), KINDS)
def test_a_job_stores_labels_that_it_knows_as_they_are(values: list[Any], kind: str) -> None:
    labels = labels_of(values)
    assert labels.stored.dtype.kind == kind
    assert labels.stored.tolist() == values


@pytest.mark.parametrize("values", CODED)
def test_a_job_stores_positions_of_other_labels(values: list[Any]) -> None:
    assert labels_of(values).stored.tolist() == [0, 1]


@pytest.mark.parametrize("values", [*CODED, *(values for values, _ in KINDS)])
def test_labels_come_back_as_they_were(values: list[Any]) -> None:
    y = np.array([*values, values[0]])
    labels = Labels.of(np.unique(y))
    stored = labels.encoded(y)
    learnt = np.unique(stored)
    back = labels.known(learnt)[np.searchsorted(learnt, stored)]
    assert back.tolist() == y.tolist()
    assert back.dtype == y.dtype


def test_a_model_may_know_fewer_classes() -> None:
    labels = labels_of(["a", "b", "c"])
    assert labels.known(np.array(["a", "c"])).tolist() == ["a", "c"]


def test_weights_are_those_of_the_stored_labels() -> None:
    assert labels_of([False, True]).named({True: 2}) == {"True": 2.0}
    assert labels_of([1.0, 2.0]).named({2: 3, 1.0: 1}) == {"2": 3.0, "1": 1.0}
    assert labels_of(["1", "2"]).named({"2": 3}) == {"1": 3.0}
    with pytest.raises(ValueError, match=r"labels among \['no', 'yes'\], got 'maybe'"):
        labels_of(["no", "yes"]).named({"maybe": 1})
