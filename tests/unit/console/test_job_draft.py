"""A job that is being written is one document; its mistakes have their fields."""

from __future__ import annotations

import json

import pytest

from stepml.client.stack import Stack
from stepml.console.job_draft import MOST_IN_ADDRESS, NAME, TEXT, Draft
from stepml.job.channels import CHANNELS

JOB = '{"data": {"uri": "data/rows.csv"}, "model": {"name": "kmeans", "n_clusters": 3}}'
YAML = "data: {uri: data/rows.csv}\nmodel: {name: kmeans, n_clusters: 3}"


def draft_of(text: str, **given: str) -> Draft:
    draft = Draft(**given)
    draft.read(text)
    return draft


def found(draft: Draft) -> dict[tuple[str, ...], str]:
    return {each.path: each.at_field for each in draft.mistakes()}


@pytest.mark.parametrize("text", [JOB, YAML])
def test_a_text_in_any_format_is_the_same_job(text: str) -> None:
    draft = draft_of(text)
    assert json.loads(draft.text) == json.loads(JOB)
    assert draft.mistakes() == []


def test_an_empty_form_lacks_what_each_job_has() -> None:
    assert set(found(Draft())) == {("data", "uri"), ("model", "name")}


def test_all_mistakes_are_found_at_once_and_each_has_its_field() -> None:
    data, model = {"uri": "data/a", "seed": -1}, {"name": "kmeans"}
    job = {"data": data, "model": model, "workers": 0, "x": 1}
    draft = draft_of(json.dumps(job), name="no name")
    assert set(found(draft)) == {
        ("data", "seed"),
        ("model", "n_clusters"),
        ("workers",),
        NAME,
        TEXT,
    }
    assert found(draft)["data", "seed"].startswith("expected an integer from 0")


def test_an_unreadable_text_changes_nothing_and_says_where_it_is_wrong() -> None:
    draft = draft_of(JOB)
    draft.read('{"data": }')
    assert draft.document == json.loads(JOB)
    assert "line 1, column" in found(draft)[TEXT]
    draft.read("[1]")
    assert TEXT in found(draft)
    assert draft.text == "[1]"  # where the person mends it
    draft.read(JOB)
    assert draft.mistakes() == []
    assert json.loads(draft.text) == json.loads(JOB)


@pytest.mark.parametrize("text", ["\ud800", "{" * 5000, "a: &a [*a]", "x" * 2**20, "\0", "[[["])
def test_hostile_text_is_a_mistake(text: str) -> None:
    assert found(draft_of(text))


def test_what_the_stack_lacks_is_a_mistake_of_its_field() -> None:
    lacking = next(name for name, each in CHANNELS.items() if each.parameter)
    text = json.dumps(json.loads(JOB) | {"exchange": {"channel": lacking}})
    draft = draft_of(text)
    assert draft.mistakes() == []
    draft.stack = Stack("stepml", "bucket", "train", "epoch")
    assert "this deployment has no" in found(draft)["exchange", "channel"]


def test_a_job_is_in_the_address_unless_it_is_too_long() -> None:
    draft = draft_of(JOB)
    assert draft_of(draft.in_address or "").document == draft.document
    assert Draft().in_address is None
    draft.document["data"]["uri"] = "a" * MOST_IN_ADDRESS
    assert draft.in_address is None
