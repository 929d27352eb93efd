"""Which choices of a job go together; ``docs/job.md`` has the same tables, held by a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from stepml.job.channels import CHANNELS
from stepml.job.errors import InvalidJobError
from stepml.job.formats import FORMATS, FormatFacts
from stepml.job.spec import (
    Admm,
    Data,
    Descent,
    ExpectationMaximisation,
    GradientAveraging,
    JobSpec,
    KMeans,
    LinearRegression,
    Svm,
    tag,
)

_BY_GRADIENTS = ("gradient_averaging", "model_averaging", "admm")
ALGORITHMS_OF_MODEL = {
    "logistic_regression": _BY_GRADIENTS,
    "softmax_regression": _BY_GRADIENTS,
    "svm": _BY_GRADIENTS,
    "linear_regression": _BY_GRADIENTS,
    "kmeans": ("expectation_maximisation",),
    "neural": ("gradient_averaging", "model_averaging"),
}
PATTERNS_OF_ALGORITHM = {
    "gradient_averaging": ("reduce", "reduce_scatter", "async"),
    "model_averaging": ("reduce", "reduce_scatter", "async"),
    "admm": ("reduce", "reduce_scatter"),
    "expectation_maximisation": ("reduce", "reduce_scatter"),
}
_ONLY_SHARED = "goes with channel 'parameter_server', pattern 'async'"


def refuse_combinations(spec: JobSpec) -> None:
    """Raise `InvalidJobError` for the first two choices of ``spec`` that do not go together."""
    _check_algorithm(spec)
    _check_server(spec)
    _check_data(spec.data)
    _check_label(spec)
    _check_class_weight(spec)


def local_solver(spec: JobSpec) -> Literal["lbfgs", "sgd"]:
    """Return what minimises on a rank of an ADMM job: unless it says, what suits its model."""
    asked = spec.algorithm.local_solver if isinstance(spec.algorithm, Admm) else None
    # Curvature is guessed from gradients that change smoothly: those of a kink do not.
    return asked or ("sgd" if isinstance(spec.model, Svm) else "lbfgs")


def _check_algorithm(spec: JobSpec) -> None:
    model, algorithm, pattern = tag(spec.model), tag(spec.algorithm), spec.exchange.pattern
    _require("algorithm.name", algorithm, f"model {model!r}", ALGORITHMS_OF_MODEL[model])
    patterns = PATTERNS_OF_ALGORITHM[algorithm]
    if pattern not in patterns:  # of these, name those that the channel has, too
        of_channel = CHANNELS[spec.exchange.channel].patterns
        patterns = tuple(each for each in patterns if each in of_channel)
    _require("exchange.pattern", pattern, f"algorithm {algorithm!r}", patterns)
    if pattern == "async":
        plain = ("none",)
        _require("exchange.compression", spec.exchange.compression, "pattern 'async'", plain)
    if isinstance(spec.algorithm, ExpectationMaximisation):
        # Its sums are float64, which compression leaves as they are.
        where = f"algorithm {algorithm!r}"
        _require("exchange.compression", spec.exchange.compression, where, ("none",))
    if isinstance(spec.algorithm, Descent) and spec.algorithm.optimiser != "sgd":
        momentum = spec.algorithm.momentum
        if momentum:
            raise InvalidJobError(
                f"algorithm.momentum: belongs to optimiser 'sgd', the job has "
                f"{spec.algorithm.optimiser!r}; got {momentum:g}"
            )
    if isinstance(spec.algorithm, Admm) and isinstance(spec.model, Svm):
        where = "model 'svm', whose loss has a kink,"
        _require("algorithm.local_solver", local_solver(spec), where, ("sgd",))


def _check_server(spec: JobSpec) -> None:
    exchange = spec.exchange
    channel = CHANNELS[exchange.channel]
    _require("exchange.pattern", exchange.pattern, f"channel {channel.name!r}", channel.patterns)
    is_shared = channel.merges and exchange.pattern == "async"
    if exchange.max_staleness is not None and not is_shared:
        raise InvalidJobError(
            f"exchange.max_staleness: {_ONLY_SHARED}, not with channel {exchange.channel!r}, "
            f"pattern {exchange.pattern!r}; got {exchange.max_staleness}"
        )
    if exchange.server_update == "none":
        return
    if not is_shared or not isinstance(spec.algorithm, GradientAveraging):
        raise InvalidJobError(
            f"exchange.server_update: {_ONLY_SHARED} and algorithm 'gradient_averaging', not with "
            f"channel {exchange.channel!r}, pattern {exchange.pattern!r} and algorithm "
            f"{tag(spec.algorithm)!r}; got {exchange.server_update!r}"
        )
    if exchange.server_update != spec.algorithm.optimiser:
        raise InvalidJobError(
            f"exchange.server_update: with algorithm.optimiser {spec.algorithm.optimiser!r} "
            f"expected {spec.algorithm.optimiser!r} or 'none', got {exchange.server_update!r}"
        )
    if isinstance(spec.model, LinearRegression) and spec.model.l1:
        raise InvalidJobError(
            f"exchange.server_update: the server takes steps along gradients, of which model.l1 "
            f"has none; with l1 {spec.model.l1:g} expected 'none', got {exchange.server_update!r}"
        )


def _check_data(data: Data) -> None:
    """Refuse fields that would have no effect with the job's format."""
    if data.matrix == "sparse":
        _require_format("data.matrix 'sparse'", data, lambda facts: facts.sparse != "never")
    if data.missing != "fail":
        what = f"data.missing {data.missing!r}"
        _require_format(what, data, lambda facts: facts.has_missing_values)
    if not data.has_label:
        _require_format("data.has_label false", data, lambda facts: not facts.needs_label)
    facts = FORMATS[data.format]
    if data.label is not None and facts.label != "column":
        raise InvalidJobError(
            f"data.label: with data.format {data.format!r} {facts.label_words}, got {data.label!r};"
            " leave it out"
        )


