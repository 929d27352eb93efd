"""The job spec: the execution input of the ``train`` state machine.

These types are the one description of a job. ``parse.py`` reads them strictly, ``schema.py`` makes
the JSON Schema from them and ``docs/job.md`` explains them. A field's limits stand in its type.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from stepml.job.channels import DURABLE, ChannelName, Pattern
from stepml.job.formats import Format

MAX_WORKERS = 1600  # 40 groups of 40 ranks: an Inline Map runs 40 iterations at once
MAX_RANGES = 40

S3Uri = Annotated[
    str,
    Meta(
        pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.+$",
        max_length=1100,
        description="s3://bucket/key of one object, or s3://bucket/prefix/ of many",
    ),
]
Seed = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Penalty = Annotated[float, Meta(ge=0, le=1e6)]
BatchSize = Annotated[int, Meta(ge=1, le=2**31 - 1)]
LearningRate = Annotated[float, Meta(gt=0, le=1e6)]
LocalEpochs = Annotated[int, Meta(ge=1, le=1000)]
PositiveClass = Annotated[
    float | None,
    Meta(description="this label against all others; null: the larger of the two labels"),
]
ClassWeight = Annotated[
    Literal["balanced"] | dict[str, Annotated[float, Meta(ge=0, le=1e6)]] | None,
    Meta(
        description="factor of a row's loss by its label, 1 where none is given; balanced: "
        "rows / (classes · rows of the label)"
    ),
]


class SpecGroup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the groups of the spec: immutable, and a field that is not known is refused."""


class Data(SpecGroup, frozen=True, kw_only=True):
    """What is trained on, and how it is cut."""

    uri: S3Uri
    format: Format
    header: Annotated[
        bool | None, Meta(description="csv and tsv: is line 1 a header? null: look and see")
    ] = None
    label: Annotated[
        str | int | None,
        Meta(description="csv, tsv, parquet: the label's column, by name or index (-1: the last)"),
    ] = None
    n_features: Annotated[
        Annotated[int, Meta(ge=1, le=2**31 - 1)] | None,
        Meta(description="libsvm: the width, where the data do not show it"),
    ] = None
    seed: Annotated[Seed, Meta(description="decides which rows go where")] = 0
    validation_fraction: Annotated[
        Annotated[float, Meta(gt=0, le=0.5)],
        Meta(description="share of the rows held out to measure loss and accuracy (at most 64 MB)"),
    ] = 0.1
    standardise: Annotated[
        bool,
        Meta(
            description="scale each feature to mean 0 and variance 1 (of the training rows); "
            "a sparse matrix to variance 1 only"
        ),
    ] = False
    matrix: Annotated[
        Literal["auto", "dense", "sparse"],
        Meta(description="how shards hold the rows; auto: sparse if few values are not zero"),
    ] = "auto"
    has_label: Annotated[
        bool, Meta(description="false: all columns are features (kmeans only)")
    ] = True
    missing: Annotated[
        Literal["fail", "zero", "mean"],
        Meta(description="csv, tsv, parquet, npz: a missing feature is a bad row, 0, or the mean"),
    ] = "fail"
    on_bad_row: Literal["fail", "skip"] = "fail"
    ranges: Annotated[
        Annotated[int, Meta(ge=1, le=MAX_RANGES)] | None,
        Meta(description="functions that parse at once; null: one for each 16 MB"),
    ] = None


class LogisticRegression(
    SpecGroup, frozen=True, kw_only=True, tag_field="name", tag="logistic_regression"
):
    """Two classes, log-loss; L2 penalty l2/2·‖w‖² with a free intercept."""

    l2: Penalty = 0.0
    positive_class: PositiveClass = None
    class_weight: ClassWeight = None


class SoftmaxRegression(
    SpecGroup, frozen=True, kw_only=True, tag_field="name", tag="softmax_regression"
):
    """Several classes, cross-entropy; L2 penalty l2/2·‖w‖² with free intercepts."""

    l2: Penalty = 0.0
    class_weight: ClassWeight = None


class Svm(SpecGroup, frozen=True, kw_only=True, tag_field="name", tag="svm"):
    """Linear support vector machine: hinge loss, one-vs-rest for several classes."""

    l2: Penalty = 1e-4
    positive_class: PositiveClass = None
    class_weight: ClassWeight = None


