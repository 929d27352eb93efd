"""The cost in a job's report against a count of what AWS would charge for.

Counted are the REPORT lines of all functions, the log of requests to S3, and the histories of all
executions.
"""

from __future__ import annotations

import json
import re
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stepml.job.prices import GB_SECOND_USD, GET_USD, INVOCATION_USD, PUT_USD, TRANSITION_USD
from tests.faults.placements import Fault, Point
from tests.faults.stack import FaultyStack, busy
from tests.support.local_stack import csv_rows
from tests.support.running_aws import eventually

REPORT = re.compile(
    r"^REPORT RequestId: \S+\tDuration: \S+ ms\tBilled Duration: (\d+) ms\tMemory Size: (\d+) MB"
)
CALLED = {"TaskScheduled", "LambdaFunctionScheduled"}
KILLED = Fault(Point("executor", 2, 1), "leave", "kill")
LOST = Fault(Point("executor", 3, 0, 0, "save_many", "contribution"), "after", "lose")


@dataclass
class Count:
    """A count of a job's bill."""

    calls: int
    gb_seconds: float
    puts: int
    gets: int
    transitions: int

    @property
    def usd(self) -> float:
        functions = self.calls * INVOCATION_USD + self.gb_seconds * GB_SECOND_USD
        requests = self.puts * PUT_USD + self.gets * GET_USD
        return functions + requests + self.transitions * TRANSITION_USD


def test_the_cost_of_a_job_with_failures_is_what_aws_would_charge(
    local_stack: FaultyStack, job: dict[str, Any]
) -> None:
    name = f"bill-{uuid.uuid4().hex[:8]}"
    data = f"data/{name}.csv"
    uri = local_stack.upload(data, csv_rows(200, 4))
    local_stack.place(name, "s3", [fault.planned() for fault in (KILLED, LOST)])
    log = local_stack.aws.request_log
    assert log is not None
    eventually(lambda: busy(local_stack.aws), lambda functions: not functions)
    begun, first = log.stat().st_size, reports(local_stack)
    spec = job | {"data": job["data"] | {"uri": uri}, "workers": 2, "stop": {"max_epochs": 3}}
    ended = local_stack.run(spec, name)
    assert ended["status"] == "SUCCEEDED", ended.get("cause")
    eventually(lambda: busy(local_stack.aws), lambda functions: not functions)
    assert len(local_stack.notes(name, "claims")) == 2
    own = (name, data, ended["report"]["dataset"]["digest"], "jobs.turn.json")
    count = counted(local_stack, ended, first, requests_since(log, begun, own))
    report = local_stack.report(name)
    assert report["cost_usd"] == pytest.approx(count.usd, rel=0.1), count
    tries = [each for each in local_stack.epochs(name) if "-e3-" in each["name"]]
    assert len(tries) == 2
    n = sum(transitions(local_stack.aws.events(each["executionArn"])) for each in tries)
    assert report["history"][2]["cost_usd"] > 0.9 * n * TRANSITION_USD


def counted(
    stack: FaultyStack, ended: dict[str, Any], first: Counter[str], requests: Iterable[str]
) -> Count:
    lines = [*(reports(stack) - first).elements()]
    billed = [tuple(map(int, found.groups())) for each in lines if (found := REPORT.match(each))]
    by_method = Counter(requests)
    histories = [ended, *stack.epochs(ended["name"])]
    return Count(
        calls=len(billed),
        gb_seconds=sum(ms / 1000 * mb / 1024 for ms, mb in billed),
        puts=by_method["PUT"] + by_method["LIST"],
        gets=by_method["GET"] + by_method["HEAD"],
        transitions=sum(transitions(stack.aws.events(each["executionArn"])) for each in histories),
    )


def transitions(events: list[dict[str, Any]]) -> int:
    """Return the states that were entered, the retries, and two for start and end."""
    types = Counter(event["type"] for event in events)
    entered = sum(n for kind, n in types.items() if kind.endswith("StateEntered"))
    called = sum(types[kind] for kind in CALLED)
    return 2 + entered + called - types["TaskStateEntered"]


def reports(stack: FaultyStack) -> Counter[str]:
    """Return the REPORT lines of all functions."""
    logs = stack.aws.client("logs")
    groups = logs.get_paginator("describe_log_groups").paginate()
    names = [each["logGroupName"] for page in groups for each in page["logGroups"]]
    found: Counter[str] = Counter()
    for group in names:
        pages = logs.get_paginator("filter_log_events")
        for page in pages.paginate(logGroupName=group, filterPattern="REPORT RequestId"):
            found.update(event["message"] for event in page["events"])
    return found


def requests_since(log: Path, begun: int, own: Iterable[str]) -> list[str]:
    """Return the methods of functions' requests to S3 about any of ``own`` names."""
    with log.open("rb") as file:
        file.seek(begun)
        lines = [json.loads(line) for line in file]
    return [
        "LIST" if "list-type" in each["path"] else each["method"]
        for each in lines
        if each["service"] == "s3"
        and each["access_key"].startswith("ASIA")
        and any(name in each["path"] for name in own)
    ]