def _check_label(spec: JobSpec) -> None:
    data = spec.data
    if isinstance(data.label, str) and data.header is False:
        raise InvalidJobError(
            f"data.label: a column name needs a header, data.header is false; got {data.label!r}"
        )
    if data.has_label:
        return
    if not isinstance(spec.model, KMeans):
        raise InvalidJobError(
            f"data.has_label: model {tag(spec.model)!r} learns labels, only 'kmeans' needs none; "
            "got false"
        )
    if data.label is not None:
        raise InvalidJobError(f"data.label: data.has_label is false, got {data.label!r}")


def _check_class_weight(spec: JobSpec) -> None:
    weights = getattr(spec.model, "class_weight", None)
    names: dict[float, str] = {}
    for text in weights if isinstance(weights, dict) else ():
        try:
            label = float(text)
        except ValueError:
            raise InvalidJobError(
                f"model.class_weight: expected labels, which are numbers, got {text!r}"
            ) from None
        if label in names:
            raise InvalidJobError(
                f"model.class_weight: label {label:g} stands twice: {names[label]!r} and {text!r}"
            )
        names[label] = text


def _require(field: str, value: str, where: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InvalidJobError(f"{field}: with {where} expected {_listed(choices)}, got {value!r}")


def _require_format(what: str, data: Data, has_it: Callable[[FormatFacts], bool]) -> None:
    if not has_it(FORMATS[data.format]):
        choices = tuple(name for name, facts in FORMATS.items() if has_it(facts))
        raise InvalidJobError(
            f"{what}: goes with data.format {_listed(choices)}, got {data.format!r}"
        )


def _listed(choices: tuple[str, ...]) -> str:
    return " or ".join(filter(None, [", ".join(choices[:-1]), choices[-1]]))
