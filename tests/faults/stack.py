"""A deployed StepML whose functions are struck by faults, and what its jobs leave behind."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from stepml.job import keys
from stepml.local.answers import ask
from stepml.local.deploy import deploy
from stepml.local.packing import read_template
from stepml.local.plumbing import resource_root, task_root_files, template_path
from tests.faults.injector import DIRECTORY_VARIABLE
from tests.functional.conftest import LocalStack, csv_rows
from tests.running_aws import WAIT_S, RunningAws, eventually

INJECTOR = Path(__file__).with_name("injector.py")
JOB_WAIT_S = 300.0
JOB_POLL_S = 0.2
FUNCTION = "AWS::Serverless::Function"


@dataclass(frozen=True)
class FaultyStack(LocalStack):
    """A deployed StepML with the injector in its functions."""

    directory: Path  # where the injector finds its plans

    def upload_rows(self, copy: int) -> str:
        """Upload the rows that all jobs learn, and return their URI.

        Empty lines at their end make another data set of the same rows, with the same bits: so
        each ``copy`` is partitioned anew.
        """
        return self.upload(f"data/{copy}/rows.csv", csv_rows(300, 4) + b"\n" * copy)

    def place(self, name: str, channel: str, faults: Iterable[Mapping[str, Any]] = ()) -> None:
        """Have ``faults`` strike the job ``name``, and its writes noted."""
        directory = self.directory / name
        directory.mkdir()
        (directory / "channel").write_text(channel)
        (directory / "plan.json").write_text(json.dumps([*faults]))

    def writes(self, name: str) -> list[dict[str, Any]]:
        """Return the writes of a job, in the order in which they began."""
        lines = (self.directory / name / "writes.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def notes(self, name: str, kind: str) -> dict[str, str]:
        """Return what the injector noted of a job: its ``claims``, or ``copies``."""
        directory = self.directory / name / kind
        if not directory.exists():
            return {}
        return {path.name: path.read_text() for path in directory.iterdir()}

    def ended(self, execution: str) -> dict[str, Any]:
        """Wait for an execution whose Tasks are tried again and again; return its description."""
        states = self.aws.client("stepfunctions")
        deadline = time.monotonic() + JOB_WAIT_S
        while (described := states.describe_execution(executionArn=execution))[
            "status"
        ] == "RUNNING":
            assert time.monotonic() < deadline, f"{execution} runs for more than {JOB_WAIT_S:g} s"
            time.sleep(JOB_POLL_S)  # rarely: many are waited for at once
        return dict(described)

    def redriven(self, execution: str) -> dict[str, Any]:
        """Redrive an execution that has failed, wait for it and return its description."""
        self.aws.client("stepfunctions").redrive_execution(executionArn=execution)
        return self.ended(execution)

    def bits(self, name: str) -> dict[str, bytes]:
        """Return what a job has learnt: its model, and its state after each epoch."""
        states = [key for key in self.keys(f"jobs/{name}/epochs/") if "/state" in key]
        return {key.partition(name)[2]: self.read(key) for key in [*states, keys.model(name)]}

    def left_behind(self, name: str) -> list[str]:
        """Return what a job that has ended left beside what its report lists as kept."""
        kept = tuple(self.report(name)["kept"])
        stored = [f"s3://{self.bucket}/{key}" for key in self.keys(f"jobs/{name}/")]
        left = [uri for uri in stored if not uri.startswith(kept)]
        return sorted([*left, *self._redis_keys(name)])

    def report(self, name: str) -> dict[str, Any]:
        """Return the report of a job, however it has ended."""
        key = keys.report(name) if self.keys(keys.report(name)) else keys.ended(name)
        report: dict[str, Any] = json.loads(self.read(key))
        return report

    def _redis_keys(self, name: str) -> list[str]:
        url = self.aws.parameters["RedisUrl"]
        with redis.Redis.from_url(url) as client:
            try:
                return [key.decode() for key in client.scan_iter(match=f"*jobs/{name}/*")]
            except redis.ConnectionError:  # no job has asked for it
                return []


def deploy_faulty(
    aws: RunningAws, directory: Path, *, name: str = "stepml", **limits: Any
) -> FaultyStack:
    """Deploy the real template with the injector in its package.

    Parameters
    ----------
    aws : RunningAws
    directory : Path
        For the template and for plans.
    name : str
        Of the stack.
    **limits
        Properties that all functions get, such as ``Timeout``.
    """
    place = directory / name
    plans = place / "plans"
    plans.mkdir(parents=True)
    (place / "template.json").write_text(json.dumps(_template(place, plans, limits)))
    outputs = deploy(
        aws.endpoint_url, place / "template.json", stack_name=name, parameters=aws.parameters
    )
    return FaultyStack(aws, outputs, plans)


def _template(place: Path, plans: Path, limits: Mapping[str, Any]) -> dict[str, Any]:
    template = read_template(template_path())
    variables = template["Globals"]["Function"]["Environment"]["Variables"]
    variables[DIRECTORY_VARIABLE] = str(plans)
    _pack(place / "code")
    for resource in template["Resources"].values():
        properties = resource["Properties"]
        if resource["Type"] == FUNCTION:
            module = properties["Handler"].split(".")[1]
            properties |= {"CodeUri": "code", "Handler": f"injector.{module}", **limits}
        if "DefinitionUri" in properties:
            source = template_path().parent / properties["DefinitionUri"]
            properties["DefinitionUri"] = str(source.resolve())
    return template


def _pack(directory: Path) -> None:
    """Put together the functions' package, and the injector."""
    for name, source in task_root_files(resource_root()).items():
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    shutil.copyfile(INJECTOR, directory / INJECTOR.name)


def idle(stack: FaultyStack) -> None:
    """Wait until no function runs any more."""
    eventually(lambda: busy(stack.aws), lambda functions: not functions)


def status(aws: RunningAws) -> dict[str, Any]:
    """Return what a local AWS says of itself."""
    told = ask(int(aws.endpoint_url.rpartition(":")[2]), WAIT_S)
    assert told is not None
    return told


def busy(aws: RunningAws) -> list[dict[str, Any]]:
    """Return the environments that run an invocation."""
    return [each for each in status(aws)["environments"] if each["state"] != "idle"]
