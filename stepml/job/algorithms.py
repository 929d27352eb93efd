"""The algorithms of a job spec: their fields, and the choices that each allows.

`stepml.ml.algorithms` implements them.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self, get_args

import msgspec
from msgspec import Meta

from stepml.job.algorithm_base import (
    AlgorithmSpec,
    BatchSize,
    Circumstances,
    Descent,
    LearningRate,
    LocalEpochs,
    Start,
)
from stepml.job.errors import InvalidJobError
from stepml.job.model_base import ModelSpec, Trait
from stepml.job.own_code import CustomAlgorithm
from stepml.job.spec_base import require_choice, tag

# If nothing is known of the data. With a small rho, the first epochs go far; adapting raises it
# where ranks disagree.
_ADAPTIVE_RHO, _FIXED_RHO = 0.01, 0.1
_TOLERANCE = 1e-4  # of the objective: a loss without its penalty may be off by 20 times as much
_NARROW = 500  # features whose products are cheap: 1 MB of sums


class GradientAveraging(
    Descent, frozen=True, kw_only=True, tag_field="name", tag="gradient_averaging"
):
    """Mini-batch descent; gradients are exchanged after every batch."""

    server_steps: ClassVar[bool] = True

    accumulate: Annotated[
        Annotated[int, Meta(ge=1, le=10_000)],
        Meta(
            description="parts of a rank's batch whose gradients are computed one after another, "
            "in less memory, and exchanged together"
        ),
    ] = 1

    @property
    def parts(self) -> int | None:
        return self.accumulate

    @classmethod
    def preference(cls, at: Circumstances) -> int:
        return 2 if at.exchanges_are_cheap else 1


class ModelAveraging(Descent, frozen=True, kw_only=True, tag_field="name", tag="model_averaging"):
    """Each rank descends over its shard; models are averaged once an epoch."""

    averages_models: ClassVar[bool] = True

    local_epochs: Annotated[LocalEpochs, Meta(description="passes over the shard an epoch")] = 1

    @classmethod
    def preference(cls, at: Circumstances) -> int:
        return 1 if at.exchanges_are_cheap else 2


_OF_SOLVER = {
    "local_iterations": "lbfgs",
    "local_epochs": "sgd",
    "learning_rate": "sgd",
    "batch_size": "sgd",
}


class Admm(AlgorithmSpec, frozen=True, kw_only=True, tag_field="name", tag="admm"):
    """Consensus ADMM (Boyd et al. 2011, sections 7.1 and 3.3)."""

    needs: ClassVar[Trait] = "convex"
    open_fields: ClassVar[tuple[str, ...]] = (
        "rho",
        "adaptive_rho",
        "objective_tolerance",
        "learning_rate",
        "batch_size",
        "start",
    )

    rho: Annotated[
        Annotated[float, Meta(gt=0, le=1e6)] | None,
        Meta(
            description="weight of the consensus term relative to a rank's mean loss; null: "
            f"chosen, but with a given adaptive_rho {_ADAPTIVE_RHO:g}, or {_FIXED_RHO:g} if false"
        ),
    ] = None
    adaptive_rho: Annotated[
        Literal["relative"] | bool | None,
        Meta(
            description="double or halve rho when one residual is ten times the other; relative: "
            "three times, each relative to its size; null: relative"
        ),
    ] = None
    absolute_tolerance: Annotated[
        Annotated[float, Meta(ge=0, le=1)],
        Meta(description="of the residuals, in units of the parameters; both 0: never converged"),
    ] = 1e-3
    relative_tolerance: Annotated[
        Annotated[float, Meta(ge=0, le=1)], Meta(description="of the residuals")
    ] = 1e-2
    objective_tolerance: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | None,
        Meta(
            description="the job has also converged, whatever the residuals, when the ranks find "
            f"no larger fall of the objective, relative to it; 0: never; null: {_TOLERANCE:g}, or "
            "0 with a given rho or adaptive_rho"
        ),
    ] = None
    local_solver: Annotated[
        Literal["lbfgs", "sgd"] | None,
        Meta(description="solver of a rank's own problem; null: lbfgs, for a hinge loss sgd"),
    ] = None
    local_iterations: Annotated[
        Annotated[int, Meta(ge=1, le=10_000)],
        Meta(description="of lbfgs: maximum iterations an epoch"),
    ] = 20
    local_epochs: Annotated[LocalEpochs, Meta(description="of sgd: passes over the shard")] = 1
    learning_rate: Annotated[LearningRate | None, Meta(description="of sgd; null: chosen")] = None
    batch_size: Annotated[
        BatchSize | None, Meta(description="of sgd: rows in a step; null: chosen")
    ] = None
    start: Start = None

    @classmethod
    def preference(cls, at: Circumstances) -> int:
        # With l1, it takes more epochs than averaging: ranks that do not know l1 go far apart.
        return 3 if at.model.is_smooth and not at.model.l1_factor else 0

    @property
    def starts_at_sample(self) -> bool:
        return self.start == "sample"

    @property
    def may_start_ahead(self) -> bool:
        return self._is_open and self.learning_rate is None

    @property
    def _is_open(self) -> bool:
        return self.rho is None and self.adaptive_rho is None

    @property
    def knows_labels(self) -> bool:
        return self.learning_rate is not None or self.rho is not None

    def rehearsed(self, model: ModelSpec) -> Descent | None:
        if self.solver(model) != "sgd":
            return None
        # Its rate falls in every epoch, and ranks descend alone between two exchanges.
        return ModelAveraging(
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            optimiser="sgd",
            momentum=0.0,
            schedule="cosine",
            start=self.start,
        )

    def check(self, model: ModelSpec) -> None:
        if not model.is_smooth:
            where = f"model {tag(model)!r}, whose loss is not smooth,"
            require_choice("algorithm.local_solver", self.solver(model), where, ("sgd",))
        solver = self.solver(model)
        for field, of_solver in _OF_SOLVER.items():
            value = getattr(self, field)
            if of_solver != solver and value != getattr(Admm(), field):
                raise InvalidJobError(
                    f"algorithm.{field}: has no effect with local_solver {solver!r}, only with "
                    f"{of_solver!r}; set that, or remove it; got {value:g}"
                )

    def remedies(self, model: ModelSpec) -> tuple[str, ...]:
        lower = super().remedies(model)
        return ("change algorithm.rho",) if self.solver(model) == "lbfgs" else lower

    def boosts(self, model: ModelSpec, *, is_steady: bool) -> tuple[str, ...]:
        if self.solver(model) == "lbfgs":
            return self.remedies(model)
        return super().boosts(model, is_steady=is_steady)

    def chosen(self) -> Self:
        adaptive = "relative" if self.adaptive_rho is None else self.adaptive_rho
        rho, tolerance = self.rho, self.objective_tolerance
        if tolerance is None:
            tolerance = _TOLERANCE if self._is_open else 0.0
        if rho is None and self.adaptive_rho is not None:
            rho = _ADAPTIVE_RHO if adaptive else _FIXED_RHO
        return msgspec.structs.replace(
            self, adaptive_rho=adaptive, rho=rho, objective_tolerance=tolerance
        )

    def solver(self, model: ModelSpec) -> Literal["lbfgs", "sgd"]:
        """Return the solver of a rank's own problem; the default depends on ``model``."""
        # L-BFGS estimates curvature from gradients, which must change smoothly.
        return self.local_solver or ("lbfgs" if model.is_smooth else "sgd")


