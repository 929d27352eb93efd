"""The platform's lines in a function's log, and its error objects, in Lambda's words."""

from __future__ import annotations

import json
import math
import platform
from dataclasses import dataclass
from datetime import UTC, datetime

from stepml.local.functions.errors import (
    InitFailedError,
    SandboxError,
    SandboxExitedError,
    SandboxTimeoutError,
)
from stepml.local.functions.function import Invocation
from stepml.local.functions.runtime_api import MAX_BODY_BYTES


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer of an invocation."""

    payload: bytes  # JSON: the result or the error object
    is_error: bool = False
    platform_error: str | None = None  # the error type if the platform found it, not the handler
    log_line: str | None = None  # of the platform, about it


def error_payload(error_type: str, message: str) -> bytes:
    return json.dumps({"errorType": error_type, "errorMessage": message}).encode()


def sandbox_failure(error: SandboxError, request_id: str, timeout_s: float) -> Outcome:
    """Return Lambda's answer for a process that did not answer."""
    match error:
        case SandboxTimeoutError():
            return timed_out(request_id, timeout_s)
        case SandboxExitedError():
            return exited(request_id, error.reason)
        case InitFailedError():
            return init_failed(error.payload)
    raise error  # there are no others


def timed_out(request_id: str, timeout_s: float) -> Outcome:
    what = f"Task timed out after {timeout_s:.2f} seconds"
    payload = error_payload("Sandbox.Timedout", f"RequestId: {request_id} Error: {what}")
    return Outcome(payload, True, "Sandbox.Timedout", f"{_now()} {request_id} {what}")


def exited(request_id: str, reason: str) -> Outcome:
    how = f"exited with error: {reason}" if reason else "exited without providing a reason"
    message = f"RequestId: {request_id} Error: Runtime {how}"
    payload = error_payload("Runtime.ExitError", message)
    return Outcome(payload, True, "Runtime.ExitError", message)


def init_failed(payload: bytes) -> Outcome:
    """Return the runtime client's own error object; the client has written its log line."""
    return Outcome(payload, True, _error_type(payload))


def response_too_large() -> Outcome:
    message = (
        f"Response payload size exceeded maximum allowed payload size ({MAX_BODY_BYTES} bytes)."
    )
    error_type = "Function.ResponseSizeTooLarge"
    return Outcome(error_payload(error_type, message), True, error_type, message)


def internal_failure(error: Exception) -> Outcome:
    """Return the answer if the local AWS itself failed; Step Functions can retry this error."""
    message = f"The local execution environment failed: {type(error).__name__}: {error}"
    return Outcome(error_payload("Lambda.Unknown", message), True, "Lambda.Unknown", message)


def failed(request_id: str, error: Exception) -> Invocation:
    """Return the result of an invocation for which the local AWS itself failed."""
    return Invocation(request_id, internal_failure(error).payload, "Unhandled", b"")


def init_start_line() -> str:
    return f"INIT_START Runtime Version: python:{platform.python_version()}"


def init_report_line(duration_s: float, status: str, error_type: str | None = None) -> str:
    line = f"INIT_REPORT Init Duration: {duration_s * 1000:.2f} ms\tPhase: init\tStatus: {status}"
    return line + (f"\tError Type: {error_type}" if error_type else "")


def start_line(request_id: str) -> str:
    return f"START RequestId: {request_id} Version: $LATEST"


def end_line(request_id: str) -> str:
    return f"END RequestId: {request_id}"


def report_line(
    request_id: str,
    *,
    duration_s: float,
    memory_mb: int,
    peak_memory_mb: float,
    init_s: float | None,
    platform_error: str | None,
) -> str:
    """Return the REPORT line; ``init_s``, given for a cold start only, is billed as on AWS."""
    billed_ms = math.ceil((duration_s + (init_s or 0.0)) * 1000)
    # A process above the limit is killed, so AWS never shows more than the limit.
    peak_mb = min(memory_mb, math.ceil(peak_memory_mb))
    fields = [
        f"REPORT RequestId: {request_id}",
        f"Duration: {duration_s * 1000:.2f} ms",
        f"Billed Duration: {billed_ms} ms",
        f"Memory Size: {memory_mb} MB",
        f"Max Memory Used: {peak_mb} MB",
    ]
    if init_s is not None:
        fields.append(f"Init Duration: {init_s * 1000:.2f} ms")
    if platform_error == "Sandbox.Timedout":
        fields.append("Status: timeout")
    elif platform_error:
        fields += ["Status: error", f"Error Type: {platform_error}"]
    return "\t".join([*fields, ""])


def _error_type(payload: bytes) -> str:
    try:
        return str(json.loads(payload)["errorType"])
    except (ValueError, KeyError, TypeError):  # the process may send anything
        return "Runtime.Unknown"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
