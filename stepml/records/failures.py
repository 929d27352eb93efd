"""Finds the innermost error of a failed execution, as one line.

``error`` and ``cause`` of a failed execution have many forms. A failed epoch is a
``States.TaskFailed`` with the child execution as JSON, whose ``Cause`` is JSON again: a Lambda
function's error. AWS cuts a cause off at 32,768 characters, which leaves invalid JSON; names and
messages before the cut are recovered by their quotes.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from stepml.records.json_answers import json_object

# Nested causes: the parent's, the child's, a Lambda function's, and some for nested groups.
MAX_DEPTH = 8
# Errors of a wrapper, around a more precise one.
_WRAPPERS = frozenset({"", "States.TaskFailed", "States.ALL"})
# Errors in the job itself, found before it starts: it must be corrected and started anew.
_OF_THE_JOB = frozenset(
    {
        "InvalidJobError",
        "InvalidCodeError",
        "InvalidNetworkError",
        "ModelTooLargeError",
        "JobIdTakenError",
    }
)
# Errors in the data as they were planned.
_OF_THE_DATA = frozenset(
    {"BadLabelError", "BadRowError", "EmptyDataError", "InvalidDataError", "NotEnoughDataError"}
)
# The data were corrected after they were planned.
_OF_CHANGED_DATA = frozenset({"ValueChangedError"})
# Results of the job's own numbers, which are the same each time.
_OF_THE_NUMBERS = frozenset({"CompressionError", "DoubtfulResultError", "TrainingDivergedError"})
# Refusals of the job that a change outside it may lift, and that change.
_OUTSIDE = {
    "CodeNotFoundError": "once the zip file is there, and the functions may read it",
    "DataDeniedError": "once the functions may read the data",
    "DataNotFoundError": "once the data are there",
    "NotAvailableError": "once the stack provides it",
    "NotEnoughConcurrencyError": "once the account may run more functions",
    "NotEnoughServerMemoryError": "once the server has more memory",
}
_STATUS_ERRORS = {"TIMED_OUT": "States.Timeout", "ABORTED": "ExecutionAborted"}
STOPPED = "it was stopped"  # nobody said why
_STATUS_MESSAGES = {
    "TIMED_OUT": "it exceeded its time limit",
    "ABORTED": STOPPED,
    "FAILED": "no reason was given",
}


# The message of `PeerFailedError`: a rank waited for another one, which had failed.
_OF_A_PEER = re.compile(r"rank (?P<rank>\d+) failed: (?P<error>[\w.]+): (?P<message>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Failure:
    """The first error of a failed execution."""

    error: str  # class name, e.g. BadRowError or States.Timeout
    message: str  # one line
    rank: int | None = None  # the failed rank; None if no rank failed, or it is unknown
    epoch: int | None = None  # None before and after training
    log_group: str = ""  # of the failed function; empty if unknown
    log_stream: str = ""
    state: str = ""  # of the epoch's machine, if no rank failed: Reduce, MergeChunk

    @property
    def is_final(self) -> bool:
        """Whether a retry would fail with the same error, as it is in the job itself."""
        return self.error in _OF_THE_JOB

    @property
    def needs_new_plan(self) -> bool:
        """Whether the data must be planned anew: they are unsuitable, or have changed since."""
        return self.error in _OF_THE_DATA | _OF_CHANGED_DATA

    @property
    def needs_change(self) -> bool:
        """Whether the job or its data must be corrected, as they would fail in the same way."""
        return self.is_final or self.error in _OF_THE_DATA | _OF_THE_NUMBERS

    @property
    def is_checkable(self) -> bool:
        """Whether `stepml check` names the error, and others beside it; it reads few rows."""
        return self.error in _OF_THE_DATA - {"BadRowError"} | {"InvalidJobError"}

    @property
    def way_out(self) -> str:
        """The change outside the job after which it can be resumed, or "" if there is none.

        A correction of the job is the other way out.
        """
        return _OUTSIDE.get(self.error, "")

    def __str__(self) -> str:
        return f"{self.error}: {self.message}" if self.message else self.error

    @property
    def with_rank(self) -> str:
        """Return the error, preceded by the failed rank if that is known."""
        return str(self) if self.rank is None else f"rank {self.rank}: {self}"


def first_failure(status: str, error: str | None = None, cause: str | None = None) -> Failure:
    """Return the innermost error of an execution that ended with ``status``.

    Parameters
    ----------
    status : str
        FAILED, TIMED_OUT or ABORTED.
    error, cause : str, optional
        From DescribeExecution. Any text is accepted; JSON is parsed.
    """
    found = _innermost(error or "", cause or "", MAX_DEPTH)
    name = found.error or _STATUS_ERRORS.get(status, "ExecutionFailed")
    message = found.message or _STATUS_MESSAGES.get(status, "")
    peer = _OF_A_PEER.fullmatch(message) if name == "PeerFailedError" else None
    if peer is not None:
        return Failure(peer["error"], one_line(peer["message"]), int(peer["rank"]))
    return Failure(name, one_line(message))


def _innermost(error: str, cause: str, depth: int) -> Failure:
    document = _decoded(cause)
    if document is None or depth == 0:
        return _recovered(error, cause)
    inner_error, inner_cause = _inside(document)
    if inner_error is None and inner_cause is None:
        return _from_child_without_error(error, document, cause)
    name = inner_error if inner_error not in (None, "") else error
    inner = _innermost(str(name), inner_cause or "", depth - 1)
    return inner if inner.error not in _WRAPPERS or not error else Failure(error, inner.message)


def _decoded(cause: str) -> dict[str, Any] | None:
    return json_object(cause) or None


def _inside(document: dict[str, Any]) -> tuple[str | None, str | None]:
    if "errorMessage" in document or "errorType" in document:  # a Lambda function's error
        return _text(document.get("errorType")), _text(document.get("errorMessage"))
    # DescribeExecution of a child: .sync:2 writes Error, .sync and other services may write error.
    error = document.get("Error", document.get("error"))
    return _text(error), _text(document.get("Cause", document.get("cause")))


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)


def _from_child_without_error(error: str, document: dict[str, Any], cause: str) -> Failure:
    status = document.get("Status", document.get("status"))
    if status not in _STATUS_ERRORS:
        return Failure(error, cause)
    name = document.get("Name", document.get("name")) or "a child execution"
    return Failure(_STATUS_ERRORS[status], f"{name}: {_STATUS_MESSAGES[status]}")


def _recovered(error: str, cause: str) -> Failure:
    """Search names and messages in text that is not valid JSON."""
    if not cause.lstrip().startswith("{"):
        return Failure(error, cause)
    name = _deepest(cause, ("errorType",)) or _deepest(cause, ("Error", "error"))
    message = _deepest(cause, ("errorMessage",))
    if name is None and message is None:
        return Failure(error, cause)
    return Failure(name or error, message or "")


def _deepest(text: str, fields: tuple[str, ...]) -> str | None:
    found: str | None = None
    for depth in range(MAX_DEPTH // 2):  # a quote of depth d is escaped by 2^d - 1 backslashes
        for field in fields:
            value = _field_at(text, field, depth)
            found = value if value is not None else found
    return found


def _field_at(text: str, field: str, depth: int) -> str | None:
    quote = "\\" * (2**depth - 1) + '"'
    begin = re.search(
        rf"(?<!\\){re.escape(quote + field + quote)}\s*:\s*{re.escape(quote)}(?!\")", text
    )
    if begin is None:
        return None
    end = re.compile(rf"(?<!\\){re.escape(quote)}").search(text, begin.end())
    value = text[begin.end() : end.start() if end else len(text)]
    return _unescaped(value, depth + 1)


def _unescaped(value: str, times: int) -> str:
    for _ in range(times):
        # The cut may have left half an escape at the end.
        value = re.sub(r"(?<!\\)((?:\\\\)*)\\(?:u[0-9a-fA-F]{0,3})?$", r"\1", value)
        try:
            value = json.loads(f'"{value}"', strict=False)
        except ValueError:
            return value
    return value


def one_line(message: str) -> str:
    """Return ``message`` with every run of white space replaced by one blank."""
    return " ".join(message.split())
