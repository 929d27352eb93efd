"""The tasks that the state machines pass to functions, and the results that functions return.

States carry keys and scalars only (Step Functions limits them to 256 KiB). Everything larger is in
the durable store, under the keys of `stepml.job.keys`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import msgspec
from msgspec import Meta

from stepml.job.conversion import converted
from stepml.job.errors import InvalidTaskError
from stepml.job.formats import FORMATS
from stepml.job.spec import JobSpec
from stepml.job.spec_base import settled

Epoch = Annotated[int, Meta(ge=1)]
Rank = Annotated[int, Meta(ge=0)]
# converged: a criterion of `stop` is met; finished: max_epochs or a budget. Earlier versions called
# that stopped.
Decision = Literal["continue", "converged", "finished", "stopped"]
# The name of the epoch's execution, a dot, and the number of its redrives.
Attempt = Annotated[str, Meta(min_length=1, max_length=90)]


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all tasks and results: an immutable JSON object with known fields."""

    @classmethod
    def from_event(cls, event: object) -> Self:
        """Return the task in a Lambda ``event``, or raise `InvalidTaskError`."""
        try:
            return converted(event, cls)
        except msgspec.ValidationError as error:
            raise InvalidTaskError(f"{cls.__name__}: {error}") from None

    def to_event(self) -> dict[str, Any]:
        """Return the JSON object that a handler returns."""
        built = msgspec.to_builtins(self)
        assert isinstance(built, dict)
        return built


class Task(Event, frozen=True, kw_only=True):
    """Base of the tasks of states: the earlier calls by the same state have failed."""

    retries: Annotated[int, Meta(ge=0)] = 0  # of the state in this attempt
    entered_at: str = ""  # when the state was entered, ISO 8601


class Spent(Event, frozen=True, kw_only=True):
    """The result of a function whose work is in the durable store."""

    cost_usd: float = 0.0  # of its call, and of the state's earlier ones


class PrepareTask(Task, frozen=True, kw_only=True):
    """Check a job and claim its id."""

    job: Any  # the execution input, unchecked
    job_id: str  # the execution's name
    execution_arn: str
    started_at: str  # the execution's start, ISO 8601


class Continued(Event, frozen=True, kw_only=True):
    """Input of an execution that continues a job because another execution's history is full."""

    job_id: str
    run: str  # of that job
    next_epoch: Epoch

    @classmethod
    def of_input(cls, execution_input: object) -> Self | None:
        """Return the parsed input of an execution, or None if it does not continue a job."""
        if not isinstance(execution_input, dict) or "continues" not in execution_input:
            return None
        return cls.from_event(execution_input["continues"])


class LoopPosition(Event, frozen=True, kw_only=True):
    """Position of the loop over epochs; ``train.asl.json`` replaces it after each epoch."""

    epoch: Annotated[int, Meta(ge=0)]  # the last finished one
    decision: Decision
    next_epoch: Epoch


class JobFunctions(Event, frozen=True, kw_only=True):
    """The functions that Prepare chooses for a job, by name without the stack's.

    Their packages depend on the job: on the format of its data, or on its model.
    """

    partition: str = "partition"
    initialise: str = "initialise"
    executor: str = "executor"
    reducer: str = "reducer"
    finalise: str = "finalise"

    @classmethod
    def of(cls, spec: JobSpec, *, reads_any_column: bool = False) -> Self:
        """Return the functions of a job.

        ``reads_any_column`` says that its text has columns which pyarrow reads.
        """
        by_format = FORMATS[settled(spec.data.format)].function_kind
        if reads_any_column:
            by_format = FORMATS["parquet"].function_kind
        by_model = spec.model.function_kind
        return cls(
            partition=function_name("partition", by_format),
            initialise=function_name("initialise", by_model),
            executor=function_name("executor", by_model),
            finalise=function_name("finalise", by_model),
        )


class DataTasks(Event, frozen=True, kw_only=True):
    """The tasks that make the partitioned data and the shards."""

    ranges: list[int] = []  # to parse; none if the data set is partitioned already
    shards: list[int] = []  # to assemble: ranks, and keys.VALIDATION
    times: int = 0  # that the job has looked for damaged data
    spent_usd: float = 0.0  # before, by Prepare and by data that were made in vain


class DataState(DataTasks, frozen=True, kw_only=True):
    """The tasks that make the data, with the costs of those that are done."""

    checked: Spent = Spent()
    partitioned: list[float] = []  # US dollars, by range
    planned: Spent = Spent()
    assembled: list[float] = []  # US dollars, by shard

    @property
    def cost_usd(self) -> float:
        """The cost of all functions so far."""
        alone = self.spent_usd + self.checked.cost_usd + self.planned.cost_usd
        return alone + sum(self.partitioned) + sum(self.assembled)


