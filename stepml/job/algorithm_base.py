"""The base of the algorithms of a job spec, and the fields of descent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Self

from msgspec import Meta

from stepml.job.channels import Pattern
from stepml.job.errors import InvalidJobError
from stepml.job.model_base import ModelSpec, Trait
from stepml.job.spec_base import SpecGroup, listed

BatchSize = Annotated[int, Meta(ge=1, le=2**31 - 1)]
LearningRate = Annotated[float, Meta(gt=0, le=1e6)]
LocalEpochs = Annotated[int, Meta(ge=1, le=1000)]
Start = Annotated[
    Literal["zero", "sample"] | None,
    Meta(
        description="the parameters before the first epoch: 0, or the minimum of the objective on "
        "a sample of the training rows; null: chosen"
    ),
]


MOST_WAITING = 40  # ranks that wait for each other after every batch, if nobody asks for it


@dataclass(frozen=True, slots=True)
class Circumstances:
    """The facts by which an algorithm is chosen for a job that leaves it open."""

    model: ModelSpec
    pattern: Pattern
    is_compressed: bool
    is_metered: bool  # the channel charges for requests, which take milliseconds
    world_size: int
    n_features: int | None = None  # None: not known yet
    concurrency: int | None = None  # functions at once; None: not known yet

    @property
    def exchanges_are_cheap(self) -> bool:
        """Whether an exchange after every batch is possible and cheap."""
        most = min(MOST_WAITING, self.concurrency or MOST_WAITING)
        return not self.is_metered and self.world_size <= most


class AlgorithmSpec(SpecGroup, frozen=True, kw_only=True):
    """Base of the algorithms.

    Attributes
    ----------
    needs : str
        The trait of the models that the algorithm trains.
    patterns : tuple of str
        The exchange patterns of the algorithm.
    compresses : bool
        Its contributions are float32, so ``exchange.compression`` has an effect.
    server_steps : bool
        A parameter server can run its optimiser (``exchange.server_update``).
    is_exact : bool
        It computes the minimum, whatever the scale of features.
    usual_epochs : int
        The maximum of epochs, if nothing else decides.
    may_be_chosen : bool
        It is chosen for jobs that leave the algorithm open, if it is the best.
    """

    needs: ClassVar[Trait] = "gradient"
    patterns: ClassVar[tuple[Pattern, ...]] = ("reduce", "reduce_scatter")
    compresses: ClassVar[bool] = True
    server_steps: ClassVar[bool] = False
    is_exact: ClassVar[bool] = False
    usual_epochs: ClassVar[int] = 50
    may_be_chosen: ClassVar[bool] = True

    @classmethod
    def preference(cls, at: Circumstances) -> int:
        """Return a number; of the algorithms of a model, the one with the largest is chosen."""
        return 0

    def check(self, model: ModelSpec) -> None:
        """Raise `InvalidJobError` if fields contradict each other or ``model``."""

    @property
    def needs_code(self) -> bool:
        """Whether a class in the job's code computes its steps."""
        return False

    @property
    def idle_fields(self) -> tuple[str, ...]:
        """The open fields of the job, such as ``stop.max_epochs``, that have no effect."""
        return ()

    @property
    def starts_at_sample(self) -> bool:
        """Whether training starts at the minimum of a sample."""
        return False

    @property
    def may_start_ahead(self) -> bool:
        """Whether training may start at the minimum of a sample, if nobody decides.

        It does not if a value is given that suits another start, such as a learning rate.
        """
        return False

    @property
    def knows_labels(self) -> bool:
        """Whether a given value, such as a learning rate, suits the labels as in the data."""
        return False

    def chosen(self) -> Self:
        """Return the algorithm with values in the open fields that depend on no data."""
        return self

    def rehearsed(self, model: ModelSpec) -> Descent | None:
        """Return the descent whose learning rate is chosen by rehearsals; None: there is none."""
        return None

    @property
    def as_descent(self) -> Descent | None:
        """A descent with the same batches and about the same memory; None: there is none."""
        return None

    def remedies(self, model: ModelSpec) -> tuple[str, ...]:
        """Return advice for a job that diverges."""
        return ("lower algorithm.learning_rate",)

    def boosts(self, model: ModelSpec, *, is_steady: bool) -> tuple[str, ...]:
        """Return advice, beside more epochs, for a job that ends far from its minimum.

        ``is_steady``: the loss still fell in the last epochs.
        """
        return ("raise algorithm.learning_rate",) if is_steady else self.remedies(model)


_DECAYING = ("inverse", "exponential")


