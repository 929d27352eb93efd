"""Models and algorithms of the user's own: a class in the job's code.

`stepml.ml.own` has their bases. The facts that are needed before any code runs are fields of the
job; the class declares the same ones.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from stepml.job.algorithm_base import AlgorithmSpec, BatchSize, Descent, LocalEpochs
from stepml.job.errors import InvalidJobError
from stepml.job.model_base import ModelSpec, Penalty, Trait
from stepml.job.places import EntryPoint

Options = Annotated[dict[str, Any], Meta(description="keyword arguments of the class")]

_OF_CLASSES = ("accuracy", "precision", "recall", "f1")
_OF_NUMBERS = ("rmse", "mae", "r2")


class CustomModel(ModelSpec, frozen=True, kw_only=True, tag_field="name", tag="custom"):
    """A loss of your own: a class that derives from stepml.OwnModel, in the job's code."""

    traits: ClassVar[tuple[Trait, ...]] = ("gradient",)
    learns_classes: ClassVar[bool] = True
    learns_several: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = (*_OF_CLASSES, *_OF_NUMBERS)

    entry_point: Annotated[EntryPoint, Meta(description="package.module:Class in the job's code")]
    options: Options = msgspec.field(default_factory=dict)
    learns: Annotated[
        Literal["numbers", "classes"], Meta(description="the labels: numbers, or classes")
    ] = "numbers"
    convex: Annotated[bool, Meta(description="the loss is convex in the parameters")] = False
    smooth: Annotated[bool, Meta(description="the loss has a gradient everywhere")] = True
    l1: Penalty = 0.0
    l2: Penalty = 0.0

    @property
    def needs_code(self) -> bool:
        return True

    @property
    def is_convex(self) -> bool:
        return self.convex

    @property
    def is_smooth(self) -> bool:
        return self.smooth

    @property
    def has_classes(self) -> bool:
        return self.learns == "classes"


class _LocalSteps(Descent, frozen=True, kw_only=True):
    averages_models: ClassVar[bool] = True


class CustomAlgorithm(AlgorithmSpec, frozen=True, kw_only=True, tag_field="name", tag="custom"):
    """Steps of your own on a rank's batches, merged once an epoch.

    A class that derives from stepml.OwnAlgorithm, in the job's code.
    """

    usual_epochs: ClassVar[int] = 20
    may_be_chosen: ClassVar[bool] = False

    entry_point: Annotated[EntryPoint, Meta(description="package.module:Class in the job's code")]
    options: Options = msgspec.field(default_factory=dict)
    batch_size: Annotated[BatchSize, Meta(description="rows of a rank in a step")] = 32
    local_epochs: Annotated[LocalEpochs, Meta(description="passes over the shard an epoch")] = 1
    lasting: Annotated[bool, Meta(description="a rank's own arrays last from epoch to epoch")] = (
        False
    )

    @property
    def needs_code(self) -> bool:
        return True

    @property
    def as_descent(self) -> Descent | None:
        # Two moments stand for arrays of the user's, and the start of the epoch.
        return _LocalSteps(batch_size=self.batch_size, optimiser="adam")

    def check(self, model: ModelSpec) -> None:
        if model.l1_factor:
            raise InvalidJobError(
                "model.l1: has no gradient, and only algorithms of StepML's know it; with an "
                f"algorithm of your own expected 0, got {model.l1_factor:g}"
            )

    def remedies(self, model: ModelSpec) -> tuple[str, ...]:
        return ("change algorithm.options",)

    def boosts(self, model: ModelSpec, *, is_steady: bool) -> tuple[str, ...]:
        return self.remedies(model)
