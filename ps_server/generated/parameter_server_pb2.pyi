from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Rule(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RULE_UNSPECIFIED: _ClassVar[Rule]
    BULK_SYNCHRONOUS: _ClassVar[Rule]
    ASYNCHRONOUS: _ClassVar[Rule]
    STALE_SYNCHRONOUS: _ClassVar[Rule]

class Compression(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NONE: _ClassVar[Compression]
    FLOAT16: _ClassVar[Compression]
RULE_UNSPECIFIED: Rule
BULK_SYNCHRONOUS: Rule
ASYNCHRONOUS: Rule
STALE_SYNCHRONOUS: Rule
NONE: Compression
FLOAT16: Compression

class Step(_message.Message):
    __slots__ = ("epoch", "batch")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    batch: int
    def __init__(self, epoch: _Optional[int] = ..., batch: _Optional[int] = ...) -> None: ...

class JobSettings(_message.Message):
    __slots__ = ("world_size", "message_bytes", "rule", "max_staleness", "compression", "server_update")
    WORLD_SIZE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    MAX_STALENESS_FIELD_NUMBER: _ClassVar[int]
    COMPRESSION_FIELD_NUMBER: _ClassVar[int]
    SERVER_UPDATE_FIELD_NUMBER: _ClassVar[int]
    world_size: int
    message_bytes: int
    rule: Rule
    max_staleness: int
    compression: Compression
    server_update: str
    def __init__(self, world_size: _Optional[int] = ..., message_bytes: _Optional[int] = ..., rule: _Optional[_Union[Rule, str]] = ..., max_staleness: _Optional[int] = ..., compression: _Optional[_Union[Compression, str]] = ..., server_update: _Optional[str] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("incarnation", "frame_bytes")
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    FRAME_BYTES_FIELD_NUMBER: _ClassVar[int]
    incarnation: str
    frame_bytes: int
    def __init__(self, incarnation: _Optional[str] = ..., frame_bytes: _Optional[int] = ...) -> None: ...

class Registration(_message.Message):
    __slots__ = ("incarnation", "is_new", "is_restored")
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    IS_NEW_FIELD_NUMBER: _ClassVar[int]
    IS_RESTORED_FIELD_NUMBER: _ClassVar[int]
    incarnation: str
    is_new: bool
    is_restored: bool
    def __init__(self, incarnation: _Optional[str] = ..., is_new: _Optional[bool] = ..., is_restored: _Optional[bool] = ...) -> None: ...

class Pushed(_message.Message):
    __slots__ = ("is_repeated", "version", "staleness")
    IS_REPEATED_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STALENESS_FIELD_NUMBER: _ClassVar[int]
    is_repeated: bool
    version: int
    staleness: int
    def __init__(self, is_repeated: _Optional[bool] = ..., version: _Optional[int] = ..., staleness: _Optional[int] = ...) -> None: ...

class StepStatus(_message.Message):
    __slots__ = ("ranks", "is_complete")
    RANKS_FIELD_NUMBER: _ClassVar[int]
    IS_COMPLETE_FIELD_NUMBER: _ClassVar[int]
    ranks: _containers.RepeatedScalarFieldContainer[int]
    is_complete: bool
    def __init__(self, ranks: _Optional[_Iterable[int]] = ..., is_complete: _Optional[bool] = ...) -> None: ...

class JobStatistics(_message.Message):
    __slots__ = ("job", "rule", "world_size", "ranks", "steps", "held_bytes", "pushes", "repeated_pushes", "pulls", "received_bytes", "sent_bytes", "waited_s", "updates", "staleness_sum", "staleness_max", "lost_updates", "idle_s")
    JOB_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    WORLD_SIZE_FIELD_NUMBER: _ClassVar[int]
    RANKS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    HELD_BYTES_FIELD_NUMBER: _ClassVar[int]
    PUSHES_FIELD_NUMBER: _ClassVar[int]
    REPEATED_PUSHES_FIELD_NUMBER: _ClassVar[int]
    PULLS_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    WAITED_S_FIELD_NUMBER: _ClassVar[int]
    UPDATES_FIELD_NUMBER: _ClassVar[int]
    STALENESS_SUM_FIELD_NUMBER: _ClassVar[int]
    STALENESS_MAX_FIELD_NUMBER: _ClassVar[int]
    LOST_UPDATES_FIELD_NUMBER: _ClassVar[int]
    IDLE_S_FIELD_NUMBER: _ClassVar[int]
    job: str
    rule: str
    world_size: int
    ranks: int
    steps: int
    held_bytes: int
    pushes: int
    repeated_pushes: int
    pulls: int
    received_bytes: int
    sent_bytes: int
    waited_s: float
    updates: int
    staleness_sum: int
    staleness_max: int
    lost_updates: int
    idle_s: float
    def __init__(self, job: _Optional[str] = ..., rule: _Optional[str] = ..., world_size: _Optional[int] = ..., ranks: _Optional[int] = ..., steps: _Optional[int] = ..., held_bytes: _Optional[int] = ..., pushes: _Optional[int] = ..., repeated_pushes: _Optional[int] = ..., pulls: _Optional[int] = ..., received_bytes: _Optional[int] = ..., sent_bytes: _Optional[int] = ..., waited_s: _Optional[float] = ..., updates: _Optional[int] = ..., staleness_sum: _Optional[int] = ..., staleness_max: _Optional[int] = ..., lost_updates: _Optional[int] = ..., idle_s: _Optional[float] = ...) -> None: ...

class Statistics(_message.Message):
    __slots__ = ("incarnation", "uptime_s", "connections", "reserved_bytes", "used_bytes", "limit_bytes", "jobs")
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    UPTIME_S_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    RESERVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    USED_BYTES_FIELD_NUMBER: _ClassVar[int]
    LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    incarnation: str
    uptime_s: float
    connections: int
    reserved_bytes: int
    used_bytes: int
    limit_bytes: int
    jobs: _containers.RepeatedCompositeFieldContainer[JobStatistics]
    def __init__(self, incarnation: _Optional[str] = ..., uptime_s: _Optional[float] = ..., connections: _Optional[int] = ..., reserved_bytes: _Optional[int] = ..., used_bytes: _Optional[int] = ..., limit_bytes: _Optional[int] = ..., jobs: _Optional[_Iterable[_Union[JobStatistics, _Mapping]]] = ...) -> None: ...

class RefusalFields(_message.Message):
    __slots__ = ("needed_bytes", "free_bytes", "limit_bytes", "ranks", "frontier")
    NEEDED_BYTES_FIELD_NUMBER: _ClassVar[int]
    FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    RANKS_FIELD_NUMBER: _ClassVar[int]
    FRONTIER_FIELD_NUMBER: _ClassVar[int]
    needed_bytes: int
    free_bytes: int
    limit_bytes: int
    ranks: _containers.RepeatedScalarFieldContainer[int]
    frontier: int
    def __init__(self, needed_bytes: _Optional[int] = ..., free_bytes: _Optional[int] = ..., limit_bytes: _Optional[int] = ..., ranks: _Optional[_Iterable[int]] = ..., frontier: _Optional[int] = ...) -> None: ...

class Nothing(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RegisterRequest(_message.Message):
    __slots__ = ("job", "settings")
    JOB_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    job: str
    settings: JobSettings
    def __init__(self, job: _Optional[str] = ..., settings: _Optional[_Union[JobSettings, _Mapping]] = ...) -> None: ...

class ExistsRequest(_message.Message):
    __slots__ = ("job", "step")
    JOB_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    job: str
    step: Step
    def __init__(self, job: _Optional[str] = ..., step: _Optional[_Union[Step, _Mapping]] = ...) -> None: ...

class PushHead(_message.Message):
    __slots__ = ("job", "step", "rank", "attempt", "based_on", "size")
    JOB_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    BASED_ON_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    job: str
    step: Step
    rank: int
    attempt: str
    based_on: int
    size: int
    def __init__(self, job: _Optional[str] = ..., step: _Optional[_Union[Step, _Mapping]] = ..., rank: _Optional[int] = ..., attempt: _Optional[str] = ..., based_on: _Optional[int] = ..., size: _Optional[int] = ...) -> None: ...

class PushFrame(_message.Message):
    __slots__ = ("head", "piece")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    PIECE_FIELD_NUMBER: _ClassVar[int]
    head: PushHead
    piece: bytes
    def __init__(self, head: _Optional[_Union[PushHead, _Mapping]] = ..., piece: _Optional[bytes] = ...) -> None: ...

class PullRequest(_message.Message):
    __slots__ = ("job", "step", "rank", "attempt", "wait_ms")
    JOB_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    job: str
    step: Step
    rank: int
    attempt: str
    wait_ms: int
    def __init__(self, job: _Optional[str] = ..., step: _Optional[_Union[Step, _Mapping]] = ..., rank: _Optional[int] = ..., attempt: _Optional[str] = ..., wait_ms: _Optional[int] = ...) -> None: ...

class PullFrame(_message.Message):
    __slots__ = ("size", "piece")
    SIZE_FIELD_NUMBER: _ClassVar[int]
    PIECE_FIELD_NUMBER: _ClassVar[int]
    size: int
    piece: bytes
    def __init__(self, size: _Optional[int] = ..., piece: _Optional[bytes] = ...) -> None: ...

class ForgetRequest(_message.Message):
    __slots__ = ("job", "through")
    JOB_FIELD_NUMBER: _ClassVar[int]
    THROUGH_FIELD_NUMBER: _ClassVar[int]
    job: str
    through: Step
    def __init__(self, job: _Optional[str] = ..., through: _Optional[_Union[Step, _Mapping]] = ...) -> None: ...

class ResetRequest(_message.Message):
    __slots__ = ("job", "epoch")
    JOB_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    job: str
    epoch: int
    def __init__(self, job: _Optional[str] = ..., epoch: _Optional[int] = ...) -> None: ...

class DeleteRequest(_message.Message):
    __slots__ = ("prefix",)
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    def __init__(self, prefix: _Optional[str] = ...) -> None: ...

class Deleted(_message.Message):
    __slots__ = ("jobs",)
    JOBS_FIELD_NUMBER: _ClassVar[int]
    jobs: int
    def __init__(self, jobs: _Optional[int] = ...) -> None: ...
