"""Measure the overhead of the workflow on this machine.

It deploys the real template and state machines into a local AWS of its own and measures

* an empty epoch: the same machines with handlers that return at once, 4 workers, warm. The figure
  is the time from one epoch's start to the next, including parent and child execution;
* the cold start of the real executor's environment: process, runtime client, imports, S3 client;
  and the first one, which loads the libraries of all;
* with ``--data FILE`` (Covertype as CSV), a whole cold job, including partitioning.

Figures are medians (minimum – maximum) of one run. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import boto3

from benchmarks.json_file import write_json
from stepml.packaging.sources import resource_root
from tests.support.deployment import deploy

EPOCHS = 50
WORKERS = 4
COLD_STARTS = 7
WAIT_S = 300

# The minimal result of each handler with which the state machines continue.
NO_WORK = f"""
def prepare(event, context):
    ranks = list(range({WORKERS}))
    progress = {{"epoch": 0, "decision": "continue", "next_epoch": 1}}
    return {{"job_id": event["job_id"], "run": "run",
            "functions": {{"partition": "partition", "initialise": "initialise",
                          "executor": "executor", "reducer": "reducer", "finalise": "finalise"}},
            "data": {{"ranges": [], "shards": [], "times": 0}}, "ranks": ranks, "groups": [],
            "ranks_at_once": 40, "groups_at_once": 1, "chunks": [], "slices": [],
            "checks_model": False, "progress": progress,
            "epoch_timeout_s": 600, "handover_epoch": 1000}}

def executor(event, context):
    return {{"rank": event["rank"], "seconds": 0, "waited_seconds": 0, "cost_usd": 0,
            "retries": 0, "digest": "", "times": ""}}

def reducer(event, context):
    epoch = event["epoch"]
    decision = "continue" if epoch < {EPOCHS} else "stopped"
    return {{"epoch": epoch, "decision": decision, "next_epoch": epoch + 1}}

def nothing(event, context):
    return {{"cost_usd": 0}}
"""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured quantity."""

    what: str
    unit: str
    values: list[float]
    target: float | None = None  # at most

    def row(self) -> str:
        """Return the figure as a line of the table."""
        middle, low, high = statistics.median(self.values), min(self.values), max(self.values)
        target = "" if self.target is None else f"≤ {self.target:g}"
        return (
            f"{self.what:38} {middle:8.3g} {f'({low:.3g} – {high:.3g})':>18} {self.unit:3} {target}"
        )


class Aws:
    """A local AWS and its clients."""

    def __init__(self, endpoint_url: str) -> None:
        self.endpoint_url = endpoint_url

    def client(self, service: Any) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def run(self, machine: str, job: Any, name: str) -> list[dict[str, Any]]:
        """Run an execution to its end and return its history."""
        states = self.client("stepfunctions")
        execution = states.start_execution(
            stateMachineArn=machine, name=name, input=json.dumps(job)
        )["executionArn"]
        deadline = time.monotonic() + WAIT_S
        while (described := states.describe_execution(executionArn=execution))[
            "status"
        ] == "RUNNING":
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} is still running after {WAIT_S} s")
            time.sleep(0.2)
        if described["status"] != "SUCCEEDED":
            raise RuntimeError(f"{name}: {described.get('error')}: {described.get('cause')}")
        pages = states.get_paginator("get_execution_history").paginate(executionArn=execution)
        return [event for page in pages for event in page["events"]]


