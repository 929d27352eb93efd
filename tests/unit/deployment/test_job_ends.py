"""The rules that tell of the end of a job, in both templates."""

from __future__ import annotations

import json
from typing import Any

import pytest
from moto.events.models import EventPattern

from stepml.packaging.templates import parse_template
from tests.support.paths import ROOT

MACHINE = "arn:aws:states:us-east-1:1:stateMachine:stepml-train"
JOB = {"data": {"uri": "s3://b/x.csv"}}
CONTINUED = {"continues": {"job_id": "a", "run": "r", "next_epoch": 900}}
TOO_LONG = None  # EventBridge leaves out inputs above 248 KiB


def rule(template: str) -> dict[str, Any]:
    """Return the rule of a template."""
    found = parse_template((ROOT / "templates" / template).read_text())
    properties: dict[str, Any] = found["Resources"]["JobEnded"]["Properties"]
    return properties


def pattern(template: str, ends: str = "all") -> EventPattern:
    """Return the rule's pattern for a value of the parameter JobEnds."""
    given = rule(template)["EventPattern"]
    _, succeeded, others = given["detail"]["status"]["Fn::If"]
    _, failed, everything = others["Fn::If"]
    statuses = {"succeeded": succeeded, "failed": failed, "all": everything}[ends]
    detail = {**given["detail"], "stateMachineArn": [MACHINE], "status": statuses}
    return EventPattern.load(json.dumps({**given, "detail": detail}))


def told(found: EventPattern, name: str, given: Any = JOB, status: str = "SUCCEEDED") -> bool:
    """Return whether a rule with this pattern tells of the end of an execution."""
    text = None if given is None else json.dumps(given)
    detail = {"stateMachineArn": MACHINE, "status": status, "name": name, "input": text}
    change: Any = {
        "source": "aws.states",
        "detail-type": "Step Functions Execution Status Change",
        "detail": detail,
    }
    return bool(found.matches_event(change))


@pytest.mark.parametrize("template", ["template.yaml", "webhook.yaml"])
def test_a_job_ends_once_however_many_executions_it_takes(template: str) -> None:
    found = pattern(template)
    assert told(found, "digits-20260102-101500")
    assert told(found, "my-cnn-run-test")  # of the form of a continuation, but a job
    assert told(found, "digits", TOO_LONG)
    assert not told(found, "digits-c900-r0-t0", CONTINUED)
    assert not told(found, "digits", status="RUNNING")


def test_the_parameter_chooses_the_ends_that_are_told() -> None:
    ends = ("SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")
    heard = {
        chosen: [told(pattern("template.yaml", chosen), "a", status=each) for each in ends]
        for chosen in ("all", "succeeded", "failed")
    }
    assert heard == {
        "all": [True, True, True, True],
        "succeeded": [True, False, False, False],
        "failed": [False, True, True, False],
    }


def test_both_templates_say_the_same() -> None:
    main, webhook = (rule(each) for each in ("template.yaml", "webhook.yaml"))
    for each in (main, webhook):
        del each["EventPattern"]["detail"]["stateMachineArn"]
    assert main["EventPattern"] == webhook["EventPattern"]
    texts = [each["Targets"][0]["InputTransformer"] for each in (main, webhook)]
    assert texts[0]["InputPathsMap"] == texts[1]["InputPathsMap"]
    words = [each["InputTemplate"]["Fn::Sub"] for each in texts]
    assert words[0].replace("${AWS::StackName}", "${Stack}") == words[1]
