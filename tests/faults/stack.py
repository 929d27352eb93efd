"""A deployed StepML with the fault injector, and the objects that its jobs leave."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import redis

from lambdas.prepare import HANDOVER_VARIABLE
from stepml.deployment.templates import read_template
from stepml.job import keys
from stepml.job.errors import StorageUnavailableError
from stepml.local.cloudformation.expansion import FUNCTION, without_images
from stepml.packaging.packages import FUNCTION_PACKAGES
from stepml.packaging.sources import template_path
from storage.dynamodb import DynamoDBStorage
from storage.memcached import MemcachedStorage
from tests.faults.injector import ANY, DIRECTORY_VARIABLE
from tests.faults.placements import Fault, Point
from tests.support.deployment import deploy
from tests.support.local_stack import LocalStack, csv_rows
from tests.support.running_aws import EXECUTION_WAIT_S, RunningAws, eventually

INJECTOR = Path(__file__).with_name("injector.py")
TEMPORARY = "tmp"  # temporary files of functions; on AWS they also remain while a function is warm
LIBRARY_MB = 512  # that functions with torch get beside the memory of others


@dataclass(frozen=True)
class WatchedStack(LocalStack):
    """A deployed StepML, and the objects that its jobs leave."""

    def upload_rows(self, copy: int) -> str:
        """Upload the rows for all jobs, and return their URI.

        Empty lines at the end make another data set of the same rows with the same bits, so each
        ``copy`` is partitioned separately.
        """
        return self.upload(f"data/{copy}/rows.csv", csv_rows(300, 4) + b"\n" * copy)

    def hand_over_after(self, epochs: int) -> None:
        """Let another execution continue each job after a number of epochs."""
        name, _, _ = self.outputs["TriggerFunction"].rpartition("-")
        functions, prepare = self.aws.client("lambda"), f"{name}-prepare"
        before = functions.get_function_configuration(FunctionName=prepare)["Environment"]
        variables = before["Variables"] | {HANDOVER_VARIABLE: str(epochs)}
        functions.update_function_configuration(
            FunctionName=prepare, Environment={"Variables": variables}
        )

    def ended(self, execution: str) -> dict[str, Any]:
        """Wait for an execution; return its description."""
        return self.aws.ended(execution)

    def tidied(self, name: str) -> None:
        """Wait for the end report of a job without a model, or the report of one that has it.

        Finalise may go on, and finish, after the execution has been stopped.
        """
        eventually(
            lambda: (
                self.keys(keys.ended(name))
                or self.keys(keys.report(name))
                or not self.keys(keys.claim(name))
            ),
            bool,
            EXECUTION_WAIT_S,
        )

    def bits(self, name: str) -> dict[str, bytes]:
        """Return a job's model, and its state after each epoch."""
        states = [key for key in self.keys(f"jobs/{name}/epochs/") if "/state" in key]
        return {key.partition(name)[2]: self.read(key) for key in [*states, keys.model(name)]}

    def left_behind(self, name: str) -> list[str]:
        """Return the objects of an ended job that its report does not list."""
        kept = tuple(self.report(name)["kept"])
        stored = [f"s3://{self.bucket}/{key}" for key in self.keys(f"jobs/{name}/")]
        left = [uri for uri in stored if not uri.startswith(kept)]
        return sorted([*left, *self.channel_keys(f"jobs/{name}/")])

    def report(self, name: str) -> dict[str, Any]:
        """Return the report of a job, however it has ended."""
        key = keys.report(name) if self.keys(keys.report(name)) else keys.ended(name)
        report: dict[str, Any] = json.loads(self.read(key))
        return report

    def channel_keys(self, prefix: str) -> list[str]:
        """Return the keys of Redis, Memcached and DynamoDB with ``prefix``."""
        name, _, _ = self.outputs["TriggerFunction"].rpartition("-")  # of the stack
        table = DynamoDBStorage(f"{name}-exchange", self.aws.client("dynamodb"))
        found = [*self.redis_keys(prefix), *table.list(prefix)]
        memcached = MemcachedStorage(self.aws.parameters["MemcachedUrl"])
        with closing(memcached), suppress(StorageUnavailableError):  # no job has needed it
            found += memcached.list(prefix)
        return found

    def redis_keys(self, prefix: str) -> list[str]:
        """Return the keys of Redis with ``prefix``, including those that wake waiters."""
        with redis.Redis.from_url(self.aws.parameters["RedisUrl"]) as client:
            try:
                return [key.decode() for key in client.scan_iter(match=f"*{prefix}*")]
            except redis.ConnectionError:  # no job has needed it
                return []

    def unfinished_uploads(self) -> list[str]:
        """Return the keys of unfinished multipart uploads."""
        listed = self.aws.client("s3").list_multipart_uploads(Bucket=self.bucket)
        return [upload["Key"] for upload in listed.get("Uploads", [])]


@dataclass(frozen=True)
class Hold:
    """A place at which an invocation of a job waits until it is released."""

    directory: Path  # of the injector's plan
    fault: Fault

    def reached(self) -> None:
        """Wait until an invocation is held."""
        claim = self.directory / "claims" / self.fault.name
        eventually(claim.exists, bool, EXECUTION_WAIT_S)

    def release(self) -> None:
        released = self.directory / "released"
        released.mkdir(exist_ok=True)
        (released / self.fault.name).touch()


