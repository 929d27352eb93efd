"""The types of the calls between a parameter server and its clients, for every transport."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, get_args

import msgspec
from msgspec import Meta

from comm.wire import Compression, Message, decode, encode_parts
from ps_server.protocol.refusals import InvalidRequest
from stepml.job.algorithms import GradientAveraging
from stepml.job.conversion import decoded
from stepml.job.step import Step

Rule = Literal["bulk_synchronous", "asynchronous", "stale_synchronous"]

ALL_RANKS = -1  # of a push of a whole sum, which the server has lost
MOST_RANKS = 1600  # stepml.job.spec.MAX_WORKERS
MOST_NAME_BYTES = 200  # of a job's name, a prefix or an attempt
MOST_WAIT_S = 30.0  # of one pull; a longer wait takes several
LEAST_FRAME_BYTES, MOST_FRAME_BYTES = 2**16, 2**26  # of a piece of a message
DEFAULT_PORT = 7070
DEFAULT_HEALTH_PORT = 7072


class ServerUpdate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The optimiser that a server runs on pushed gradients; travels as JSON."""

    descent: GradientAveraging  # its optimiser, learning rate and schedule
    max_epochs: Annotated[int, Meta(ge=1)]  # for the schedule
    n_updates: Annotated[int, Meta(ge=1)]  # of each rank in an epoch


@dataclass(frozen=True, slots=True)
class JobSettings:
    """The settings of a job, the same at every registration."""

    world_size: int
    message_bytes: int  # of its largest message, header included: memory is set aside for it
    rule: Rule = "bulk_synchronous"
    max_staleness: int = 0  # of stale_synchronous: updates that a rank may be ahead of the slowest
    compression: Compression = "none"  # of sums
    server_update: str = ""  # of the asynchronous rules: JSON of a ServerUpdate; empty: changes

    def __post_init__(self) -> None:
        _require("world_size", self.world_size, 1 <= self.world_size <= MOST_RANKS, "1 to 1600")
        _require("message_bytes", self.message_bytes, self.message_bytes >= 32, "32 or more")
        _require("rule", self.rule, self.rule in get_args(Rule), ", ".join(get_args(Rule)))
        choices = get_args(Compression)
        _require("compression", self.compression, self.compression in choices, ", ".join(choices))
        _require("max_staleness", self.max_staleness, self.max_staleness >= 0, "0 or more")
        if self.server_update:
            if self.rule == "bulk_synchronous":
                raise InvalidRequest("server_update: goes with the asynchronous rules only")
            self.parsed_update()

    def parsed_update(self) -> ServerUpdate | None:
        """Return the optimiser that the server runs, or None if ranks push changes."""
        if not self.server_update:
            return None
        try:
            return decoded(self.server_update, ServerUpdate)
        except msgspec.DecodeError as error:
            raise InvalidRequest(f"server_update: {error}") from None


class Target(NamedTuple):
    """The step of a push or a pull, and the rank that makes it."""

    job: str
    step: Step
    rank: int  # 0 … world size - 1, or `ALL_RANKS`
    attempt: str = ""  # at the epoch; a rank far behind others of its attempt is refused
    based_on: int = 0  # of an update: the version of the model from which it was computed

    def __str__(self) -> str:
        return f"rank {self.rank}'s push to {self.step}"


@dataclass(frozen=True, slots=True)
class Welcome:
    """The answer of a server to a client that has shown the token."""

    incarnation: str  # another one after each start, which may have lost pushes
    frame_bytes: int  # the largest piece of a message


@dataclass(frozen=True, slots=True)
class Registration:
    """The answer to a registration."""

    incarnation: str
    is_new: bool  # the job was not registered before
    is_restored: bool  # from a snapshot: pushes since then are lost


@dataclass(frozen=True, slots=True)
class Pushed:
    """The answer to a push."""

    is_repeated: bool  # it counted before, and changes nothing
    version: int = 0  # asynchronous: of the model, with this update
    staleness: int = 0  # asynchronous: others' updates since the version it was based on


