"""Stopping and retrying from a page: said before, done once, refused in place."""

from __future__ import annotations

import time
from collections.abc import Coroutine
from typing import Any
from uuid import uuid4

from stepml.client.client import Client
from stepml.console.board import Board
from stepml.console.widgets.ending import RetryDialog, StopDialog
from stepml.reports.retry_words import retry_sentences
from tests.support.drawn import Drawn, drawn, is_seen
from tests.support.moto_stack import JOB_TEXT, MotoStack


def started(client: Client) -> str:
    return client.run(JOB_TEXT, f"ending-{uuid4().hex[:8]}").name


def failed(client: Client) -> str:
    """Return the name of a job that has ended."""
    run = client.named(started(client))
    run.wait(check=False)
    return run.name


def clicks(page: Drawn, text: str, times: int = 1) -> list[Coroutine[Any, Any, None]]:
    """Return clicks on a button, which come before the first of them has an effect."""
    button = page.find("button", text)
    handlers = [each.handler for each in button._event_listeners.values() if each.type == "click"]

    async def call(handler: Any) -> None:
        with button:
            await handler()

    return [call(each) for each in handlers * times]


def test_a_stop_is_explained_before_anything_is_done(stack: MotoStack) -> None:
    client = stack.client("endless")
    job = started(client)
    with drawn() as page:
        page.done(StopDialog(Board(client), job, lambda: None).open())
        said = page.texts("p")
    assert any("executions end at once" in text for text in said)
    assert client.named(job).status == "RUNNING"


def test_a_retry_from_an_epoch_is_explained_and_started_once(stack: MotoStack) -> None:
    client = stack.client("failing")
    job = failed(client)
    stack.put_epochs(job, 2, ended=False)
    n_jobs = len(client.jobs(100))
    with drawn() as page:
        dialog = RetryDialog(Board(client), job)
        page.done(dialog.open(2))
        said = " ".join(page.texts("p"))
        time.sleep(1.1)  # names have the second in them
        page.done(*clicks(page, "Retry", times=3))
    assert "from epoch 2 on" in said
    assert f"A new execution starts: {client.jobs(1)[0].name}." in said
    assert len(client.jobs(100)) == n_jobs + 1


def test_a_refusal_is_said_in_place_until_another_epoch_is_chosen(stack: MotoStack) -> None:
    client = stack.client("failing")
    job = failed(client)
    refused = {}
    with drawn() as page:
        dialog = RetryDialog(Board(client), job)
        page.done(dialog.open(9))
        for epoch in ("9", "0", "-1", "2.5", "two"):
            page.done(dialog._choose_epoch(epoch))
            is_disabled = bool(page.find("button", "Retry").props.get("disabled"))
            refused[epoch] = is_disabled and [text for text in page.texts("p") if "got" in text]
        page.done(dialog.open(1))
        allowed = page.texts("p")
        is_enabled = not page.find("button", "Retry").props.get("disabled")
    for epoch, said in refused.items():
        assert said, epoch
        assert said[0].startswith("epoch: expected 1 to 1"), said
        assert said[0].endswith(f"got {epoch}"), said
    assert not any("expected" in text for text in allowed)
    assert is_enabled


def test_of_a_job_that_would_fail_again_only_a_change_is_offered(stack: MotoStack) -> None:
    client = stack.client("failing")
    job = failed(client)
    states = stack.service("stepfunctions")
    right = states.describe_execution(executionArn=client.named(job).arn)
    wrong, given = f"{job}-wrong", right["input"].replace("algorithm", "algoritm")
    states.start_execution(stateMachineArn=right["stateMachineArn"], name=wrong, input=given)
    seen = {}
    with drawn() as page:
        for name in (job, wrong):
            dialog = RetryDialog(Board(client), name)
            page.done(dialog.open(9))
            seen[name] = [tag for tag in page.tags if tag.tag == "a" and is_seen(tag)]
    assert not seen[job]  # another epoch would help
    (offered,) = seen[wrong]
    assert offered.text == "Start again with changes"
    assert offered.props["href"] == f"/new?like={wrong}"


def test_the_epoch_at_which_a_job_failed_is_named_and_resumes_it(stack: MotoStack) -> None:
    client = stack.client("failing")
    job = failed(client)
    with drawn() as page:
        dialog = RetryDialog(Board(client), job)
        page.done(dialog.open(next_epoch=1))
        shown = dialog._epoch_input.text
        said = page.texts("p")
        page.done(dialog._choose_epoch("1"))
        again = page.texts("p")
    plan = retry_sentences(client.named(job).retry_plan())
    assert shown == "1"
    assert said[0].partition("-again-")[0] == again[0].partition("-again-")[0]
    assert said[1:] == again[1:] == plan[1:]


def test_a_click_before_the_plan_is_known_does_nothing(stack: MotoStack) -> None:
    client = stack.client("failing")
    job = failed(client)
    n_jobs = len(client.jobs(100))
    with drawn() as page:
        dialog = RetryDialog(Board(client), job)
        page.done(dialog.open(1), *clicks(page, "Retry"))
        said = " ".join(page.texts("p"))
    assert "from epoch 1 on" in said
    assert len(client.jobs(100)) == n_jobs