@dataclass(frozen=True)
class FaultyStack(WatchedStack):
    """A deployed StepML with the injector in its functions."""

    directory: Path  # of the injector's plans

    def place(self, name: str, channel: str, faults: Iterable[Mapping[str, Any]] = ()) -> None:
        """Plan ``faults`` for the job ``name``, and record its writes."""
        directory = self.directory / name
        directory.mkdir()
        (directory / "channel").write_text(channel)
        (directory / "plan.json").write_text(json.dumps([*faults]))

    @contextmanager
    def holding(
        self, name: str, point: Point, moment: str = "enter", *, channel: str = "s3", skips: int = 0
    ) -> Iterator[Hold]:
        """Hold the job ``name`` at a point that it has not reached yet, at most until the end.

        Parameters
        ----------
        name : str
            `ANY` for all jobs without a plan, until all functions have ended.
        point : Point
        moment : str
        channel : str
            The job's.
        skips : int
            Passages of the point before it is held.
        """
        directory = self.directory / name
        hold = Hold(directory, Fault(point, moment, "hold", skips=skips))
        if not directory.exists():
            self.place(name, channel)
        plan, written = directory / "plan.json", directory / "plan.new"
        planned = json.loads(plan.read_text())
        written.write_text(json.dumps([*planned, hold.fault.planned()]))
        written.replace(plan)  # an invocation may be reading it
        try:
            yield hold
        finally:
            hold.release()
            if name == ANY:
                eventually(lambda: busy(self.aws), lambda functions: not functions)
                shutil.rmtree(directory)

    def writes(self, name: str) -> list[dict[str, Any]]:
        """Return the writes of a job, in the order in which they began."""
        lines = (self.directory / name / "writes.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def notes(self, name: str, kind: str) -> dict[str, str]:
        """Return the injector's records of a job: its ``claims``, or ``copies``."""
        directory = self.directory / name / kind
        if not directory.exists():
            return {}
        return {path.name: path.read_text() for path in directory.iterdir()}

    def redriven(self, execution: str, name: str) -> dict[str, Any]:
        """Redrive the execution of the job ``name``, wait for it and return its description."""
        self.aws.client("stepfunctions").redrive_execution(executionArn=execution)
        (self.directory / name / "redriven").touch()
        return self.ended(execution)

    def put_back(self, name: str) -> None:
        """Restore the objects that faults have damaged or lost."""
        for path in (self.directory / name / "originals").iterdir():
            self.upload(unquote(path.name), path.read_bytes())

    def temporary_files(self) -> list[str]:
        """Return the remaining temporary files of functions."""
        return sorted(path.name for path in (self.directory.parent / TEMPORARY).iterdir())


def deploy_faulty(
    aws: RunningAws,
    directory: Path,
    *,
    name: str = "stepml",
    concurrency: int | None = None,
    keeps_code: bool = False,
    **limits: Any,
) -> FaultyStack:
    """Deploy the real template with the injector in its package.

    Parameters
    ----------
    aws : RunningAws
    directory : Path
        For the template and for plans.
    name : str
        Of the stack.
    concurrency : int, optional
        The stack's ``AccountConcurrency``; by default the account's real limit.
    keeps_code : bool
        Whether jobs run versions of functions. Without them, a test may change the settings of a
        function by hand.
    **limits
        Properties that all functions get, such as ``Timeout``.
    """
    place = directory / name
    plans = place / "plans"
    plans.mkdir(parents=True)
    (place / TEMPORARY).mkdir()
    (place / "template.json").write_text(json.dumps(_template(place, plans, limits)))
    parameters = {"FunctionVersions": "on" if keeps_code else "off"}
    if concurrency is not None:
        parameters["AccountConcurrency"] = str(concurrency)
    outputs = deploy(
        aws.endpoint_url,
        place / "template.json",
        stack_name=name,
        parameters=aws.parameters | parameters,
    )
    return FaultyStack(aws, outputs, plans)


def _template(place: Path, plans: Path, limits: Mapping[str, Any]) -> dict[str, Any]:
    template = without_images(read_template(template_path()))
    variables = template["Globals"]["Function"]["Environment"]["Variables"]
    variables |= {DIRECTORY_VARIABLE: str(plans), "TMPDIR": str(place / TEMPORARY)}
    _pack(place / "code")
    for resource in template["Resources"].values():
        properties = resource["Properties"]
        if resource["Type"] == FUNCTION:
            module = properties["Handler"].split(".")[1]
            own = {**limits}
            if "MemorySize" in limits and properties["CodeUri"].endswith("code-torch"):
                own["MemorySize"] += LIBRARY_MB
            properties |= {"CodeUri": "code", "Handler": f"injector.{module}", **own}
            resource.pop("Metadata", None)  # the context of an image, which is no image here
        if "DefinitionUri" in properties:
            source = template_path().parent / properties["DefinitionUri"]
            properties["DefinitionUri"] = str(source.resolve())
    return template


def _pack(directory: Path) -> None:
    """Build the functions' package with the injector."""
    for name, source in FUNCTION_PACKAGES["code"].files().items():
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    shutil.copyfile(INJECTOR, directory / INJECTOR.name)


def busy(aws: RunningAws) -> list[dict[str, Any]]:
    """Return the environments that run an invocation."""
    return [each for each in aws.status()["environments"] if each["state"] != "idle"]
