"""Checks of a model of the user's own before it is trained, on random rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from stepml.job.errors import InvalidCodeError
from stepml.job.own_code import CustomModel
from stepml.ml.models import CustomNumbers, build_model
from stepml.ml.models.base import Array, Floats
from stepml.ml.models.custom_linear import CustomLinear
from stepml.ml.own.loading import OwnClass
from stepml.ml.own.models import Own
from stepml.ml.own.time_limit import time_limit

MOST_S = 120.0  # of the user's code
_ROWS = 32
_SEED = 20260101
_POINTS = 5  # at which gradients are compared
_COORDINATES = 20  # of each
_STEP = 1e-4  # of a difference
_CLOSE = 5e-3  # relative: a difference of float32 losses is no more exact
_KINKS = 0.2  # share of differences that may be at a kink, if the loss has any
_ROUNDING = 1e-5

Checked = CustomNumbers | CustomLinear
Loss = Callable[[Array], float]


@dataclass(frozen=True)
class _Sample:
    """Random rows, and points of parameters."""

    X: Floats
    y: Array
    points: list[Floats]


def check_own_model(spec: CustomModel, n_features: int, labels: list[float], code: Any) -> Checked:
    """Try a model of the user's on random rows, and return it.

    Parameters
    ----------
    spec : CustomModel
    n_features : int
    labels : list of float
        The distinct labels of the data, or a guess of them.
    code : Path
        The directory of the code.

    Raises
    ------
    InvalidCodeError
        The class cannot be built, declares other facts than the job, returns something else, or
        takes minutes; or its gradient is not that of its loss; or its loss is no mean over rows, or
        not convex although the job says so; or the same call gives two results.
    """
    with time_limit(MOST_S, f"model.entry_point: {spec.entry_point}"):
        model, other = (
            build_model(spec, n_features, labels, code=code)  # two objects of the class
            for _ in range(2)
        )
        assert isinstance(model, Checked) and isinstance(other, Checked)
        require_facts(spec, model.own, model.own_class)
        sample = _sample(model, other, spec)
        _check_calls(model, other, sample)
        if isinstance(model, CustomLinear):
            _check_slopes(model, sample)
        else:
            _check_mean(model, sample)
            _check_gradient(model, sample)
        if spec.convex:
            _check_convex(model, sample)
        return model


def require_facts(spec: CustomModel, own: Own, own_class: OwnClass) -> None:
    """Raise `InvalidCodeError` if the job and the class declare different facts."""
    for name in ("learns", "convex", "smooth"):
        asked, declared = getattr(spec, name), getattr(own, name)
        if asked != declared:
            shown = repr(declared) if name == "learns" else str(declared).lower()
            given = repr(asked) if name == "learns" else str(asked).lower()
            raise InvalidCodeError(
                f"model.{name}: expected {shown}, as class {own_class.entry_point} declares it, "
                f"got {given}"
            )


def _sample(model: Checked, other: Checked, spec: CustomModel) -> _Sample:
    rng = np.random.Generator(np.random.PCG64(_SEED))
    X = rng.normal(size=(_ROWS, model.n_features)).astype(np.float32)
    y: Array = rng.normal(size=_ROWS).astype(np.float32)
    if spec.has_classes:
        y = (np.arange(_ROWS) % model.n_classes).astype(np.int32)
    first = model.first_parameters(lambda: (X, None), _SEED)
    if not np.array_equal(first, other.first_parameters(lambda: (X, None), _SEED)):
        raise model.own_class.error(
            "the first parameters differ in two calls with the same seed; draw random numbers from "
            "the generator that initial gets"
        )
    moves = rng.normal(size=(_POINTS, len(first))).astype(np.float32)
    return _Sample(X, y, [first, *(first + np.float32(0.5) * moves)])


def _check_calls(model: Checked, other: Checked, sample: _Sample) -> None:
    """Refuse results of other shapes or types, and those that differ in two calls."""
    for w in sample.points[:2]:
        out, again = np.empty_like(w), np.empty_like(w)
        loss, repeated = (
            each.gradient(w, sample.X, sample.y, result)
            for each, result in ((model, out), (other, again))
        )
        if not np.isfinite(loss) or not np.isfinite(out).all():
            raise model.own_class.error(
                f"loss and gradient of {_ROWS} random rows: expected finite numbers, got a loss of "
                f"{loss:g}",
                _function(model),
            )
        if loss != repeated or not np.array_equal(out, again):
            raise model.own_class.error(
                "two calls with the same arguments differ; a model must not count, or draw random "
                "numbers",
                _function(model),
            )
        model.evaluate(w, sample.X, sample.y)
        model.predict(w, sample.X[:1])


def _check_slopes(model: CustomLinear, sample: _Sample) -> None:
    """Compare the slopes of rows with differences of their losses."""
    own, w = model.own, sample.points[1]
    z = np.asarray(model.decision(w, sample.X), np.float64)
    y = sample.y.astype(np.float64) if sample.y.dtype.kind == "f" else sample.y
    with model.own_class.blamed():
        slopes = np.asarray(own.losses(z.copy(), y)[1], np.float64).reshape(len(z), -1)
    for output in range(slopes.shape[1]):
        step = np.zeros_like(z)
        step.reshape(len(z), -1)[:, output] = _STEP
        with model.own_class.blamed():
            above, below = (np.asarray(own.losses(z + s, y)[0], np.float64) for s in (step, -step))
        found = (above - below) / (2 * _STEP)
        _require_close(model, found, slopes[:, output], "the slope of row {}")
    _check_bound(model, z, y, slopes)


def _check_bound(model: CustomLinear, z: Array, y: Array, slopes: Array) -> None:
    """Refuse a `most_curvature` that some row exceeds."""
    most = model.most_curvature
    if most is None or z.ndim > 1:
        return
    with model.own_class.blamed():
        ahead = np.asarray(model.own.losses(z + _STEP, y)[1], np.float64)
    found = float(((ahead - slopes[:, 0]) / _STEP).max())
    if found > most * (1 + _CLOSE) + _CLOSE:
        raise model.own_class.error(
            f"most_curvature: expected at least {found:.3g}, which the second derivative of a "
            f"row's loss reaches, got {most:g}"
        )


def _check_mean(model: CustomNumbers, sample: _Sample) -> None:
    """Refuse a loss that is a sum over rows, or depends on which rows are together."""
    w, half = sample.points[1], _ROWS // 2
    whole = model.loss(w, sample.X, sample.y)
    parts = [model.loss(w, sample.X[rows], sample.y[rows]) for rows in _halves(half)]
    mean = sum(parts) / 2
    if abs(whole - mean) > _CLOSE * max(abs(whole), abs(mean), _ROUNDING):
        raise model.own_class.error(
            f"the loss is not the mean over rows: {whole:.6g} for {_ROWS} rows, but "
            f"{parts[0]:.6g} and {parts[1]:.6g} for both halves",
            _function(model),
        )


def _check_gradient(model: CustomNumbers, sample: _Sample) -> None:
    """Compare the gradient with differences of the loss."""
    rng = np.random.Generator(np.random.PCG64(_SEED))
    X, y = sample.X.astype(np.float64), sample.y
    y = y.astype(np.float64) if y.dtype.kind == "f" else y
    for point in sample.points:
        w = point.astype(np.float64)
        some = rng.permutation(len(w))[:_COORDINATES]
        with model.own_class.blamed():
            gradient = np.asarray(model.own.loss_and_gradient(w.copy(), X, y)[1], np.float64)
        found = np.array([_difference(model, w, X, y, each) for each in some])
        _require_close(model, found, gradient[some], "the gradient by parameter {}", some)


def _difference(model: CustomNumbers, w: Array, X: Array, y: Array, place: int) -> float:
    step = np.zeros_like(w)
    step[place] = _STEP
    with model.own_class.blamed():
        above, below = (float(model.own.loss_and_gradient(w + s, X, y)[0]) for s in (step, -step))
    return (above - below) / (2 * _STEP)


def _require_close(
    model: Checked, found: Array, given: Array, what: str, places: Array | None = None
) -> None:
    size = np.maximum(np.abs(found), np.abs(given)) + np.abs(found).mean() + _ROUNDING
    far = np.abs(found - given) / size
    wrong = np.count_nonzero(~(far <= _CLOSE))
    if wrong <= (0 if model.spec.smooth else _KINKS * len(found)):
        return
    worst = int(np.nanargmax(far))
    place = worst if places is None else int(places[worst])
    raise model.own_class.error(
        f"{what.format(place)}: expected about {found[worst]:.6g}, by differences of the loss, got "
        f"{given[worst]:.6g}" + ("" if model.spec.smooth else " (kinks aside)"),
        _function(model),
    )


def _check_convex(model: Checked, sample: _Sample) -> None:
    for a, b in zip(sample.points, sample.points[1:], strict=False):
        middle = ((a.astype(np.float64) + b) / 2).astype(np.float32)
        ends = (_loss(model, a, sample) + _loss(model, b, sample)) / 2
        loss = _loss(model, middle, sample)
        if loss > ends + _CLOSE * abs(ends) + _ROUNDING:
            raise InvalidCodeError(
                f"model.convex: the loss of {model.own_class.entry_point} is not convex: "
                f"{loss:.6g} between two points where its mean is {ends:.6g}; expected false"
            )


def _loss(model: Checked, w: Floats, sample: _Sample) -> float:
    return model.gradient(w, sample.X, sample.y, np.empty_like(w))


def _halves(half: int) -> tuple[slice, slice]:
    return slice(half), slice(half, None)


def _function(model: Checked) -> Callable[..., Any]:
    own: Any = model.own
    return own.losses if isinstance(model, CustomLinear) else own.loss_and_gradient  # type: ignore[no-any-return]
