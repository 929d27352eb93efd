"""Why a parameter server refuses a call; each travels under its own name over every transport.

::

    Refusal
    ├── AccessDenied          no token, or a wrong one; nothing else is said
    ├── InvalidRequest        a field is wrong: which, what is allowed, what was given
    ├── UnknownJob            not registered (any more): register, push again
    ├── JobConflict           registered with other settings
    ├── MemoryExceeded        there is no room for the job
    ├── ContributionsMissing  the wait is over; names the ranks that have not pushed
    ├── StepForgotten         the others are through with the step, and its sum is gone
    ├── DamagedVector         the checksum, the length or the type is wrong
    └── Draining              it is about to stop; whoever comes after it has everything
"""

from __future__ import annotations

from collections.abc import Sequence


class Refusal(Exception):  # noqa: N818 — an answer of the server, not of this program
    """Base of all refusals."""


class AccessDenied(Refusal):
    """The caller has not shown the deployment's token."""


class InvalidRequest(Refusal, ValueError):  # noqa: N818 — as all of them
    """The message names the field, what is allowed and what was given."""


class UnknownJob(Refusal):
    """Nothing is known of the job, or no longer."""


class JobConflict(Refusal):
    """The job is registered with other settings."""


class MemoryExceeded(Refusal):
    """The job does not fit beside the others.

    Attributes
    ----------
    needed_bytes, free_bytes, limit_bytes : int
    """

    def __init__(self, message: str, needed_bytes: int, free_bytes: int, limit_bytes: int) -> None:
        self.needed_bytes = needed_bytes
        self.free_bytes = free_bytes
        self.limit_bytes = limit_bytes
        super().__init__(message)


class ContributionsMissing(Refusal):
    """A pull has waited as long as it was told to.

    Attributes
    ----------
    ranks : tuple of int
        Those that have not pushed yet; of a stale-synchronous model, those too far behind.
    frontier : int
        The furthest batch of the epoch that a rank of the same attempt has pushed to.
    """

    def __init__(self, message: str, ranks: Sequence[int], frontier: int = 0) -> None:
        self.ranks = tuple(ranks)
        self.frontier = frontier
        super().__init__(message)


class StepForgotten(Refusal):
    """The ranks are through with a step, and its sum is gone; or a model is not there."""


class DamagedVector(Refusal):
    """What was pushed is not a message, or not one that fits the others of its step."""


class Draining(Refusal):
    """The server is about to stop."""
