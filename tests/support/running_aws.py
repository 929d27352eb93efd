"""A running local AWS, and helpers for tests of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from threading import Lock
from typing import Any

import boto3
from botocore.config import Config

from stepml.local.cache_server import CacheStatus
from stepml.local.caches import template_parameters
from stepml.local_identity import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, ask

ROLE = "arn:aws:iam::123456789012:role/states"
REQUESTS = "requests.jsonl"
WAIT_S = 240.0  # more than any machine needs; less than the limit of a test
EXECUTION_WAIT_S = 270.0  # of whole jobs with many retries; less than the limit of a test
POLL_SHARE = 0.15  # of a wait so far, between two looks: each costs the processor milliseconds
LONGEST_POLL_S = 1.5
SIGNED = f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY_ID}/20260101/{REGION}/states/aws4_request"
_MAKING = Lock()  # boto3 creates clients in one thread only, but any thread may use them


@dataclass(frozen=True)
class RunningAws:
    """A server process of its own, on a free port."""

    endpoint_url: str
    process: subprocess.Popen[str]
    request_log: Path | None = None
    _clients: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def parameters(self) -> dict[str, str]:
        """The template parameters with which ``stepml local up`` deploys StepML."""
        return template_parameters(self.caches(), self.status()["concurrency"])

    def caches(self) -> list[CacheStatus]:
        return [CacheStatus(**each) for each in self.status()["caches"]]

    def status(self) -> dict[str, Any]:
        """Return the server's own status."""
        answer = ask(self.endpoint_url, WAIT_S)
        assert answer is not None
        return answer

    def client(self, service: Any) -> Any:
        """Return the client of a service, which all threads share."""
        with _MAKING:
            if service not in self._clients:
                self._clients[service] = self._new_client(service)
            return self._clients[service]

    def _new_client(self, service: Any) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint_url,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET_ACCESS_KEY,
            config=Config(retries={"total_max_attempts": 1}, read_timeout=120),
        )

    def machine(self, definition: dict[str, Any], **settings: Any) -> str:
        """Create a state machine and return its ARN."""
        created = self.client("stepfunctions").create_state_machine(
            name=f"test-{uuid.uuid4().hex[:12]}",
            definition=json.dumps(definition),
            roleArn=ROLE,
            **settings,
        )
        return str(created["stateMachineArn"])

    def start(self, machine: str, job: Any = None, **settings: Any) -> str:
        """Start an execution and return its ARN."""
        started = self.client("stepfunctions").start_execution(
            stateMachineArn=machine, input=json.dumps(job or {}), **settings
        )
        return str(started["executionArn"])

    def ended(self, execution: str) -> dict[str, Any]:
        """Wait for an execution and return its description."""
        address = self.endpoint_url.partition("//")[2]
        with closing(HTTPConnection(address, timeout=WAIT_S)) as connection:
            eventually(
                lambda: _status(connection, execution),
                lambda status: status != "RUNNING",
                EXECUTION_WAIT_S,
            )
        found: dict[str, Any] = self.client("stepfunctions").describe_execution(
            executionArn=execution
        )
        return found

    def run(self, machine: str, job: Any = None, **settings: Any) -> dict[str, Any]:
        """Run an execution to its end and return its description."""
        return self.ended(self.start(machine, job, **settings))

    def events(self, execution: str) -> list[dict[str, Any]]:
        """Return the whole history of an execution."""
        pages = self.client("stepfunctions").get_paginator("get_execution_history")
        return [
            event for page in pages.paginate(executionArn=execution) for event in page["events"]
        ]

    def executions(self, machine: str) -> list[dict[str, Any]]:
        """Return the executions of a machine, the first one first."""
        listed = self.client("stepfunctions").list_executions(stateMachineArn=machine)
        return list(reversed(listed["executions"]))


def eventually(
    look: Callable[[], Any], is_done: Callable[[Any], bool], wait_s: float = WAIT_S
) -> Any:
    """Return the result of ``look`` once ``is_done`` accepts it."""
    began = time.monotonic()
    while not is_done(seen := look()):
        waited_s = time.monotonic() - began
        assert waited_s < wait_s, f"still {seen} after {wait_s:g} s"
        time.sleep(max(0.02, min(POLL_SHARE * waited_s, LONGEST_POLL_S)))
    return seen


def _status(connection: HTTPConnection, execution: str) -> str | None:
    """Return the status of an execution; boto3 would need several times the processor time."""
    headers = {
        "X-Amz-Target": "AWSStepFunctions.DescribeExecution",
        "Content-Type": "application/x-amz-json-1.0",
        "Authorization": SIGNED,
    }
    connection.request("POST", "/", json.dumps({"executionArn": execution}), headers)
    # Without a status, it is an error, which boto3 raises afterwards.
    answer: dict[str, str] = json.loads(connection.getresponse().read())
    return answer.get("status")


@contextmanager
def running_aws(
    state: Path,
    *,
    concurrency: int = 50,
    path: str | None = None,
    more: Sequence[str] = (),
) -> Iterator[RunningAws]:
    """Run a local AWS in a process of its own until the block ends.

    It may have another PATH, and ``more`` arguments.
    """
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "stepml.local", "--port=0", "--with-parent"),
            f"--concurrency={concurrency}",
            f"--requests={state / REQUESTS}",
            *more,
        ],
        env={
            **os.environ,
            "STEPML_STATE_DIR": str(state),
            **({} if path is None else {"PATH": path}),
        },
        stdin=subprocess.PIPE,  # closed when this process ends, however that happens
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            endpoint_url = process.stdout.readline().split()[-1]
            yield RunningAws(endpoint_url, process, state / REQUESTS)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(WAIT_S)


def task(function: str, **fields: Any) -> dict[str, Any]:
    """Return a last Task state that invokes a function with the state's input."""
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": function, "Payload.$": "$"},
        "OutputPath": "$.Payload",
        "End": True,
        **fields,
    }


def only(state: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a state machine of a single state."""
    return {"StartAt": "Only", "States": {"Only": state}, **fields}


def inline_map(state: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a last Map state over ``$.items`` whose iterations are a single state."""
    name = "Items" if state["Type"] == "Map" else "Item"  # unique in the machine
    return {
        "Type": "Map",
        "ItemsPath": "$.items",
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "INLINE"},
            "StartAt": name,
            "States": {name: state},
        },
        "End": True,
        **fields,
    }
