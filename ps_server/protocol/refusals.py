"""The reasons for which a parameter server refuses a call; every transport carries their names.

::

    Refusal
    ├── AccessDenied          no token, or a wrong one; nothing else is said
    ├── InvalidRequest        a field is wrong: which, what is allowed, what was given
    ├── UnknownJob            not registered (any more): register, push again
    ├── JobConflict           registered with other settings
    ├── MemoryExceeded        there is no room for the job
    ├── ContributionsMissing  the wait is over; names the ranks that have not pushed
    ├── StepForgotten         the other ranks are past the step, and its sum is gone; or no model
    ├── DamagedVector         the checksum, the length or the type is wrong
    └── Draining              the server is about to stop; its successor has everything
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class Refusal(Exception):  # noqa: N818 — an answer of the server, not of this program
    """Base of all refusals; ``fields`` names the attributes beside the message."""

    fields: ClassVar[tuple[str, ...]] = ()


class AccessDenied(Refusal):
    """The caller has not shown the deployment's token."""


class InvalidRequest(Refusal, ValueError):  # noqa: N818 — as all of them
    """The message names the field, what is allowed and what was given."""


class UnknownJob(Refusal):
    """The job is not registered, or no longer."""


class JobConflict(Refusal):
    """The job is registered with other settings."""


class MemoryExceeded(Refusal):
    """The job, or a message of it, does not fit beside the others."""

    fields = ("needed_bytes", "free_bytes", "limit_bytes")

    def __init__(self, message: str, needed_bytes: int, free_bytes: int, limit_bytes: int) -> None:
        self.needed_bytes = needed_bytes
        self.free_bytes = free_bytes
        self.limit_bytes = limit_bytes
        super().__init__(message)


class ContributionsMissing(Refusal):
    """A pull has waited as long as it may.

    Attributes
    ----------
    ranks : tuple of int
        Ranks that have not pushed yet; of a stale-synchronous model, those too far behind.
    frontier : int
        The furthest batch of the epoch that a rank of the same attempt has pushed to.
    """

    fields = ("ranks", "frontier")

    def __init__(self, message: str, ranks: Sequence[int], frontier: int = 0) -> None:
        self.ranks = tuple(ranks)
        self.frontier = frontier
        super().__init__(message)


class StepForgotten(Refusal):
    """The other ranks are past a step, and its sum is gone; or there is no such model."""


class DamagedVector(Refusal):
    """A pushed message is damaged, or does not fit the others of its step."""


class Draining(Refusal):
    """The server is about to stop."""