class Descent(AlgorithmSpec, frozen=True, kw_only=True):
    """Mini-batch descent: the common fields of algorithms that take steps along gradients."""

    patterns: ClassVar[tuple[Pattern, ...]] = ("reduce", "reduce_scatter", "async")
    open_fields: ClassVar[tuple[str, ...]] = (
        "learning_rate",
        "batch_size",
        "optimiser",
        "momentum",
        "schedule",
        "start",
    )
    averages_models: ClassVar[bool] = False  # of ranks, each with moments of its own

    learning_rate: Annotated[LearningRate | None, Meta(description="null: chosen")] = None
    batch_size: Annotated[
        BatchSize | None,
        Meta(description="rows of each rank in a step; all rows of a smaller shard; null: chosen"),
    ] = None
    optimiser: Annotated[
        Literal["sgd", "adam"] | None,
        Meta(description="sgd, with momentum if set, or adam (Kingma and Ba, 2015); null: chosen"),
    ] = None
    momentum: Annotated[
        Annotated[float, Meta(ge=0, lt=1)] | None,
        Meta(description="of sgd: the share of the last step; null: chosen"),
    ] = None
    nesterov: Annotated[
        bool, Meta(description="of momentum: the gradient looks ahead (Nesterov, 1983)")
    ] = False
    weight_decay: Annotated[
        Annotated[float, Meta(ge=0, le=1e6)],
        Meta(
            description="of adam: each step takes off learning_rate · weight_decay of the "
            "coefficients, apart from the gradient (AdamW: Loshchilov and Hutter, 2019)"
        ),
    ] = 0.0
    schedule: Annotated[
        Literal["constant", "inverse", "exponential", "cosine"] | None,
        Meta(
            description="factor of the learning rate after t epochs: 1, 1 / (1 + decay·t), "
            "exp(-decay·t), or from 1 to 0 at stop.max_epochs; null: chosen"
        ),
    ] = None
    decay: Annotated[
        Annotated[float, Meta(ge=0, le=1e6)], Meta(description="of inverse and exponential")
    ] = 0.1
    warmup_epochs: Annotated[
        Annotated[float, Meta(ge=0, le=100_000)],
        Meta(description="epochs during which the learning rate rises from 0"),
    ] = 0.0
    clip_norm: Annotated[
        Annotated[float, Meta(gt=0, le=1e9)] | None,
        Meta(description="longer gradients are scaled down to this Euclidean norm"),
    ] = None

    start: Start = None

    @property
    def parts(self) -> int | None:
        """Parts of a batch whose gradients are computed one after another; None: it has none."""
        return None

    @property
    def as_descent(self) -> Descent | None:
        return self

    @property
    def starts_at_sample(self) -> bool:
        return self.start == "sample"

    @property
    def may_start_ahead(self) -> bool:
        return self.learning_rate is None and not self.weight_decay

    @property
    def knows_labels(self) -> bool:
        return self.learning_rate is not None or self.clip_norm is not None

    @property
    def idle_fields(self) -> tuple[str, ...]:
        return ("algorithm.momentum",) if self.optimiser == "adam" else ()

    def rehearsed(self, model: ModelSpec) -> Descent | None:
        return self

    def check(self, model: ModelSpec) -> None:
        if self.optimiser == "adam" and self.momentum:
            raise InvalidJobError(
                f"algorithm.momentum: requires optimiser 'sgd', but the job has "
                f"{self.optimiser!r}; got {self.momentum:g}"
            )
        if self.nesterov and not self.momentum:
            raise InvalidJobError(
                "algorithm.nesterov: requires an algorithm.momentum above 0, got true without one"
            )
        if self.decay != type(self)().decay and self.schedule not in _DECAYING:
            raise InvalidJobError(
                f"algorithm.decay: has no effect without schedule {listed(_DECAYING)}, but the job "
                f"has {self.schedule or 'none'}; got {self.decay:g}"
            )
        if self.weight_decay:
            self._check_weight_decay(model)

    def _check_weight_decay(self, model: ModelSpec) -> None:
        if self.optimiser != "adam":
            raise InvalidJobError(
                f"algorithm.weight_decay: requires optimiser 'adam', but the job has "
                f"{self.optimiser or 'none'}; got {self.weight_decay:g}; otherwise set model.l2"
            )
        if model.l1_factor or model.l2_factor:
            raise InvalidJobError(
                "algorithm.weight_decay: minimises another objective than a penalty; with model.l1 "
                f"{model.l1_factor:g} and model.l2 {model.l2_factor:g} expected 0, "
                f"got {self.weight_decay:g}; set it or them to 0"
            )

    def boosts(self, model: ModelSpec, *, is_steady: bool) -> tuple[str, ...]:
        if is_steady or self.schedule != "constant":
            return super().boosts(model, is_steady=is_steady)
        return ("set algorithm.schedule to 'cosine'",)
