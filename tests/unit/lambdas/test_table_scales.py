"""Tables with categories: scaled numbers, filled levels, in dense and in sparse shards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from lambdas.job_store.shards import load_shard
from stepml.job.errors import StepMLError
from stepml.trained.rows import dense
from tests.support.jobs import Job
from tests.support.real_tables import as_csv
from tests.support.trainings import job_on, model_of, run

RNG = np.random.default_rng(0)
N_ROWS = 600


def table() -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "age": np.where(RNG.random(N_ROWS) < 0.1, np.nan, RNG.normal(40, 10, N_ROWS).round(1)),
            "income": RNG.lognormal(10, 1, N_ROWS).round(0),
            "colour": RNG.choice(["red", "green", None], N_ROWS, p=[0.5, 0.4, 0.1]),
            "town": [f"town {each}" for each in RNG.integers(0, 40, N_ROWS)],
        }
    )
    signal = frame.age.fillna(40) / 10 + 2 * (frame.colour == "red")
    return frame.assign(y=np.where(signal + RNG.normal(size=N_ROWS) > 5, "yes", "no"))


TABLE = table()


def trained(**data: Any) -> Job:
    job = job_on(as_csv(TABLE), data={"label": "y", **data}, model={"name": "logistic_regression"})
    run(job)
    return job


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"missing": {"colour": "most_frequent", "age": "median"}},
        {"missing_indicator": True, "missing": "zero"},
        {"scale": {"income": "robust", "a*": "min_max"}},
        {"scale": "min_max", "encode": {"town": "ordinal"}},
        {"encode": {"town": "hash"}, "hash_width": 16, "missing": "most_frequent"},
    ],
)
def test_dense_and_sparse_shards_of_a_table_give_one_model(data: dict[str, Any]) -> None:
    jobs = [trained(matrix=matrix, **data) for matrix in ("dense", "sparse")]
    dense, sparse = (model_of(job) for job in jobs)
    plans = [job.training_plan() for job in jobs]
    assert [each.matrix for each in plans] == ["dense", "sparse"]
    # Numbers are always scaled, whatever most features look like.
    assert all(each.spec.data.rescales for each in plans)
    np.testing.assert_allclose(dense.coef_, sparse.coef_, rtol=0.02, atol=1e-3)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"missing": {"colour": "most_frequent", "age": "median"}, "scale": {"income": "robust"}},
        {"missing": "zero", "encode": "ordinal", "dates": ["year", "weekday"]},
        {"missing_indicator": True, "columns": {"uninformative": "drop"}},
    ],
)
def test_the_torch_module_of_a_table_prepares_its_rows_alike(data: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    days = pd.date_range("2020-01-01", periods=N_ROWS).astype(str)
    frame = TABLE.drop(columns="y").assign(day=days, one=1)
    job = job_on(
        as_csv(frame.assign(y=TABLE.y)),
        data={"label": "y", **data},
        model={"name": "logistic_regression"},
    )
    run(job)
    model = model_of(job)
    rows = pd.concat([frame, pd.DataFrame({each: [None] for each in frame})])
    with torch.inference_mode():
        found = model.module()(torch.from_numpy(model.encode(rows)))
    expected = model.decision_function(rows)
    np.testing.assert_allclose(found.numpy().ravel(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("matrix", ["dense", "sparse"])
def test_missing_levels_are_filled_in_although_no_number_is_scaled(matrix: str) -> None:
    levels = TABLE[["colour", "town"]]
    known = levels.assign(colour=TABLE.colour.fillna(TABLE.colour.mode()[0]))
    for missing in ("most_frequent", "zero"):
        data = {"label": "y", "missing": missing, "matrix": matrix}
        content = as_csv(levels.assign(y=TABLE.y))
        job = job_on(content, data=data, model={"name": "logistic_regression"})
        run(job)
        model = model_of(job)
        assert not job.training_plan().spec.data.rescales
        assert model.score(levels, TABLE.y) > 0.65
        if missing == "most_frequent":
            assert np.array_equal(model.decision_function(levels), model.decision_function(known))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"missing": {"colour": "mean"}}, "data.missing: 'colour' is a category"),
        ({"missing": {"colour": 3}}, "expected fail, zero or most_frequent"),
        ({"encode": "hash", "missing": {"colour": "most_frequent"}}, "expected fail or zero"),
        ({"missing": {"colou": "zero"}}, "did you mean 'colour'"),
        ({"scale": {"colour": "robust"}}, "data.scale: column 3 ('colour') is a category"),
        ({"scale": {"incom*e": "none", "agge": "none"}}, "is 'agge' (did you mean 'age'?)"),
    ],
)
def test_what_a_column_cannot_have_is_refused_by_name(data: dict[str, Any], message: str) -> None:
    with pytest.raises(StepMLError) as caught:
        trained(**data)
    assert message in str(caught.value)


IDENTIFIED = pd.DataFrame(
    {
        "id": RNG.permutation(N_ROWS) + 1000,
        "name": [f"name {each}" for each in range(N_ROWS)],
        "nothing": np.full(N_ROWS, np.nan),
        "same": "x",
        "one": 1.0,
        "few": RNG.integers(0, 3, N_ROWS),
    }
).join(TABLE[["age", "y"]])


@pytest.mark.parametrize("matrix", ["auto", "dense", "sparse"])
@pytest.mark.parametrize("scale", ["none", "standardise"])
def test_columns_that_say_nothing_are_left_out_by_option(matrix: str, scale: str) -> None:
    fields = {"label": "y", "matrix": matrix, "scale": scale}
    model = {"name": "logistic_regression"}
    found = []
    for table, columns in (
        (IDENTIFIED, {"uninformative": "drop"}),
        (IDENTIFIED, {"use": ["few", "age"]}),
    ):
        job = job_on(as_csv(table), data={**fields, "columns": columns}, model=model)
        run(job)
        found.append(job)
    dropped, chosen = map(model_of, found)
    names = dict(zip(dropped.card["features"], dropped.coef_[0], strict=True))
    assert [names[each] for each in ("id", "nothing", "one", "same=x")] == [0] * 4
    assert not any("name" in each for each in names)
    expected = dict(zip(chosen.card["features"], chosen.coef_[0], strict=True))
    for name, slope in expected.items():
        assert names[name] == pytest.approx(slope, rel=0.02)
    rows = IDENTIFIED.drop(columns=["name", "y"])
    expected_values = chosen.decision_function(IDENTIFIED[["few", "age"]])
    assert dropped.decision_function(rows) == pytest.approx(expected_values, rel=0.05, abs=0.01)
    notes = found[0].training_plan().about.notes
    assert any("column 2 ('name') has a level for almost each row" in each for each in notes)
    left_out = next(each for each in notes if "are left out" in each)
    assert left_out.startswith("4 features are left out: column 1 ('id'), column 3 ('nothing')")


def test_an_identifier_is_noted() -> None:
    job = job_on(as_csv(IDENTIFIED), data={"label": "y"}, model={"name": "logistic_regression"})
    job.initialised()
    note = "column 2 ('name') has 600 levels in 600 rows, like an identifier"
    assert any(each.startswith(note) for each in job.training_plan().about.notes)


def test_times_that_are_close_together_keep_their_digits_beside_many_levels() -> None:
    towns = [f"town {each % 50}" for each in range(N_ROWS)]
    for step, kind in (("s", "dense"), ("D", "sparse")):
        times = pd.date_range("2023-11-14 22:13:20", periods=N_ROWS, freq=step)
        frame = pd.DataFrame({"time": times.astype(str), "town": towns, "y": TABLE.y})
        job = job_on(as_csv(frame), data={"label": "y"}, model={"name": "logistic_regression"})
        job.initialised()
        plan = job.training_plan()
        assert plan.matrix == kind
        X = dense(load_shard(job.store, plan, 0).X)
        assert len(np.unique(X[:, 0])) == len(X)