@contextmanager
def local_aws(*arguments: str) -> Iterator[Aws]:
    """Run a local AWS in a process of its own, with more arguments."""
    with tempfile.TemporaryDirectory() as state:
        process = subprocess.Popen(
            [sys.executable, "-m", "stepml.local", "--port=0", *arguments],
            env={"STEPML_STATE_DIR": state, "PATH": "/usr/bin:/bin"},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        try:
            yield Aws(process.stdout.readline().split()[-1])
        finally:
            process.terminate()
            process.wait(30)
            process.stdout.close()


def entered(history: list[dict[str, Any]], state: str) -> list[float]:
    """Return the times at which the execution entered ``state``, in seconds."""
    return [
        event["timestamp"].timestamp()
        for event in history
        if event["type"].endswith("StateEntered")
        and event["stateEnteredEventDetails"]["name"] == state
    ]


def template_without_work(directory: Path) -> Path:
    """Copy the template and machines, with handlers that return at once; return the template."""
    for folder in ("templates", "state_machines"):
        shutil.copytree(resource_root() / folder, directory / folder)
    (directory / "code").mkdir()
    (directory / "code" / "no_work.py").write_text(NO_WORK)
    template = directory / "templates" / "template.yaml"

    def handler(match: re.Match[str]) -> str:
        name = match[1] if match[1] in ("prepare", "executor", "reducer") else "nothing"
        return f"Handler: no_work.{name}"

    text = re.sub(r"CodeUri: .*", "CodeUri: ../code", template.read_text())
    # Images are those of no job here, but their package has to be one of StepML's.
    context = f"DockerContext: {resource_root()}/code-torch"
    text = re.sub(r"DockerContext: .*", context, text)
    template.write_text(re.sub(r"Handler: lambdas\.(\w+)\.handler", handler, text))
    return template


def empty_epochs(aws: Aws) -> Figure:
    """Measure the epochs of a job without work, except the cold ones."""
    with tempfile.TemporaryDirectory() as directory:
        stack = "nowork"
        outputs = deploy(aws.endpoint_url, template_without_work(Path(directory)), stack_name=stack)
        aws.run(outputs["TrainStateMachineArn"], {}, "warm-up")
        history = aws.run(outputs["TrainStateMachineArn"], {}, "measured")
    starts = entered(history, "RunEpoch")
    milliseconds = [1000 * (b - a) for a, b in pairwise(starts)]
    return Figure(f"empty epoch, {WORKERS} workers, warm", "ms", milliseconds, target=120)


def cold_starts(aws: Aws, name: str, *, loads: bool) -> Figure:
    """Measure the executor's first answer in a new process; it refuses the task.

    If it ``loads``, a variable that a library may read at its import differs: another template
    process loads the libraries first. Otherwise the process is forked from the one that is there.
    """
    deploy(aws.endpoint_url, resource_root() / "templates" / "template.yaml")
    functions, seconds = aws.client("lambda"), []
    before = functions.get_function_configuration(FunctionName="stepml-executor")["Environment"]
    for number in range(COLD_STARTS + 1):
        another = {"NUMBER": str(number)} if loads else {}
        # A changed configuration ends the existing environments.
        functions.update_function_configuration(
            FunctionName="stepml-executor",
            Timeout=900 - number,
            Environment={"Variables": before["Variables"] | another},
        )
        began = time.perf_counter()
        answer = functions.invoke(FunctionName="stepml-executor", Payload=b"{}")
        assert b"InvalidTaskError" in answer["Payload"].read()
        seconds.append(time.perf_counter() - began)
    return Figure(name, "s", seconds[1:], target=0.8)  # the first compiles


def whole_job(aws: Aws, data: Path) -> list[Figure]:
    """Measure the job of ``make run``, with every function cold."""
    bucket = deploy(aws.endpoint_url, resource_root() / "templates" / "template.yaml")
    began = time.perf_counter()
    aws.client("s3").upload_file(str(data), bucket["Bucket"], "data/covertype.csv")
    uploaded = time.perf_counter() - began
    example = Path(__file__).parents[1] / "examples" / "covertype_logistic.json"
    history = aws.run(bucket["TrainStateMachineArn"], json.loads(example.read_text()), "whole")
    times = [event["timestamp"].timestamp() for event in history]
    partitioned = entered(history, "InitialiseModel")[0] - entered(history, "PartitionData")[0]
    return [
        Figure("upload of the data", "s", [uploaded]),
        Figure("partitioning and assembling, cold", "s", [partitioned], target=8),
        Figure("whole job, cold", "s", [max(times) - min(times)]),
    ]


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--data", type=Path, help="Covertype as CSV, from `stepml data get`")
    options = parser.parse_args()
    with local_aws() as aws:
        figures = [
            empty_epochs(aws),
            cold_starts(aws, "cold start of an executor", loads=False),
            cold_starts(aws, "first cold start, with libraries", loads=True),
        ]
        if options.data:
            figures += whole_job(aws, options.data)
    print(f"{'':38} {'median':>8} {'(min – max)':>18}     target")
    for figure in figures:
        print(figure.row())
    write_json(options.json, [asdict(figure) for figure in figures])


if __name__ == "__main__":
    main()