class Encoded:
    """An encoded message of ``size`` bytes, in ``parts`` that are sent from their own memory."""

    __slots__ = ("parts", "size")

    def __init__(self, parts: Sequence[memoryview]) -> None:
        self.parts = tuple(part for part in parts if len(part))
        self.size = sum(map(len, self.parts))

    def pieces(self, most_bytes: int) -> Iterator[tuple[int, Sequence[memoryview]]]:
        """Yield the offset and the parts of each piece of at most ``most_bytes``."""
        if self.size <= most_bytes:
            yield 0, self.parts
            return
        for offset in range(0, self.size, most_bytes):
            start, piece = offset, list[memoryview]()
            for part in self.parts:
                piece.append(part[max(0, start) : max(0, start + most_bytes)])
                start -= len(part)
            yield offset, piece


def encode_in_parts(message: Message, compression: Compression = "none") -> Encoded:
    """Encode a message whose vector must not change until it is sent; see `encode_parts`."""
    return Encoded(encode_parts(message, compression))


@dataclass(frozen=True, slots=True)
class Received:
    """A pulled message."""

    data: memoryview
    checksum: int | None = None  # if it was computed while the message arrived

    def message(self, name: str) -> Message:
        """Decode it, or raise `DamagedValueError` with ``name``."""
        return decode(self.data, name, self.checksum)


@dataclass(frozen=True, slots=True)
class StepStatus:
    """The state of a step."""

    ranks: tuple[int, ...]  # that have pushed, in order; of a sum: all
    is_complete: bool


class Metric(NamedTuple):
    """The description of a field that is served as a metric."""

    text: str
    is_counted: bool = False


@dataclass(frozen=True, slots=True)
class JobStatistics:
    """Figures of a job."""

    job: str
    rule: str
    world_size: int
    ranks: Annotated[int, Metric("Ranks that have pushed or pulled.")]
    steps: Annotated[int, Metric("Steps or models in memory, under way or summed.")]
    held_bytes: Annotated[int, Metric("Memory of the steps or models.")]
    pushes: Annotated[int, Metric("Pushes.", is_counted=True)]
    repeated_pushes: Annotated[int, Metric("Repeated pushes.", is_counted=True)]
    pulls: Annotated[int, Metric("Sums and models pulled.", is_counted=True)]
    received_bytes: Annotated[int, Metric("Bytes of pushed messages.", is_counted=True)]
    sent_bytes: Annotated[int, Metric("Bytes of pulled messages.", is_counted=True)]
    waited_s: Annotated[float, Metric("Time that pulls have waited.", is_counted=True)]
    updates: Annotated[int, Metric("Updates of asynchronous models.", is_counted=True)]
    staleness_sum: Annotated[int, Metric("Others' updates between pull and push.", is_counted=True)]
    staleness_max: Annotated[int, Metric("Most updates between pull and push.")]
    lost_updates: Annotated[int, Metric("Acknowledged updates that a restart lost.")]
    idle_s: float


@dataclass(frozen=True, slots=True)
class Statistics:
    """Figures of a server and its jobs."""

    incarnation: str
    uptime_s: Annotated[float, Metric("Time since the start.")]
    connections: Annotated[int, Metric("Clients that are connected.")]
    reserved_bytes: Annotated[int, Metric("Memory set aside for jobs.")]
    used_bytes: Annotated[int, Metric("Memory of all messages.")]
    limit_bytes: Annotated[int, Metric("Most memory of all messages.")]
    jobs: tuple[JobStatistics, ...]


# By the names that they have in the interface files.
_KINDS = (Step, JobSettings, Welcome, Registration, Pushed, StepStatus, JobStatistics, Statistics)
KINDS: dict[str, Any] = {kind.__name__: kind for kind in _KINDS}


def _require(name: str, value: object, holds: bool, expected: str) -> None:
    if not holds:
        raise InvalidRequest(f"{name}: expected {expected}, got {value!r}")
