"""The job spec: the execution input of the ``train`` state machine.

These types are the one description of a job. ``parse.py`` parses a job with them, ``schema.py``
generates the JSON Schema and ``docs/job.md`` explains them. A field's type has its limits.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from stepml.job.algorithms import Algorithm
from stepml.job.channels import DURABLE, ChannelName, Pattern
from stepml.job.data import Data
from stepml.job.measures import LOSS, MeasureName
from stepml.job.models import Model
from stepml.job.places import CodeUri, absolute
from stepml.job.spec_base import SpecGroup

MAX_WORKERS = 1600  # 40 groups of 40 ranks: an Inline Map runs 40 iterations at once
MOST_CHOSEN_EPOCHS = 300  # of a job that leaves stop.max_epochs open


class Exchange(SpecGroup, frozen=True, kw_only=True):
    """The exchange of updates between workers."""

    channel: Annotated[
        ChannelName, Meta(description="the service through which the workers exchange")
    ] = DURABLE
    pattern: Annotated[
        Pattern,
        Meta(
            description="one function adds all vectors; several add a chunk each; or no worker "
            "waits for the others"
        ),
    ] = "reduce"
    compression: Annotated[
        Literal["none", "float16"],
        Meta(description="of vectors on their way: float16 halves their bytes"),
    ] = "none"
    max_staleness: Annotated[
        Annotated[int, Meta(ge=0, le=1_000_000)] | None,
        Meta(
            description="async over a parameter_server: number of updates that a rank may be "
            "ahead of the slowest; null: no limit"
        ),
    ] = None
    server_update: Annotated[
        Literal["none", "sgd", "adam"],
        Meta(
            description="async gradient_averaging over a parameter_server: the optimiser, equal to "
            "the algorithm's, that the server applies to the gradients of all ranks; none: each "
            "rank has its own"
        ),
    ] = "none"


class Stop(SpecGroup, frozen=True, kw_only=True):
    """The end of training: the first condition that holds ends the job."""

    open_fields: ClassVar[tuple[str, ...]] = ("max_epochs",)

    max_epochs: Annotated[
        Annotated[int, Meta(ge=1, le=100_000)] | None, Meta(description="null: chosen")
    ] = None
    target_loss: Annotated[
        Annotated[float, Meta(ge=-1e300, le=1e300)] | None,
        Meta(description="stop when the validation loss is this or less"),
    ] = None
    metric: Annotated[
        MeasureName,
        Meta(
            description="the measure on the validation rows to which target, tolerance, patience "
            "and keep refer"
        ),
    ] = LOSS
    target: Annotated[
        Annotated[float, Meta(ge=-1e300, le=1e300)] | None,
        Meta(description="stop when the metric is this or better"),
    ] = None
    keep: Annotated[
        Literal["last", "best"],
        Meta(description="the epoch whose model is written: the last, or the best by the metric"),
    ] = "last"
    tolerance: Annotated[
        Annotated[float, Meta(ge=0, le=1e300)] | None,
        Meta(
            description="an epoch improves if the best metric so far gains more than this; null: "
            "chosen, or none"
        ),
    ] = None
    patience: Annotated[
        Annotated[int, Meta(ge=1, le=100_000)] | None,
        Meta(
            description="stop after this many epochs without improvement; null: 1 with a "
            "tolerance, otherwise chosen, or none"
        ),
    ] = None
    max_cost_usd: Annotated[
        Annotated[float, Meta(gt=0, le=1e9)] | None,
        Meta(description="stop before the job's estimated cost is likely to exceed this"),
    ] = None
    max_seconds: Annotated[
        Annotated[int, Meta(ge=1, le=31_536_000)] | None,
        Meta(description="stop before the time spent in epochs is likely to exceed this"),
    ] = None

    @property
    def has_target(self) -> bool:
        """Whether the job has a target, at which it ends."""
        return self.target is not None or self.target_loss is not None

    @property
    def most_epochs(self) -> int:
        """`max_epochs`, or the most that are chosen."""
        return MOST_CHOSEN_EPOCHS if self.max_epochs is None else self.max_epochs


class ResumeFrom(SpecGroup, frozen=True, kw_only=True):
    """A job to resume: its finished epochs count as epochs of this one."""

    job: Annotated[str, Meta(min_length=1, max_length=80, description="its run name")]
    epoch: Annotated[
        Annotated[int, Meta(ge=0, le=100_000)] | None,
        Meta(description="number of its epochs to use; null: all finished ones"),
    ] = None


class JobSpec(SpecGroup, frozen=True, kw_only=True):
    """A training job: the execution input of the ``train`` state machine."""

    open_fields: ClassVar[tuple[str, ...]] = ("algorithm",)

    data: Data
    model: Model
    algorithm: Annotated[
        Algorithm | None, Meta(description="null: chosen by model, pattern and channel")
    ] = None
    workers: Annotated[
        int, Meta(ge=1, le=MAX_WORKERS, description="world size: functions that train concurrently")
    ] = 4
    exchange: Exchange = msgspec.field(default_factory=Exchange)
    stop: Stop = msgspec.field(default_factory=Stop)
    code: Annotated[
        CodeUri | None, Meta(description="the zip file of your own code; null: none")
    ] = None
    strict: Annotated[
        bool, Meta(description="warnings about the data or the model end the job with an error")
    ] = False
    resume_from: Annotated[
        Annotated[str, Meta(min_length=1, max_length=80)] | ResumeFrom | None,
        Meta(
            description="a job with the same data, model and algorithm, whose epochs count as "
            "this one's; a name alone: all finished epochs"
        ),
    ] = None

    @property
    def needs_code(self) -> bool:
        """Whether the model or the algorithm is in the job's code."""
        return bool(self.code_fields)

    @property
    def code_fields(self) -> tuple[str, ...]:
        """The fields that name something in the job's code, such as ``model.entry_point``."""
        groups = {"model": self.model, "algorithm": self.algorithm}
        return tuple(
            f"{name}.entry_point"
            for name, each in groups.items()
            if each is not None and each.needs_code
        )

    def in_bucket(self, own_bucket: str) -> JobSpec:
        """Return the job with all places in S3 whole; without a bucket, they are in this one."""
        code = None if self.code is None else absolute(self.code, own_bucket)
        data, model = self.data.in_bucket(own_bucket), self.model.in_bucket(own_bucket)
        return msgspec.structs.replace(self, data=data, model=model, code=code)

    @property
    def resumed(self) -> ResumeFrom | None:
        """`resume_from` in its long form."""
        if isinstance(self.resume_from, str):
            return ResumeFrom(job=self.resume_from)
        return self.resume_from
