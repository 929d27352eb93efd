"""The models of a job spec: their fields, and the choices that each allows.

`stepml.ml.models` implements them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

import msgspec
from msgspec import Meta

from stepml.job.errors import InvalidJobError, NotEnoughDataError
from stepml.job.model_base import ModelSpec, Penalty, Trait
from stepml.job.networks import (
    FREE_FIELDS,
    NETWORKS,
    Augmentation,
    Network,
    NetworkName,
    require_shape,
    shape_of_rows,
)
from stepml.job.own_code import CustomModel
from stepml.job.places import EntryPoint, WeightsUri, absolute
from stepml.job.spec_base import listed, tag

_OF_CLASSES = ("accuracy", "precision", "recall", "f1")
_OF_TWO_CLASSES = ("auc", "average_precision")

HingeLoss = Literal["hinge", "squared_hinge"]
OpenPenalty = Annotated[
    Penalty | None,
    Meta(
        description="null: chosen, 1 / training rows, which is C = 1 of scikit-learn; with l1, or "
        "the algorithm's weight_decay, 0"
    ),
]
PositiveClass = Annotated[
    bool | float | Annotated[str, Meta(min_length=1, max_length=1000)] | None,
    Meta(description="this label against all others; null: the larger of two labels"),
]
ClassWeight = Annotated[
    Literal["balanced"] | dict[str, Annotated[float, Meta(ge=0, le=1e6)]] | None,
    Meta(
        description="weight of a row's loss by its label, 1 for others; balanced: "
        "rows / (classes · rows of the label)"
    ),
]


class LogisticRegression(
    ModelSpec, frozen=True, kw_only=True, tag_field="name", tag="logistic_regression"
):
    """Two classes, log-loss; penalty l1·‖w‖₁ + l2/2·‖w‖², free intercept."""

    open_fields: ClassVar[tuple[str, ...]] = ("l2",)
    learns_classes: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = (*_OF_CLASSES, *_OF_TWO_CLASSES, "log_loss")

    l1: Penalty = 0.0
    l2: OpenPenalty = None
    positive_class: PositiveClass = None
    class_weight: ClassWeight = None


class SoftmaxRegression(
    ModelSpec, frozen=True, kw_only=True, tag_field="name", tag="softmax_regression"
):
    """Several classes, cross-entropy; penalty l1·‖w‖₁ + l2/2·‖w‖², free intercepts."""

    open_fields: ClassVar[tuple[str, ...]] = ("l2",)
    learns_classes: ClassVar[bool] = True
    learns_several: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = (*_OF_CLASSES, "log_loss")

    l1: Penalty = 0.0
    l2: OpenPenalty = None
    class_weight: ClassWeight = None


class Svm(ModelSpec, frozen=True, kw_only=True, tag_field="name", tag="svm"):
    """Linear support vector machine: hinge loss, one-vs-rest for several classes.

    Penalty l1·‖w‖₁ + l2/2·‖w‖², free intercepts.
    """

    learns_classes: ClassVar[bool] = True
    learns_several: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = (*_OF_CLASSES, *_OF_TWO_CLASSES)

    loss: Annotated[
        HingeLoss,
        Meta(description="of a row with decision value z: max(0, 1 - y·z), y = ±1, or its square"),
    ] = "hinge"
    l1: Penalty = 0.0
    l2: Penalty = 1e-4
    positive_class: PositiveClass = None
    class_weight: ClassWeight = None

    @property
    def is_smooth(self) -> bool:
        return self.loss != "hinge"


class LinearRegression(
    ModelSpec, frozen=True, kw_only=True, tag_field="name", tag="linear_regression"
):
    """Least squares: half the mean squared error; penalty l1·‖w‖₁ + l2/2·‖w‖², free intercept."""

    traits: ClassVar[tuple[Trait, ...]] = ("gradient", "convex", "squares")
    metrics: ClassVar[tuple[str, ...]] = ("rmse", "mae", "r2")
    open_fields: ClassVar[tuple[str, ...]] = ("l2", "scale_labels")
    remedies: ClassVar[tuple[str, ...]] = ("set model.scale_labels",)

    l1: Penalty = 0.0
    l2: OpenPenalty = None
    scale_labels: Annotated[
        bool | None,
        Meta(
            description="train on labels near mean 0 and variance 1; penalties, losses and "
            "predictions refer to the labels as in the data; null: chosen"
        ),
    ] = None

    @property
    def trains_on_scaled_labels(self) -> bool:
        return self.scale_labels is True


class KMeans(ModelSpec, frozen=True, kw_only=True, tag_field="name", tag="kmeans"):
    """Clusters by nearest centroid; labels are ignored."""

    traits: ClassVar[tuple[Trait, ...]] = ("clusters",)
    metrics: ClassVar[tuple[str, ...]] = ("inertia",)
    needs_labels: ClassVar[bool] = False

    n_clusters: Annotated[int, Meta(ge=1, le=10_000, description="the number of clusters")]
    restarts: Annotated[
        Annotated[int, Meta(ge=1, le=100)],
        Meta(description="k-means++ seedings on a sample of the data; the best is used"),
    ] = 5

    @property
    def min_rows(self) -> int:
        return self.n_clusters

    def check_rows(self, training_rows: int) -> None:
        if training_rows < self.min_rows:
            raise NotEnoughDataError(
                f"model.n_clusters: expected at most the number of training rows, "
                f"{training_rows}, got {self.n_clusters}"
            )


class Neural(ModelSpec, frozen=True, kw_only=True, tag_field="name", tag="neural"):
    """A torch module: a network of StepML's, or one that a function of the user's returns."""

    traits: ClassVar[tuple[Trait, ...]] = ("gradient",)
    learns_classes: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = (*_OF_CLASSES, "top5_accuracy", "rmse", "mae", "r2")
    learns_several: ClassVar[bool] = True
    function_kind: ClassVar[str] = "torch"
    is_evaluated_apart: ClassVar[bool] = True
    free_fields: ClassVar[tuple[str, ...]] = FREE_FIELDS
    open_fields: ClassVar[tuple[str, ...]] = ("input_shape",)

    network: Annotated[
        NetworkName | Network | None,
        Meta(description="a network of StepML's, by name or as an object with options"),
    ] = None
    entry_point: Annotated[
        EntryPoint | None,
        Meta(description="a function in the job's code that returns a torch.nn.Module"),
    ] = None
    options: Annotated[
        dict[str, Any], Meta(description="keyword arguments of the function of entry_point")
    ] = msgspec.field(default_factory=dict)
    loss: Annotated[
        Literal["cross_entropy", "binary_cross_entropy", "mean_squared_error"],
        Meta(description="of classes; of the larger of two labels against the other; of numbers"),
    ] = "cross_entropy"
    label_smoothing: Annotated[
        Annotated[float, Meta(ge=0, lt=1)],
        Meta(description="of cross_entropy: the share of each row that belongs to all classes"),
    ] = 0.0
    input_shape: Annotated[
        Annotated[tuple[Annotated[int, Meta(ge=1)], ...], Meta(min_length=1, max_length=3)] | None,
        Meta(
            description="[features], [height, width] or [channels, height, width] of a row; null: "
            "that of the data"
        ),
    ] = None
    augment: Annotated[
        Augmentation | None, Meta(description="random changes of images in training")
    ] = None
    weights: Annotated[
        WeightsUri | None,
        Meta(description="a file with the first parameters, by names of tensors; null: drawn"),
    ] = None
    reset: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=500)], ...],
        Meta(description="tensors, or modules of the network, that weights does not give"),
    ] = ()

    @property
    def needs_code(self) -> bool:
        return self.entry_point is not None

    @property
    def has_classes(self) -> bool:
        return self.loss != "mean_squared_error"

    @property
    def trains_on_scaled_labels(self) -> bool:
        # A function of the user's may return a loss, whose unit nobody knows.
        return self.loss == "mean_squared_error" and self.entry_point is None

    @property
    def n_channels(self) -> int:
        shape = self.input_shape or ()
        return shape[0] if len(shape) == 3 else 1

    @property
    def takes_images(self) -> bool:
        return len(self.input_shape or ()) > 1

    @property
    def built_in(self) -> Network:
        """The network, in its long form."""
        if isinstance(self.network, str):
            built: Network = NETWORKS[self.network]()  # type: ignore[assignment]
            return built
        assert self.network is not None
        return self.network

    @property
    def weights_uri(self) -> str | None:
        return self.weights

    def in_bucket(self, own_bucket: str) -> Self:
        if self.weights is None:
            return self
        return msgspec.structs.replace(self, weights=absolute(self.weights, own_bucket))

    def check(self) -> None:
        self._check_source()
        if self.reset and self.weights is None:
            raise InvalidJobError(
                "model.reset: tensors that are not taken from model.weights, which is not set; "
                f"expected none, got {', '.join(self.reset)}"
            )
        if self.label_smoothing and self.loss != "cross_entropy":
            raise InvalidJobError(
                f"model.label_smoothing: with model.loss {self.loss!r} expected 0, "
                f"got {self.label_smoothing:g}"
            )
        if self.input_shape is not None:
            self._check_shape(self.input_shape)

    def _check_source(self) -> None:
        """Refuse a job with no network, or with two."""
        if (self.network is None) == (self.entry_point is None):
            got = "none" if self.network is None else f"both, with entry_point {self.entry_point!r}"
            raise InvalidJobError(
                f"model.network: expected {listed(tuple(NETWORKS))}, or a function of your own as "
                f"model.entry_point, got {got}"
            )
        if self.options and self.entry_point is None:
            raise InvalidJobError(
                "model.options: are arguments of model.entry_point, which is not set; options of a "
                'network stand in model.network, such as {"name": "mlp", "hidden": [64]}; got '
                f"{', '.join(self.options)}"
            )

    def for_rows(self, n_features: int | None, row_shape: Sequence[int]) -> Self:
        shape = self.input_shape
        if n_features is not None:
            shape = shape or shape_of_rows(n_features, row_shape)
            require_shape(shape, n_features, row_shape)
        if shape is not None:
            self._check_shape(shape)
        return msgspec.structs.replace(self, input_shape=shape)

    def _check_shape(self, shape: Sequence[int]) -> None:
        if self.network is not None:
            self.built_in.check(shape)
        if self.augment is not None:
            self.augment.check(shape)


BinarySpec = LogisticRegression | Svm
MulticlassSpec = SoftmaxRegression | Svm
Model = (
    LogisticRegression | SoftmaxRegression | Svm | LinearRegression | KMeans | Neural | CustomModel
)
MODELS: dict[str, type[ModelSpec]] = {tag(each): each for each in get_args(Model)}
