"""A job's reports: one for each epoch, one at the end, and records of failures."""

from __future__ import annotations

from msgspec import Struct, field
from msgspec.structs import replace

from stepml.job.measures import LOSS
from stepml.job.parts import FunctionTimes
from stepml.job.spec import JobSpec
from stepml.job.spec_base import Label
from stepml.job.tasks import Decision, Event

MOST_LISTED = 20  # columns in facts about a table


class EpochReport(Event, frozen=True, kw_only=True):
    """The reducer's measurements and decision after an epoch; ``Converged?`` reads ``decision``."""

    epoch: int
    decision: Decision
    reason: str  # why training continues or ends, in words
    next_epoch: int
    loss: float  # on the validation rows, without penalty
    metrics: dict[str, float]  # on the validation rows, by name: see docs/models.md
    training_loss: float  # mean over the epoch's batches, before each batch's step
    best_loss: float  # lowest validation loss so far
    measure: str = LOSS  # stop.metric …
    best_value: float | None = None  # … and its best value so far
    epochs_without_improvement: int  # in a row, by stop.tolerance; 0 without one
    seconds: float  # from the epoch's start to this report
    active_seconds: float  # of this and all earlier epochs, without failed attempts and pauses
    cost_usd: float  # of this epoch with its failed attempts, estimated at list prices
    total_cost_usd: float  # of the job so far: its preparation, this and all earlier epochs
    executor_seconds: list[float]  # each rank's time in its handler, by rank
    stragglers: list[int]  # ranks whose own work took much longer than that of most
    called_again: list[int]  # ranks whose Task was retried: they were paused, killed or throttled
    staleness_mean: float | None = None  # async: updates of others between a rank's pull and push
    staleness_max: int | None = None
    # async over a parameter server: updates lost by a restart from a snapshot.
    lost_updates: int | None = None
    empty_clusters: int | None = None  # expectation_maximisation: clusters without rows
    # admm: of the previous epoch, because ranks learn their residual when the next one begins.
    primal_residual: float | None = None
    primal_tolerance: float | None = None
    dual_residual: float | None = None
    dual_tolerance: float | None = None
    # Likewise: the fall of the objective in sight, relative to the objective.
    objective_fall: float | None = None
    objective_fall_tolerance: float | None = None
    # Where time and money went. Each function, unless there are more than `MOST_RANKS_LISTED`
    # ranks: `ranks.jsonl` of the epoch has all of them. Reports of earlier versions have none.
    functions: list[FunctionTimes] = field(default_factory=list)
    # Seconds of the ranks by part (with start), at `stepml.job.parts.QUANTILES`.
    quantiles: dict[str, list[float]] = field(default_factory=dict)
    communication_share: float | None = None  # of the ranks' time after their start, 0 to 1
    # US dollars by kind, in all `cost_usd`: functions' time, requests to services, states of Step
    # Functions, and what was lost: calls and attempts that failed.
    costs: dict[str, float] = field(default_factory=dict)

    def without_functions(self) -> EpochReport:
        """Return the report without the times of single functions, which take most of its room."""
        return replace(self, functions=[]) if self.functions else self


class JobWarning(Event, frozen=True, kw_only=True):
    """A reason to doubt the data or the model; the job goes on."""

    code: str  # one of `stepml.ml.doubts`
    text: str  # with the field that may help


class ClassQuality(Struct, frozen=True):
    """The quality of the predictions of one class, on the validation rows."""

    label: Label  # as in the data
    precision: float  # share of the rows with this prediction that are of this class
    recall: float  # share of the rows of this class with this prediction
    f1: float  # harmonic mean of both
    support: int  # rows of this class


class DatasetFacts(Event, frozen=True, kw_only=True):
    """The job's understanding of its data."""

    rows: int = 0  # for training and validation
    columns: int = 0  # with the label; 0 if the format has no columns
    objects: int = 1
    format: str = ""
    header: bool | None = None  # csv and tsv: whether line 1 names the columns
    label: str = ""  # name of its column, or "column 3"; other formats: where the labels are
    is_learnt: bool = True  # the model learns the labels
    classes: list[Label] = field(
        default_factory=list
    )  # labels as in the data; empty for regression and clusters
    label_range: list[float] = field(default_factory=list)  # smallest and largest label
    missing_values: int = 0  # of features; they are filled in
    # Of a table that is not of numbers alone: the columns of features of each kind; the levels of
    # each category, 0 if they are hashed; columns that are left out; the columns by their fill.
    # Lists and mappings have at most `MOST_LISTED` columns: states and documents that are read
    # often have this.
    kinds: dict[str, int] = field(default_factory=dict)
    levels: dict[str, int] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    fills: dict[str, list[str]] = field(default_factory=dict)
    features: int = 0  # of the model
    notes: list[str] = field(default_factory=list)  # on facts that were inferred
    # Values of fields that the job leaves open, by path, such as stop.max_epochs.
    choices: dict[str, bool | int | float | str | list[int]] = field(default_factory=dict)
    warnings: list[JobWarning] = field(default_factory=list)


