"""The lines about a running job."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from stepml.cli.display import Display
from stepml.cli.output import Output
from stepml.client import Execution, ExecutionState, Phase, Snapshot
from tests.support.moto_stack import epoch_report

STATE = ExecutionState(
    Execution("mine", "arn"), "RUNNING", datetime(2026, 1, 2, tzinfo=UTC), None, "{}", None, None
)
TRAINING = Snapshot(STATE, Phase("RunEpoch"), (), ())
EPOCH = epoch_report(1, last=False)
WAITING = "waiting for functions: "


@pytest.mark.parametrize(
    ("others", "line"),
    [
        ((), f"{WAITING}all that the account may run are in use"),
        (("a",), f"{WAITING}job a runs"),
        (("a", "b"), f"{WAITING}jobs a, b run"),
        (("a", "b", "c"), f"{WAITING}jobs a, b, … run"),
    ],
)
def test_a_wait_for_functions_is_said_once_and_its_end_too(
    others: tuple[str, ...], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    waiting = replace(TRAINING, waits_beside=others)

    with Display(Output(as_json=False), "mine") as display:
        for snapshot in (TRAINING, waiting, waiting, TRAINING, TRAINING):
            display.show(snapshot)
        display.show(replace(waiting, epochs=(EPOCH,)))
        display.show(replace(TRAINING, epochs=(EPOCH,)))

    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == ["mine", "training", line, "no longer waiting for functions"]
    assert lines[4] == line
    assert lines[7:] == ["no longer waiting for functions"]


def test_a_job_that_ends_while_it_waits_does_not_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    ended = replace(TRAINING, state=replace(STATE, status="FAILED"))

    with Display(Output(as_json=False), "mine") as display:
        for snapshot in (replace(TRAINING, waits_beside=()), ended):
            display.show(snapshot)

    assert "no longer" not in capsys.readouterr().out
