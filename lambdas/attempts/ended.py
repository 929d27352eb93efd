"""The notice that an execution has ended."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Self

import msgspec

from stepml.job import errors
from stepml.job.conversion import converted
from stepml.job.errors import (
    DamagedValueError,
    InvalidTaskError,
    KeyNotFoundError,
    StepMLError,
)
from stepml.job.reports import Fence


class EndedExecution(msgspec.Struct, frozen=True, rename="camel"):
    """The fields of EventBridge's "Step Functions Execution Status Change" that matter here.

    https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
    """

    execution_arn: str
    name: str
    status: str
    start_date: int  # milliseconds since 1970
    stop_date: int
    redrive_count: int | None = None
    input: str | None = None  # left out if it is too long
    error: str | None = None
    cause: str | None = None

    @classmethod
    def of_notice(cls, event: dict[str, Any]) -> Self:
        """Return the detail of a notice, or raise `InvalidTaskError`."""
        try:
            return converted(event["detail"], cls)
        except (KeyError, msgspec.ValidationError) as error:
            raise InvalidTaskError(f"EndedExecution: {error}") from None

    @property
    def stopped_at(self) -> str:
        """The time of its end, ISO 8601."""
        return _timestamp(self.stop_date)

    @property
    def possible_starts(self) -> list[str]:
        """The times of its start, ISO 8601: the notice and the state machine may round it."""
        return [_timestamp(self.start_date + off_ms) for off_ms in (0, -1, 1)]

    @property
    def was_refused(self) -> bool:
        """Whether Prepare ended a job without a claim, so that it has never begun.

        Otherwise its claim is lost, and later states miss the job's other objects, or end with the
        error of a child.
        """
        error = vars(errors).get(self.error or "", Exception)
        is_named = issubclass(error, StepMLError)
        return is_named and not issubclass(error, (KeyNotFoundError, DamagedValueError))

    @property
    def input_document(self) -> dict[str, Any]:
        """Its input; empty if the notice has none."""
        document = msgspec.json.decode(self.input) if self.input else {}
        return document if isinstance(document, dict) else {}

    @property
    def attempt(self) -> str:
        """The attempt at an epoch that ended with it, if it was an epoch's execution."""
        return f"{self.name}.{self.redrive_count or 0}"

    @property
    def fence(self) -> Fence:
        """The fence that stops its functions."""
        return Fence(until=self.stopped_at, status=self.status, execution=self.name)


def _timestamp(milliseconds: int) -> str:
    found = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")