class LinearRegression(
    SpecGroup, frozen=True, kw_only=True, tag_field="name", tag="linear_regression"
):
    """Least squares: half the mean squared error; penalty l1·‖w‖₁ + l2/2·‖w‖², free intercept."""

    l1: Penalty = 0.0
    l2: Penalty = 0.0


class KMeans(SpecGroup, frozen=True, kw_only=True, tag_field="name", tag="kmeans"):
    """Clusters by nearest centroid; labels play no part."""

    n_clusters: Annotated[int, Meta(ge=2, le=10_000)]
    restarts: Annotated[
        Annotated[int, Meta(ge=1, le=100)],
        Meta(description="k-means++ seedings on a sample of the data; the best one starts"),
    ] = 5


class Neural(SpecGroup, frozen=True, kw_only=True, tag_field="name", tag="neural"):
    """A torch module."""

    architecture: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=200,
            description="mlp, mobilenet, resnet18, resnet50, or module:function of your own",
        ),
    ]


class Descent(SpecGroup, frozen=True, kw_only=True):
    """Mini-batch descent: what algorithms that take steps along gradients have in common."""

    learning_rate: LearningRate = 0.1
    batch_size: Annotated[
        BatchSize, Meta(description="rows of each rank a step; a shard's size or more: all")
    ] = 1000
    optimiser: Annotated[
        Literal["sgd", "adam"],
        Meta(description="sgd, with momentum if that is set, or adam (Kingma and Ba, 2015)"),
    ] = "sgd"
    momentum: Annotated[
        Annotated[float, Meta(ge=0, lt=1)], Meta(description="of sgd: the share of the last step")
    ] = 0.0
    schedule: Annotated[
        Literal["constant", "inverse", "exponential", "cosine"],
        Meta(
            description="factor of the learning rate after t epochs: 1, 1 / (1 + decay·t), "
            "exp(-decay·t), or from 1 to 0 at stop.max_epochs"
        ),
    ] = "constant"
    decay: Annotated[
        Annotated[float, Meta(ge=0, le=1e6)], Meta(description="of inverse and exponential")
    ] = 0.1
    warmup_epochs: Annotated[
        Annotated[float, Meta(ge=0, le=100_000)],
        Meta(description="epochs in which the learning rate rises from 0"),
    ] = 0.0
    clip_norm: Annotated[
        Annotated[float, Meta(gt=0, le=1e9)] | None,
        Meta(description="longer gradients are shortened to this Euclidean norm"),
    ] = None


class GradientAveraging(
    Descent, frozen=True, kw_only=True, tag_field="name", tag="gradient_averaging"
):
    """Mini-batch descent; gradients are exchanged after every batch."""


class ModelAveraging(Descent, frozen=True, kw_only=True, tag_field="name", tag="model_averaging"):
    """Each rank descends over its shard; models are averaged once an epoch."""

    local_epochs: Annotated[LocalEpochs, Meta(description="passes over the shard per epoch")] = 1


class Admm(SpecGroup, frozen=True, kw_only=True, tag_field="name", tag="admm"):
    """Consensus ADMM (Boyd et al. 2011, sections 7.1 and 3.3)."""

    rho: Annotated[
        Annotated[float, Meta(gt=0, le=1e6)],
        Meta(description="weight of the agreement beside the mean loss of a rank"),
    ] = 0.1
    adaptive_rho: Annotated[
        bool, Meta(description="double or halve rho when one residual is ten times the other")
    ] = False
    absolute_tolerance: Annotated[
        Annotated[float, Meta(ge=0, le=1)], Meta(description="of the residuals; 0 with both: never")
    ] = 1e-4
    relative_tolerance: Annotated[
        Annotated[float, Meta(ge=0, le=1)], Meta(description="of the residuals")
    ] = 1e-3
    local_solver: Annotated[
        Literal["lbfgs", "sgd"] | None,
        Meta(description="what minimises on a rank; null: lbfgs, for svm sgd"),
    ] = None
    local_iterations: Annotated[
        Annotated[int, Meta(ge=1, le=10_000)], Meta(description="of lbfgs, at most, per epoch")
    ] = 20
    local_epochs: Annotated[LocalEpochs, Meta(description="of sgd: passes over the shard")] = 1
    learning_rate: Annotated[LearningRate, Meta(description="of sgd")] = 0.1
    batch_size: Annotated[BatchSize, Meta(description="of sgd: rows a step")] = 1000