class JobState(Event, frozen=True, kw_only=True):
    """The state of a job in ``train.asl.json``."""

    job_id: str
    run: str  # distinguishes this run from others of the same job id
    functions: JobFunctions
    data: DataTasks
    ranks: list[int]  # started by the epoch itself; empty if there are groups
    groups: list[list[int]]  # ranks of each child of an epoch; empty if one Inline Map has room
    ranks_at_once: Annotated[int, Meta(ge=1)]  # in an Inline Map
    groups_at_once: Annotated[int, Meta(ge=1)]
    chunks: list[int]  # merged by one function each after the ranks; empty: Reduce merges
    slices: list[int]  # of the validation rows, evaluated apart; empty: Reduce evaluates
    checks_model: bool  # before the data are partitioned
    progress: LoopPosition
    handover_epoch: Epoch  # from here another execution continues, because of the history's limit
    epoch_timeout_s: int  # an epoch that takes longer has failed


class PartitionTask(Task, frozen=True, kw_only=True):
    """Parse one range of the data, or find what the partitioned data lack."""

    job_id: str
    range: Annotated[int, Meta(ge=0)] | None = None  # None: find what is missing or damaged
    # Find it only if an attempt at this epoch failed for it.
    epoch: Epoch | None = None
    shards: list[Annotated[int, Meta(ge=-1)]] = []  # of these, missing ones are found
    times: Annotated[int, Meta(ge=0)] = 0  # that this was done before
    redrives: Annotated[int, Meta(ge=0)] = 0  # of the execution
    data: DataState = DataState()  # of a job that has no epoch yet


class JobTask(Task, frozen=True, kw_only=True):
    """Plan the shards of a job."""

    job_id: str


class InitialiseTask(Task, frozen=True, kw_only=True):
    """Initialise the model of a job, or, before there are data, check that it can be built."""

    job_id: str
    only_check: bool = False
    data: DataState = DataState()


class AssembleTask(Task, frozen=True, kw_only=True):
    """Assemble one shard."""

    job_id: str
    rank: Annotated[int, Meta(ge=-1)]  # keys.VALIDATION: the validation shard


class ExecutorTask(Task, frozen=True, kw_only=True):
    """Train one rank for one epoch."""

    job_id: str
    epoch: Epoch
    rank: Rank
    attempt: Attempt
    started_at: str  # the attempt's start, ISO 8601


class ExecutorResult(Event, frozen=True, kw_only=True):
    """Summary of a rank's Task in the state of the epoch; small, because 1,600 must fit."""

    rank: int
    seconds: float  # in the handler; since the epoch's start if the rank was called again
    waited_seconds: float = 0.0  # part of these, for its peers
    cost_usd: float = 0.0  # estimated
    retries: int = 0  # of its Task, after pauses, crashes or throttling
    digest: str = ""  # of the rank's replica at the end, if the epoch is exchanged in flight
    times: str = ""  # of its last call, packed


CostOfChunk = float | tuple[float, str]  # US dollars, with packed times unless there are many


class Merged(Spent, frozen=True, kw_only=True):
    """The result of a function that has merged a chunk."""

    merged: CostOfChunk


class MergerTask(Task, frozen=True, kw_only=True):
    """Merge one chunk of the ranks' contributions to an epoch."""

    job_id: str
    epoch: Epoch
    chunk: Annotated[int, Meta(ge=0)]
    attempt: Attempt
    started_at: str  # the attempt's start, ISO 8601


class Restored(Event, frozen=True, kw_only=True):
    """Costs of damaged data that another attempt at an epoch has made again."""

    ranges: list[float] = []  # US dollars
    published: Spent = Spent()


class ReducerTask(Task, frozen=True, kw_only=True):
    """Merge an epoch, evaluate the model, decide whether to continue."""

    job_id: str
    epoch: Epoch
    attempt: Attempt
    started_at: str  # the attempt's start, ISO 8601
    executors: list[ExecutorResult]
    merged: list[CostOfChunk] = []  # by chunk
    again: Restored = Restored()
    # The epoch is merged only; other functions will evaluate it on so many slices of rows.
    n_slices: Annotated[int, Meta(ge=0)] = 0


class EvaluationTask(Task, frozen=True, kw_only=True):
    """Evaluate the state after an epoch on one slice of the validation rows."""

    job_id: str
    epoch: Epoch
    slice: Annotated[int, Meta(ge=0)]
    n_slices: Annotated[int, Meta(ge=1)]
    attempt: Attempt
    started_at: str  # the attempt's start, ISO 8601


class FinaliseTask(Task, frozen=True, kw_only=True):
    """Write the model artifact and the report."""

    job_id: str
    epoch: Epoch  # the last one


class TriggerTask(Event, frozen=True, kw_only=True):
    """Start a job."""

    job: Any  # the job spec, or the place of a file with it in the stack's bucket
    name: str | None = None  # run name; None: made from the file's name and the event
    time: str | None = None  # of a schedule's event, ISO 8601; each starts one job


class TriggerResult(Event, frozen=True, kw_only=True):
    """The job that was started."""

    job_id: str
    execution_arn: str


def function_name(part: str, kind: str) -> str:
    """Return the name of a function, without the stack's: its part of the work and its kind."""
    return f"{part}-{kind}" if kind else part
