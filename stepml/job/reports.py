"""What a job tells about itself: one report an epoch, one at the end, and why something failed."""

from __future__ import annotations

from stepml.job.spec import JobSpec
from stepml.job.tasks import Decision, Event


class EpochReport(Event, frozen=True, kw_only=True):
    """What the reducer found and decided after an epoch; ``Converged?`` reads ``decision``."""

    epoch: int
    decision: Decision  # converged: a criterion of `stop` is met; stopped: max_epochs or a budget
    reason: str  # why training goes on or ends, in words
    next_epoch: int
    loss: float  # on the validation rows, without penalty
    metrics: dict[str, float]  # on the validation rows: accuracy, auc, rmse, r2, inertia
    training_loss: float  # mean over the epoch's batches, before each batch's step
    best_loss: float  # lowest validation loss so far
    epochs_without_improvement: int  # in a row, by stop.tolerance; 0 without one
    seconds: float  # from the epoch's start to this report
    active_seconds: float  # of this and all earlier epochs, without failed attempts and pauses
    cost_usd: float  # of this epoch, estimated: functions, transitions, requests to its channel
    total_cost_usd: float  # of this and all earlier epochs
    executor_seconds: list[float]  # each rank's time in its handler, by rank
    stragglers: list[int]  # ranks whose own work took much longer than that of most
    called_again: list[int]  # ranks whose Task was retried: they were paused, killed or throttled
    staleness_mean: float | None = None  # async: updates of others between a rank's pull and push
    staleness_max: int | None = None
    # async over a parameter server: updates that it lost, as it was restarted from a snapshot.
    lost_updates: int | None = None
    # admm: of the epoch before, as ranks learn their residual when the next one begins.
    primal_residual: float | None = None
    primal_tolerance: float | None = None
    dual_residual: float | None = None
    dual_tolerance: float | None = None


class DatasetReport(Event, frozen=True, kw_only=True):
    """What was trained on."""

    digest: str  # content address of the partitioned data
    n_features: int
    training_rows: int
    validation_rows: int
    classes: list[float]  # labels as they stand in the data; none of a regression or clusters
    matrix: str  # dense or sparse
    density: float  # share of values that are stored
    skipped_rows: int  # data.on_bad_row skip: rows that did not parse …
    skipped_samples: list[str]  # … and what was wrong with the first of them


class JobReport(Event, frozen=True, kw_only=True):
    """The job's final report, and with a bounded history the execution's output."""

    job_id: str
    spec: JobSpec
    decision: Decision
    reason: str
    epochs: int
    loss: float  # of the model that was written: the last epoch's
    metrics: dict[str, float]
    seconds: float  # from the execution's start to this report
    dataset: DatasetReport
    model_uri: str  # s3://…/model.safetensors
    report_uri: str  # s3://…/report.json
    history_uri: str  # s3://…/history.jsonl: the report of every epoch, a line each
    versions: dict[str, str]  # of stepml, Python and NumPy
    kernels: dict[str, str]  # CPU kernels that decide the last bits of a result
    kept: dict[str, str]  # objects and prefixes that stay (s3://…), and what each is good for
    history: list[EpochReport]  # all epochs in report.json, the last ones in the execution's output


class Failure(Event, frozen=True, kw_only=True):
    """The first error for which an attempt at an epoch failed."""

    rank: int
    epoch: int
    error: str  # the name of its class
    message: str
    log_group: str  # where the function wrote what it did; empty outside of Lambda
    log_stream: str


class Fence(Event, frozen=True, kw_only=True):
    """Says that attempts are over which functions, as AWS ends none, may still work on."""

    until: str  # ISO 8601, UTC: attempts that began then or before
    status: str  # of the execution that ended: ABORTED, FAILED or TIMED_OUT
    execution: str  # its name


class EndReport(Event, frozen=True, kw_only=True):
    """How a job ended that has no model (yet)."""

    job_id: str
    execution_arn: str
    status: str  # FAILED, TIMED_OUT or ABORTED
    error: str
    cause: str
    stopped_at: str  # ISO 8601, UTC
    epochs: int  # finished ones: a redrive goes on behind them
    kept: dict[str, str]  # as in the final report; beside contributions, see `contributions`
    contributions: bool  # to the failed epoch stay in the channel, so that a redrive can use them
