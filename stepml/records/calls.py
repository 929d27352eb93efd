"""The calls of a Task in a history: what was called, and what its answer says about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stepml.records.json_answers import json_object
from stepml.records.visits import Attempt, VisitStatus

_EXECUTION_ARN = re.compile(r"arn:[^:\"\\]+:states:[^:\"\\]*:\d*:execution:[^:\"\\]+:[^:\"\\]+")
_ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
# Errors of the platform: "RequestId: <id> Error: …", and "<time> <id> Task timed out after …".
_REQUEST_ID = re.compile(rf"RequestId: (?P<id>{_ID})\b|^\S+Z (?P<timed_out>{_ID}) Task timed out")


@dataclass(slots=True, eq=False)
class OpenAttempt:
    """An attempt whose facts are still arriving."""

    started_at: datetime
    function: str | None = None
    parameters: str = ""
    redrive: int = 0
    status: VisitStatus = "RUNNING"
    ended_at: datetime | None = None
    error: str | None = None
    cause: str | None = None
    child: str | None = None
    request_id: str | None = None

    @classmethod
    def of(cls, started_at: datetime, details: Mapping[str, Any], redrive: int) -> OpenAttempt:
        """Return the attempt that an event ``…Scheduled`` begins."""
        parameters = details.get("parameters") or details.get("input") or ""
        function = details.get("resource") if "parameters" not in details else None
        called = json_object(parameters).get("FunctionName", function)
        return cls(started_at, called if isinstance(called, str) else None, parameters, redrive)

    def submit(self, output: str) -> None:
        """Note the child execution that the service has started."""
        self.child = execution_arn_in(output)

    def succeed(self, ended_at: datetime, output: str) -> None:
        """Note an answer."""
        self.request_id = _request_id_of(json_object(output))
        self.end("SUCCEEDED", ended_at)

    def fail(self, ended_at: datetime, error: str, cause: str | None, *, timed_out: bool) -> None:
        """Note an error."""
        self.error, self.cause = error, cause
        self.child = self.child or execution_arn_in(cause or "")
        self.request_id = _failed_request_id(cause or "")
        self.end("TIMED_OUT" if timed_out else "FAILED", ended_at)

    def end(self, status: VisitStatus, ended_at: datetime) -> None:
        """End the attempt, unless it has ended."""
        if self.ended_at is None:
            self.status, self.ended_at = status, ended_at

    def attempt(self, number: int) -> Attempt:
        """Return the attempt so far, with a number."""
        return Attempt(
            number=number,
            status=self.status,
            started_at=self.started_at,
            ended_at=self.ended_at,
            error=self.error,
            cause=self.cause,
            function=self.function,
            parameters=self.parameters,
            child=self.child,
            request_id=self.request_id,
            redrive=self.redrive,
        )


def execution_arn_in(text: str) -> str | None:
    """Return the first ARN of an execution in a text, or None."""
    found = _EXECUTION_ARN.search(text)
    return None if found is None else found[0]


def _request_id_of(answer: Mapping[str, Any]) -> str | None:
    """Return the id of an invocation, in the answer of Lambda as Step Functions writes it."""
    found = answer.get("SdkResponseMetadata")
    request_id = found.get("RequestId") if isinstance(found, dict) else None
    return request_id if isinstance(request_id, str) and "Payload" in answer else None


def _failed_request_id(cause: str) -> str | None:
    """Return the id of an invocation, in the error of a function or of its platform."""
    error = json_object(cause)
    if isinstance(error.get("requestId"), str):  # of Python's runtime
        return str(error["requestId"])
    message = error.get("errorMessage", cause)
    found = _REQUEST_ID.search(message) if isinstance(message, str) else None
    return None if found is None else found["id"] or found["timed_out"]
