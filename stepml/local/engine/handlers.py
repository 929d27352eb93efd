"""The effect of a state's ``Retry`` and ``Catch`` on an error, without a run."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from typing import Any

from stepml.local.engine.paths import parsed
from stepml.local.engine.payloads import NAMED_ONLY

ALL, TASK_FAILED = "States.ALL", "States.TaskFailed"
# The defaults of Amazon States Language.
INTERVAL_S, MAX_ATTEMPTS, BACKOFF_RATE = 1, 3, 2.0


@dataclass(frozen=True, slots=True)
class Handled:
    """The status of a failed state, as TestState reports it."""

    status: str  # FAILED, RETRIABLE or CAUGHT_ERROR
    fields: dict[str, Any] = field(default_factory=dict)  # of the answer: output, nextState
    details: dict[str, Any] = field(default_factory=dict)  # of the retrier or catcher


def handle(state: dict[str, Any], error: str, cause: str, given: Any, retries: int) -> Handled:
    """Return the reaction of ``state`` to an ``error``: a retry, a catch or its failure.

    Parameters
    ----------
    state : dict
    error, cause : str
    given : object
        The state's input, into which a catcher puts the error.
    retries : int
        Attempts of the matching retrier that have taken place.
    """
    for index, retrier in enumerate(state.get("Retry", [])):
        if matches(retrier["ErrorEquals"], error):
            if retries >= retrier.get("MaxAttempts", MAX_ATTEMPTS):
                break
            return Handled("RETRIABLE", details=_retry_details(index, retrier, retries))
    for index, catcher in enumerate(state.get("Catch", [])):
        if matches(catcher["ErrorEquals"], error):
            output = placed(given, catcher.get("ResultPath", "$"), {"Error": error, "Cause": cause})
            fields = {"output": json.dumps(output), "nextState": catcher["Next"]}
            return Handled("CAUGHT_ERROR", fields, {"catchIndex": index})
    return Handled("FAILED")


def matches(names: list[str], error: str) -> bool:
    """Return whether ``ErrorEquals`` with ``names`` matches ``error``."""
    if error in names:
        return True
    if ALL in names:
        return error not in NAMED_ONLY
    return TASK_FAILED in names and not error.startswith("States.")


def _retry_details(index: int, retrier: dict[str, Any], retries: int) -> dict[str, Any]:
    delay_s = retrier.get("IntervalSeconds", INTERVAL_S) * (
        retrier.get("BackoffRate", BACKOFF_RATE) ** retries
    )
    limit_s = retrier.get("MaxDelaySeconds", delay_s)
    return {"retryIndex": index, "retryBackoffIntervalSeconds": int(min(delay_s, limit_s))}


def placed(given: Any, path: str | None, value: Any) -> Any:
    """Return ``given`` with ``value`` at a ResultPath; None leaves it as it is."""
    if path is None:
        return given
    if path == "$":
        return value
    return parsed(path).update_or_create(copy.deepcopy(given), value)
