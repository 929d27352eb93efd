"""The job spec: the execution input of the ``train`` state machine.

These types are the one description of a job. ``parse.py`` reads them strictly, ``schema.py`` makes
the JSON Schema from them and ``docs/job.md`` explains them. A field's limits stand in its type.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

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


class Group(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the groups of the spec: immutable, and a field that is not known is refused."""


class Data(Group, frozen=True, kw_only=True):
    """What is trained on, and how it is cut."""

    uri: S3Uri
    format: Literal["csv", "tsv", "libsvm", "npz", "parquet", "idx"]
    header: Annotated[
        bool | None, Meta(description="csv and tsv: is line 1 a header? null: look and see")
    ] = None
    label: Annotated[
        str | int | None,
        Meta(
            description="csv and tsv: the label's column, by name or 0-based index (-1: the last)"
        ),
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
        Meta(description="csv, tsv, parquet: what a missing value is: a bad row, 0, or the mean"),
    ] = "fail"
    on_bad_row: Literal["fail", "skip"] = "fail"
    ranges: Annotated[
        Annotated[int, Meta(ge=1, le=MAX_RANGES)] | None,
        Meta(description="functions that parse at once; null: one for each 16 MB"),
    ] = None


class LogisticRegression(
    Group, frozen=True, kw_only=True, tag_field="name", tag="logistic_regression"
):
    """Two classes, log-loss; L2 penalty l2/2·‖w‖² with a free intercept."""

    l2: Penalty = 0.0
    positive_class: Annotated[
        float | None,
        Meta(description="this label against all others; null: the larger of the two labels"),
    ] = None


class SoftmaxRegression(
    Group, frozen=True, kw_only=True, tag_field="name", tag="softmax_regression"
):
    """Several classes, cross-entropy."""

    l2: Penalty = 0.0


class Svm(Group, frozen=True, kw_only=True, tag_field="name", tag="svm"):
    """Linear support vector machine: hinge loss, one-vs-rest for several classes."""

    l2: Penalty = 1e-4


class LinearRegression(Group, frozen=True, kw_only=True, tag_field="name", tag="linear_regression"):
    """Least squares."""

    l1: Penalty = 0.0
    l2: Penalty = 0.0


class KMeans(Group, frozen=True, kw_only=True, tag_field="name", tag="kmeans"):
    """Clusters by nearest centroid."""

    n_clusters: Annotated[int, Meta(ge=2, le=10_000)]


class Neural(Group, frozen=True, kw_only=True, tag_field="name", tag="neural"):
    """A torch module."""

    architecture: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=200,
            description="mlp, mobilenet, resnet18, resnet50, or module:function of your own",
        ),
    ]


class GradientAveraging(
    Group, frozen=True, kw_only=True, tag_field="name", tag="gradient_averaging"
):
    """Mini-batch SGD; gradients are exchanged after every batch."""

    learning_rate: LearningRate = 0.1
    batch_size: Annotated[
        BatchSize, Meta(description="rows of each rank a step; a shard's size or more: all")
    ] = 1000


class ModelAveraging(Group, frozen=True, kw_only=True, tag_field="name", tag="model_averaging"):
    """Each rank runs SGD over its shard; weights are averaged once an epoch."""

    learning_rate: LearningRate = 0.1
    batch_size: Annotated[
        BatchSize, Meta(description="rows a step; a shard's size or more: all")
    ] = 1000
    local_epochs: Annotated[LocalEpochs, Meta(description="passes over the shard per epoch")] = 1


class Admm(Group, frozen=True, kw_only=True, tag_field="name", tag="admm"):
    """Consensus ADMM (Boyd et al. 2011)."""

    rho: Annotated[float, Meta(gt=0, le=1e6)] = 1.0
    local_epochs: LocalEpochs = 1


class ExpectationMaximisation(
    Group, frozen=True, kw_only=True, tag_field="name", tag="expectation_maximisation"
):
    """Sums and counts per cluster, exchanged once an epoch."""


Model = LogisticRegression | SoftmaxRegression | Svm | LinearRegression | KMeans | Neural
Algorithm = GradientAveraging | ModelAveraging | Admm | ExpectationMaximisation


class Exchange(Group, frozen=True, kw_only=True):
    """How workers exchange updates."""

    channel: Literal["s3", "redis", "memcached", "dynamodb", "parameter_server"] = "s3"
    pattern: Literal["reduce", "reduce_scatter", "async"] = "reduce"
    compression: Literal["none", "float16"] = "none"


class Stop(Group, frozen=True, kw_only=True):
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
    max_cost_usd: Annotated[float, Meta(gt=0, le=1e9)] | None = None
    max_seconds: Annotated[int, Meta(ge=1, le=31_536_000)] | None = None


class JobSpec(Group, frozen=True, kw_only=True):
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
        Annotated[str, Meta(min_length=1, max_length=80)] | None,
        Meta(description="the job whose last epoch is the start"),
    ] = None
