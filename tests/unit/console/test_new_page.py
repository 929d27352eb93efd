"""The form of a new job: mistakes at their fields, and one job however often it is started."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from stepml.client import connect
from stepml.client.client import Client
from stepml.console.board import Board
from stepml.console.job_check import findings_before_start
from stepml.console.job_draft import Draft
from stepml.console.pages.new import NewJob
from stepml.console.widgets.tags import Tag
from tests.support.drawn import Drawn, drawn, is_seen
from tests.support.moto_stack import JOB, MotoStack

ROWS = b"a,b,y\n" + b"".join(b"%d,%d,%d\n" % (n, n % 7, n % 2) for n in range(60))


@pytest.fixture
def client(stack: MotoStack) -> Client:
    stack.put("data/x.csv", ROWS)
    return stack.client()


def form(page: Drawn, client: Client, job: dict[str, Any]) -> NewJob:
    draft = Draft()
    draft.read(json.dumps(job))
    return page.call(lambda: NewJob(Board(client), draft))


def press(page: Drawn, text: str, times: int = 1) -> None:
    button = page.find("button", text)
    handlers = [each.handler for each in button._event_listeners.values() if each.type == "click"]

    async def call(handler: Any) -> None:
        with button:
            await handler()

    page.done(*(call(each) for each in handlers * times))


def control(page: Drawn, label: str) -> Tag:
    """Return the control of the first field with this label."""
    labels = [each for each in page.tags if each.tag == "label" and each.text == label]
    return next(each for each in page.tags if each.html_id == labels[0].props["for"])


def mistakes(page: Drawn) -> list[str]:
    links = [each for each in page.tags if each.tag == "a" and is_seen(each)]
    return [each.text for each in links if each.props["href"].startswith("#")]


def test_a_job_is_started_once_however_often_start_is_pressed(client: Client) -> None:
    before = len(client.jobs(100))
    with drawn() as page:
        form(page, client, JOB)
        press(page, "Start", times=3)
    assert len(client.jobs(100)) == before + 1
    assert json.loads(client.latest().state.job) == JOB


def test_a_wrong_job_is_not_started_and_each_mistake_leads_to_its_field(stack: MotoStack) -> None:
    client = stack.client()
    before = len(client.jobs(100))
    with drawn() as page:
        form(page, client, {**JOB, "workers": 0, "stop": {"target": "x"}})
        press(page, "Start")
        links = {each.props["href"] for each in page.tags if each.tag == "a"}
        for label in ("workers", "target"):
            assert control(page, label).props["aria-invalid"] == "true"
            assert f"#{control(page, label).html_id}" in links
        assert "aria-invalid" not in control(page, "strict").props
        assert len(mistakes(page)) == 2
    assert len(client.jobs(100)) == before


def test_an_empty_form_complains_only_when_it_is_started(stack: MotoStack) -> None:
    with drawn() as page:
        form(page, stack.client(), {})
        assert mistakes(page) == []
        press(page, "Start")
        assert [each.partition(":")[0] for each in mistakes(page)] == ["data.uri", "model.name"]


def test_what_a_check_of_the_data_finds_stays_until_the_job_changes(stack: MotoStack) -> None:
    absent = {**JOB, "data": {**JOB["data"], "uri": "data/absent.csv"}}
    with drawn() as page:
        made = form(page, stack.client(), absent)
        press(page, "Check with data")
        assert [each.partition(":")[0] for each in mistakes(page)] == ["data.uri"]
        page.call(lambda: made._read(json.dumps(JOB)))
        assert mistakes(page) == []


@pytest.mark.parametrize(
    ("data", "field"), [({"uri": "data/absent.csv"}, "uri"), ({"label": "z"}, "label")]
)
def test_start_finds_what_is_wrong_with_the_data_and_starts_nothing(
    client: Client, data: dict[str, str], field: str
) -> None:
    before = len(client.jobs(100))
    with drawn() as page:
        form(page, client, {**JOB, "data": {**JOB["data"], **data}})
        press(page, "Start", times=2)
        assert control(page, field).props["aria-invalid"] == "true"
        assert len(mistakes(page)) == 1
        assert page.texts("p").count("Starting …") == 0
    assert len(client.jobs(100)) == before


def test_a_job_that_changes_while_it_is_checked_does_not_start(client: Client) -> None:
    before = len(client.jobs(100))
    with drawn() as page:
        made = form(page, client, JOB)

        async def change() -> None:
            with page.client:
                made._put(made._fields._parts[0]._fields["workers",].field, "3")

        page.done(made._start(), change())
        assert any("it has not started" in text for text in page.texts("p"))
    assert len(client.jobs(100)) == before


@pytest.mark.parametrize("within_s", [0.0, 30.0])
def test_a_check_that_cannot_be_made_is_left_to_the_job(within_s: float) -> None:
    nowhere = Client(connect("http://127.0.0.1:9"))
    text = json.dumps(JOB)
    assert asyncio.run(findings_before_start(nowhere, text, within_s)) is None


def test_that_no_mistake_was_found_is_not_said_of_another_job(client: Client) -> None:
    praise = "No mistake found"
    with drawn() as page:
        made = form(page, client, JOB)
        press(page, "Check with data")
        assert praise in page.texts("h2")
        page.call(lambda: made._type("{"))  # while a person writes
        assert praise not in page.texts("h2")
        page.call(lambda: made._read(json.dumps(JOB)))
        press(page, "Check with data")
        page.call(lambda: made._rename("no name"))
        assert praise not in page.texts("h2")
        assert not [each for each in page.tags if "notice" in each.classes and is_seen(each)]


def test_a_text_that_is_being_written_is_left_as_it_is(client: Client) -> None:
    with drawn() as page:
        made = form(page, client, {})
        page.call(lambda: made._type('{"workerz": 3'))
        assert len(mistakes(page)) == 1
        page.call(lambda: made._type('{"workerz": 3}'))
        assert made._text._text == ""  # the browser's own is newer
        page.call(lambda: made._read('{"workerz": 3}'))
        assert any(text.startswith("line 2: the job: unknown field") for text in page.texts("p"))


@pytest.mark.parametrize("name", ["svm", "kmeans", "neural"])
def test_another_model_has_other_fields_and_its_choice_keeps_the_focus(
    stack: MotoStack, name: str
) -> None:
    with drawn() as page:
        made = form(page, stack.client(), JOB)
        before = {each.id for each in page.tags if each.tag == "select"}
        chooser = next(each.id for each in page.tags if each.props.get("value") == name)
        page.call(lambda: made._read(json.dumps({**JOB, "model": {"name": name}})))
        after = {each.id for each in page.tags}
        assert chooser in after  # the option, so the select around it
        assert len(before & after) >= len(before) - 3


def test_a_value_that_has_not_changed_sends_nothing(stack: MotoStack) -> None:
    with drawn() as page:
        made = form(page, stack.client(), JOB)
        page.sent()
        page.call(made._show)
        assert page.sent() == 0
