"""Examines a deployment: account, limits, versions, functions, drift."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stepml.client.connection import Connection, translated
from stepml.deployment.artefacts import Place
from stepml.deployment.findings import Finding, status_of, version_of
from stepml.deployment.preflight import USUAL_CONCURRENCY
from stepml.deployment.records import StackState
from stepml.deployment.server_findings import examined_servers
from stepml.deployment.stacks import Stacks
from stepml.packaging.functions import function_names
from stepml.records.errors import ServiceRefusedError

DRIFT_WAIT_S = 600.0
_UNSUPPORTED = frozenset({"InvalidAction", "UnknownOperationException"})
# Until when AWS supports the runtimes of functions, as of November 2026.
RUNTIMES = {"python3.12": "2028-10-31", "python3.13": "2029-06-30"}


@dataclass(slots=True)
class Doctor:
    """Examines one deployment without changing it.

    Parameters
    ----------
    connection : Connection
    place : Place
        The account and region of the connection.
    stack : StackState
    version : str
        Of this client.
    """

    connection: Connection
    place: Place
    stack: StackState
    version: str
    wait_s: float = DRIFT_WAIT_S

    def findings(self) -> Iterator[Finding]:
        """Yield each finding when it is made."""
        yield Finding("account", "ok", f"{self.place.account}, {self.place.region}")
        yield self._status()
        yield self._versions()
        yield from examined_servers(self.connection, self.stack, self.version)
        yield self._limit()
        yield from self._functions()
        yield self._drift()

    def _status(self) -> Finding:
        return status_of(self.stack, "stack")

    def _versions(self) -> Finding:
        return version_of(self.stack, self.version, "version")

    def _limit(self) -> Finding:
        with translated(self.connection.endpoint_url):
            limits = self.connection.client("lambda").get_account_settings()["AccountLimit"]
        free = limits["UnreservedConcurrentExecutions"]
        planned = int(self.stack.parameters.get("AccountConcurrency", USUAL_CONCURRENCY))
        if planned > free:
            words = f"the stack plans with {planned}, the account has {free}: run stepml deploy"
            return Finding("functions at once", "problem", words)
        return Finding("functions at once", "ok", f"{planned} planned, {free} of the account")

    def _functions(self) -> Iterator[Finding]:
        present = [each for each in map(self._configuration, function_names()) if each is not None]
        bad = [
            f"{each['FunctionName']} is {each['State']}"
            for each in present
            if each.get("State", "Active") not in ("Active", "Inactive")
        ]
        words = ", ".join(bad) or f"{len(present)}, all ready"
        yield Finding("functions", "problem" if bad or not present else "ok", words)
        for runtime in sorted({each["Runtime"] for each in present if "Runtime" in each}):
            end = RUNTIMES.get(runtime)
            words = f"{runtime}, supported until {end}" if end else f"{runtime} is not known here"
            yield Finding("runtime", "ok" if end else "note", words)

    def _configuration(self, name: str) -> dict[str, Any] | None:
        """Return the configuration of a function; None for one that this deployment lacks."""
        try:
            with translated(self.connection.endpoint_url):
                functions = self.connection.client("lambda")
                answer: Any = functions.get_function_configuration(
                    FunctionName=f"{self.stack.name}-{name}"
                )
        except ServiceRefusedError as error:
            if error.code != "ResourceNotFoundException":
                raise
            return None
        return dict(answer)

    def _drift(self) -> Finding:
        try:
            drifted = self._drifted()
        except ServiceRefusedError as error:
            if error.code not in _UNSUPPORTED:
                raise
            return Finding("drift", "note", "not examined: this AWS does not detect it")
        except TimeoutError as error:
            return Finding("drift", "note", str(error))
        if drifted:
            words = f"changed by hand: {', '.join(drifted)}"
            return Finding("drift", "problem", words)
        return Finding("drift", "ok", "all resources are as the template has them")

    def _drifted(self) -> list[str]:
        """Return the names of resources that are no longer as the template has them."""
        stacks = self.connection.client("cloudformation")
        with translated(self.connection.endpoint_url):
            detection = stacks.detect_stack_drift(StackName=self.stack.id)["StackDriftDetectionId"]
            deadline = time.monotonic() + self.wait_s
            while True:
                state = stacks.describe_stack_drift_detection_status(
                    StackDriftDetectionId=detection
                )
                if state["DetectionStatus"] != "DETECTION_IN_PROGRESS":
                    break
                if time.monotonic() > deadline:
                    raise TimeoutError(f"not known after {self.wait_s:.0f} s")
                time.sleep(self.connection.poll_s)
            answer = stacks.describe_stack_resource_drifts(
                StackName=self.stack.id, StackResourceDriftStatusFilters=["MODIFIED", "DELETED"]
            )
        return [each["LogicalResourceId"] for each in answer["StackResourceDrifts"]]


def find(connection: Connection, name: str) -> StackState | None:
    """Return the stack to examine, or None if there is none."""
    return Stacks(connection).find(name)