class ExpectationMaximisation(
    SpecGroup, frozen=True, kw_only=True, tag_field="name", tag="expectation_maximisation"
):
    """Sums and counts per cluster, exchanged once an epoch."""


Model = LogisticRegression | SoftmaxRegression | Svm | LinearRegression | KMeans | Neural
Algorithm = GradientAveraging | ModelAveraging | Admm | ExpectationMaximisation


class Exchange(SpecGroup, frozen=True, kw_only=True):
    """How workers exchange updates."""

    channel: ChannelName = DURABLE
    pattern: Pattern = "reduce"
    compression: Literal["none", "float16"] = "none"
    max_staleness: Annotated[
        Annotated[int, Meta(ge=0, le=1_000_000)] | None,
        Meta(
            description="async over a parameter_server: updates that a rank may be ahead of the "
            "slowest; null: no limit"
        ),
    ] = None
    server_update: Annotated[
        Literal["none", "sgd", "adam"],
        Meta(
            description="async gradient_averaging over a parameter_server: the optimiser that the "
            "server runs on the gradients of all ranks, that of the algorithm; none: each rank has "
            "its own"
        ),
    ] = "none"


class Stop(SpecGroup, frozen=True, kw_only=True):
    """When training ends; the first condition that holds wins."""

    max_epochs: Annotated[int, Meta(ge=1, le=100_000)] = 10
    target_loss: Annotated[
        Annotated[float, Meta(ge=-1e300, le=1e300)] | None,
        Meta(description="stop when the validation loss is this or less"),
    ] = None
    tolerance: Annotated[
        Annotated[float, Meta(ge=0, le=1e300)] | None,
        Meta(description="an epoch improves when the best loss so far falls by more than this"),
    ] = None
    patience: Annotated[
        Annotated[int, Meta(ge=1, le=100_000)],
        Meta(description="with tolerance: stop after so many epochs in a row without improvement"),
    ] = 1
    max_cost_usd: Annotated[
        Annotated[float, Meta(gt=0, le=1e9)] | None,
        Meta(description="stop before the epochs' estimated cost is likely to exceed this"),
    ] = None
    max_seconds: Annotated[
        Annotated[int, Meta(ge=1, le=31_536_000)] | None,
        Meta(description="stop before the time spent in epochs is likely to exceed this"),
    ] = None


class ResumeFrom(SpecGroup, frozen=True, kw_only=True):
    """A job whose finished epochs count as this one's."""

    job: Annotated[str, Meta(min_length=1, max_length=80, description="its run name")]
    epoch: Annotated[
        Annotated[int, Meta(ge=0, le=100_000)] | None,
        Meta(description="so many of its epochs; null: all that are finished"),
    ] = None


class JobSpec(SpecGroup, frozen=True, kw_only=True):
    """A training job: the execution input of the ``train`` state machine."""

    data: Data
    model: Model
    algorithm: Algorithm
    workers: Annotated[
        int, Meta(ge=1, le=MAX_WORKERS, description="world size: functions that train at once")
    ] = 4
    exchange: Exchange = msgspec.field(default_factory=Exchange)
    stop: Stop = msgspec.field(default_factory=Stop)
    resume_from: Annotated[
        Annotated[str, Meta(min_length=1, max_length=80)] | ResumeFrom | None,
        Meta(
            description="a job with the same data, model and algorithm, whose epochs count as this "
            "one's; a name alone: all that are finished"
        ),
    ] = None

    @property
    def resumed(self) -> ResumeFrom | None:
        """What `resume_from` says, in its long form."""
        if isinstance(self.resume_from, str):
            return ResumeFrom(job=self.resume_from)
        return self.resume_from


def learns_classes(model: Model) -> bool:
    """Return whether the model's labels are classes."""
    return isinstance(model, LogisticRegression | SoftmaxRegression | Svm | Neural)


def tag(choice: object) -> str:
    """Return the name by which a model or an algorithm is chosen in the spec."""
    return str(type(choice).__struct_config__.tag)  # type: ignore[attr-defined]