class ExpectationMaximisation(
    AlgorithmSpec, frozen=True, kw_only=True, tag_field="name", tag="expectation_maximisation"
):
    """Lloyd's iteration: sums and counts of each cluster, exchanged once an epoch."""

    needs: ClassVar[Trait] = "clusters"
    compresses: ClassVar[bool] = False  # its sums are float64

    def remedies(self, model: ModelSpec) -> tuple[str, ...]:
        return ()

    def boosts(self, model: ModelSpec, *, is_steady: bool) -> tuple[str, ...]:
        return ()


class LeastSquares(AlgorithmSpec, frozen=True, kw_only=True, tag_field="name", tag="least_squares"):
    """The exact minimum, by sums of products of all columns, in one epoch."""

    needs: ClassVar[Trait] = "squares"
    compresses: ClassVar[bool] = False  # its sums are float64
    is_exact: ClassVar[bool] = True

    @property
    def idle_fields(self) -> tuple[str, ...]:
        return ("model.scale_labels", "stop.max_epochs")

    @classmethod
    def preference(cls, at: Circumstances) -> int:
        is_narrow = at.n_features is not None and at.n_features <= _NARROW
        return 4 if is_narrow and not at.is_compressed else 0

    def remedies(self, model: ModelSpec) -> tuple[str, ...]:
        return ()

    def boosts(self, model: ModelSpec, *, is_steady: bool) -> tuple[str, ...]:
        return ()


Algorithm = (
    GradientAveraging
    | ModelAveraging
    | Admm
    | ExpectationMaximisation
    | LeastSquares
    | CustomAlgorithm
)
ALGORITHMS: dict[str, type[AlgorithmSpec]] = {tag(each): each for each in get_args(Algorithm)}


def algorithms_of(model: ModelSpec | type[ModelSpec]) -> tuple[str, ...]:
    """Return the names of the algorithms that train ``model``."""
    if isinstance(model, ModelSpec):
        return tuple(name for name, each in ALGORITHMS.items() if model.has_trait(each.needs))
    return tuple(name for name, each in ALGORITHMS.items() if each.needs in model.traits)
