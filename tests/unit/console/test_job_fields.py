"""The form of a job has all fields of its schema, and takes and gives their values."""

from __future__ import annotations

from typing import Any

import pytest

from stepml.client.examples import examples
from stepml.console.job_fields import Field, Group, field_of, grouped, job_form
from stepml.console.job_values import text_of, value_at, value_of, with_value
from stepml.job.algorithms import ALGORITHMS
from stepml.job.models import MODELS
from stepml.job.salvage import salvaged
from stepml.job.schema import SCHEMA_FIELD, group_schema

JOB: dict[str, Any] = {"data": {"uri": "data/rows.csv"}, "model": {"name": "kmeans"}}


def every_field(job: dict[str, Any]) -> dict[str, Field]:
    return {".".join(each.path): each for each in job_form(job).all_fields()}


def names(group: Group) -> list[str]:
    return [each.path[-1] for each in (*group.fields, *group.groups)]


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_is_chosen_has_its_fields_and_no_others(name: str) -> None:
    job = {**JOB, "model": {"name": name}}
    model = next(each for each in job_form(job).groups if each.path == ("model",))
    assert sorted(names(model)) == sorted(group_schema(("model",), job)["properties"])


def test_a_group_whose_variant_is_open_has_only_the_choice() -> None:
    groups = {each.path: each for each in job_form({}).groups}
    assert names(groups["model",]) == ["name"]
    assert set(groups["model",].fields[0].choices) == set(MODELS)
    assert set(groups["algorithm",].fields[0].choices) == set(ALGORITHMS)
    assert groups["algorithm",].fields[0].default == "chosen by model"


def test_the_schema_for_editors_is_no_field() -> None:
    assert SCHEMA_FIELD not in every_field(JOB)


def test_only_what_a_job_needs_is_required() -> None:
    job = {**JOB, "algorithm": {"name": "admm"}}
    required = {name for name, each in every_field(job).items() if each.is_required}
    assert required >= {"data.uri", "model.name", "model.n_clusters"}
    assert not {"workers", "exchange.channel", "stop.max_epochs"} & required


@pytest.mark.parametrize("example", examples(), ids=lambda each: str(each.name))
def test_every_example_goes_through_the_form_unchanged(example: Any) -> None:
    job = example.job
    filled: dict[str, Any] = {}
    for field in _in_order(job):
        text = text_of(field, value_at(grouped(job), field.path))
        filled = with_value(filled, field.path, value_of(field, text))
    assert salvaged(filled) == salvaged(job)


def _in_order(job: dict[str, Any]) -> list[Field]:
    return [each for each in job_form(job).all_fields() if value_at(grouped(job), each.path)]


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("workers", "8", 8),
        ("workers", "eight", "eight"),  # refused by the check, with the field
        ("workers", "1e400", "1e400"),
        ("code", "code/a.zip", "code/a.zip"),
        ("strict", "true", True),
        ("data.label", "-1", -1),
        ("data.label", '"-1"', "-1"),
        ("data.label", "true", "true"),
        ("data.uri", "17", "17"),
        ("data.delimiter", " ", " "),
        ("data.delimiter", '"\\t"', "\t"),
        ("data.dates", "seconds", "seconds"),
        ("data.dates", "year, month", ["year", "month"]),
        ("data.columns.use", "age", ["age"]),
        ("data.columns.types", '{"a": "number"}', {"a": "number"}),
        ("data.missing", "0.5", 0.5),
        ("data.missing", "mean", "mean"),
        ("data.missing", '{"a*": "zero"}', {"a*": "zero"}),
        ("data.zero_based", "auto", "auto"),
        ("data.zero_based", "false", False),
        ("data.missing_words", "-, n/a", ["-", "n/a"]),
    ],
)
def test_a_text_means_the_value_that_the_field_may_have(path: str, text: str, value: Any) -> None:
    field = every_field(JOB)[path]
    assert value_of(field, text) == value
    assert value_of(field, text_of(field, value)) == value


def test_an_empty_text_leaves_the_field_out_and_empty_groups_with_it() -> None:
    job = with_value(JOB, ("stop", "max_epochs"), 3)
    assert job["stop"] == {"max_epochs": 3}
    assert with_value(job, ("stop", "max_epochs"), value_of(every_field(JOB)["workers"], "")) == JOB


def test_another_variant_has_the_fields_that_both_have() -> None:
    job = {**JOB, "algorithm": {"name": "gradient_averaging", "batch_size": 5, "accumulate": 2}}
    changed = with_value(job, ("algorithm", "name"), "model_averaging")
    assert changed["algorithm"] == {"name": "model_averaging", "batch_size": 5}
    assert "algorithm" not in with_value(job, ("algorithm", "name"), None)


def test_a_text_in_place_of_a_group_is_the_group() -> None:
    job = {**JOB, "resume_from": "older", "model": {"name": "neural", "network": "mlp"}}
    assert grouped(job)["resume_from"] == {"job": "older"}
    assert grouped(job)["model"]["network"] == {"name": "mlp"}
    assert salvaged(grouped(job))[1] == salvaged(job)[1]


def test_what_is_no_job_is_shown_without_an_error() -> None:
    for strange in ({"data": 7}, {"model": []}, {"model": {"name": 3}}, {"x": {"y": 1}}):
        assert job_form(strange).groups
        assert with_value(strange, ("data", "uri"), "data/a")["data"] == {"uri": "data/a"}


@pytest.mark.parametrize(
    ("message", "path"),
    [
        ("data.uri: is required", ("data", "uri")),
        ("exchange.channel 'redis': this deployment has none", ("exchange", "channel")),
        ("data.scale.age: expected one of", ("data", "scale")),
        ("model: unknown field 'x'", ("model",)),
        ("the job: unknown field 'x'", ()),
        ("", ()),
    ],
)
def test_a_message_belongs_to_the_field_with_which_it_begins(
    message: str, path: tuple[str, ...]
) -> None:
    assert field_of(message, JOB) == path