class Preparation(Struct, frozen=True):
    """The time and the cost of a job before its first epoch."""

    seconds: float = 0.0  # from the execution's start; 0, of earlier versions: unknown
    # US dollars by state of the machine, and "transitions" for those that Step Functions charges.
    costs: dict[str, float] = field(default_factory=dict)


class PlannedData(Struct, frozen=True):
    """The part of a job's training plan that describes its data."""

    about: DatasetFacts = DatasetFacts()


class PlannedJob(Struct, frozen=True):
    """The part of a job's plans that is the job itself, with all that has been chosen."""

    spec: JobSpec


class DatasetReport(DatasetFacts, frozen=True, kw_only=True):
    """The data set of the job."""

    digest: str  # content address of the partitioned data
    n_features: int
    training_rows: int
    validation_rows: int
    matrix: str  # dense, sparse, or uint8: dense rows of bytes
    density: float  # share of stored values
    skipped_rows: int  # data.on_bad_row skip: number of malformed rows …
    skipped_samples: list[str]  # … and the defects of the first of them


class JobReport(Event, frozen=True, kw_only=True):
    """The job's final report; with a bounded history, also the execution's output."""

    job_id: str
    spec: JobSpec
    decision: Decision
    reason: str
    epochs: int
    model_epoch: int = 0  # the epoch of the written model; 0, of earlier versions: the last one
    loss: float  # of the written model
    metrics: dict[str, float]
    # Of a classifier, in report.json only: each class, and the rows of each class (rows) by their
    # prediction (columns), in the order of the classes; no counts of more than 100 classes.
    per_class: list[ClassQuality] = field(default_factory=list)
    confusion_matrix: list[list[int]] = field(default_factory=list)
    seconds: float  # from the execution's start to this report
    cost_usd: float = 0.0  # of the whole job, estimated; 0, of earlier versions: unknown
    preparation: Preparation = Preparation()  # part of seconds and cost
    servers_usd: float = 0.0  # beside it, of the deployment's servers, for `seconds`
    dataset: DatasetReport
    warnings: list[JobWarning] = field(default_factory=list)  # on the data and on the model
    model_uri: str  # s3://…/model.safetensors
    report_uri: str  # s3://…/report.json
    history_uri: str  # s3://…/history.jsonl: the report of every epoch, a line each
    versions: dict[str, str]  # of stepml, Python and NumPy
    kernels: dict[str, str]  # CPU kernels that decide the last bits of a result
    kept: dict[str, str]  # remaining objects and prefixes (s3://…), and the purpose of each
    history: list[EpochReport]  # all epochs in report.json, the last ones in the execution's output

    def __repr__(self) -> str:
        # The whole report has pages.
        shown = ("job_id", "decision", "epochs", "loss", "metrics", "seconds", "cost_usd")
        return f"JobReport({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)}, …)"


def total_cost_usd(report: JobReport) -> float:
    """Return the cost of a job; earlier versions report that of its epochs only."""
    return report.cost_usd or report.history[-1].total_cost_usd


class Failure(Event, frozen=True, kw_only=True):
    """The first error for which an attempt at an epoch failed."""

    rank: int | None  # None: the reducer
    epoch: int
    error: str  # the name of its class
    message: str
    log_group: str  # of the function's log; empty outside Lambda
    log_stream: str


class Fence(Event, frozen=True, kw_only=True):
    """Marks attempts as over: AWS ends executions, but their functions may still run."""

    until: str  # ISO 8601, UTC: attempts that began then or before
    status: str  # of the execution that ended: ABORTED, FAILED or TIMED_OUT
    execution: str  # its name


class EndReport(Event, frozen=True, kw_only=True):
    """The end of a job that has no model (yet)."""

    job_id: str
    execution_arn: str
    status: str  # FAILED, TIMED_OUT or ABORTED
    error: str
    cause: str
    stopped_at: str  # ISO 8601, UTC
    epochs: int  # finished ones: a redrive continues after them
    kept: dict[str, str]  # as in the final report; excludes contributions, see `contributions`
    contributions: bool  # whether those to the failed epoch stay in the channel for a redrive
