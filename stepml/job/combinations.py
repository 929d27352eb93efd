"""The allowed combinations of a job's choices; a test compares them with ``docs/models.md``."""

from __future__ import annotations

from collections.abc import Callable

from stepml.job.algorithm_base import Descent
from stepml.job.algorithms import ALGORITHMS, algorithms_of
from stepml.job.channels import CHANNELS
from stepml.job.choices import with_algorithm
from stepml.job.errors import InvalidJobError
from stepml.job.formats import FORMATS, FormatFacts, names_of
from stepml.job.measures import LOSS
from stepml.job.models import MODELS
from stepml.job.spec import Data, JobSpec, Validation
from stepml.job.spec_base import listed, parse_labels, require_choice, settled, tag

_ONLY_SHARED = "requires channel 'parameter_server', pattern 'async'"


def contradictions(spec: JobSpec) -> list[str]:
    """Return a message on each field of ``spec`` that contradicts others, at most one a field."""
    spec = with_algorithm(spec)
    found: dict[str, str] = {}
    for check in _CHECKS:
        try:
            check(spec)
        except InvalidJobError as error:
            field = str(error).partition(":")[0]
            found.setdefault(field, str(error))
    return list(found.values())


def _check_algorithm(spec: JobSpec) -> None:
    algorithm, exchange = settled(spec.algorithm), spec.exchange
    name, where = tag(algorithm), f"algorithm {tag(algorithm)!r}"
    require_choice("algorithm.name", name, f"model {tag(spec.model)!r}", algorithms_of(spec.model))
    patterns = algorithm.patterns
    if exchange.pattern not in patterns:  # name only patterns that the channel has, too
        of_channel = CHANNELS[exchange.channel].patterns
        patterns = tuple(each for each in patterns if each in of_channel)
    require_choice("exchange.pattern", exchange.pattern, where, patterns)
    if exchange.pattern == "async":
        where = "pattern 'async'"
    if exchange.pattern == "async" or not algorithm.compresses:
        require_choice("exchange.compression", exchange.compression, where, ("none",))
    algorithm.check(spec.model)


def _check_model(spec: JobSpec) -> None:
    spec.model.check()


def _check_server(spec: JobSpec) -> None:
    exchange = spec.exchange
    channel = CHANNELS[exchange.channel]
    require_choice(
        "exchange.pattern", exchange.pattern, f"channel {channel.name!r}", channel.patterns
    )
    is_shared = channel.merges and exchange.pattern == "async"
    if exchange.max_staleness is not None and not is_shared:
        raise InvalidJobError(
            f"exchange.max_staleness: {_ONLY_SHARED}, not with channel {exchange.channel!r}, "
            f"pattern {exchange.pattern!r}; got {exchange.max_staleness}"
        )
    if exchange.server_update != "none":
        _check_server_update(spec, is_shared)


def _check_server_update(spec: JobSpec, is_shared: bool) -> None:
    exchange, algorithm = spec.exchange, settled(spec.algorithm)
    if not is_shared or not (isinstance(algorithm, Descent) and algorithm.server_steps):
        names = " or ".join(repr(name) for name, each in ALGORITHMS.items() if each.server_steps)
        raise InvalidJobError(
            f"exchange.server_update: {_ONLY_SHARED} and algorithm {names}, not with "
            f"channel {exchange.channel!r}, pattern {exchange.pattern!r} and algorithm "
            f"{tag(algorithm)!r}; got {exchange.server_update!r}"
        )
    optimiser = algorithm.optimiser or ("sgd" if algorithm.momentum else exchange.server_update)
    if exchange.server_update != optimiser:
        raise InvalidJobError(
            f"exchange.server_update: with algorithm.optimiser {optimiser!r} "
            f"expected {optimiser!r} or 'none', got {exchange.server_update!r}"
        )
    if spec.model.l1_factor:
        raise InvalidJobError(
            f"exchange.server_update: the server takes steps along gradients, but model.l1 "
            f"has no gradient; with l1 {spec.model.l1_factor:g} expected 'none', "
            f"got {exchange.server_update!r}"
        )
    if algorithm.weight_decay:
        raise InvalidJobError(
            "exchange.server_update: the server takes steps along gradients, but "
            "algorithm.weight_decay is apart from them; with weight_decay "
            f"{algorithm.weight_decay:g} expected 'none', got {exchange.server_update!r}"
        )


def _check_l1(spec: JobSpec) -> None:
    """Refuse what would minimise another objective, or have no zeros."""
    algorithm, exchange, l1 = spec.algorithm, spec.exchange, spec.model.l1_factor
    if not (l1 and isinstance(algorithm, Descent)):
        return
    where = f"model.l1 {l1:g} and "
    if algorithm.averages_models:
        where += f"algorithm {tag(algorithm)!r}"
    else:
        where += f"pattern {exchange.pattern!r}"
    if algorithm.averages_models or exchange.pattern == "async":  # each rank has its own moments
        optimiser = algorithm.optimiser or "sgd"  # is chosen
        require_choice("algorithm.optimiser", optimiser, where, ("sgd",))
    if algorithm.averages_models:  # parameters are small differences of what is exchanged
        require_choice("exchange.compression", exchange.compression, where, ("none",))


def _check_data(spec: JobSpec) -> None:
    """Refuse fields that have no effect with the job's format."""
    data = spec.data
    if data.matrix == "sparse":
        _require_format("data.matrix 'sparse'", data, lambda facts: facts.sparse != "never")
    if data.missing != "fail":
        what = f"data.missing {data.missing!r}"
        _require_format(what, data, lambda facts: facts.has_missing_values)
    if data.has_label is False:
        _require_format("data.has_label false", data, lambda facts: not facts.needs_label)
    if data.format is None:  # checked once it is known
        return
    facts = FORMATS[data.format]
    if data.label is not None and facts.label != "column":
        raise InvalidJobError(
            f"data.label: with data.format {data.format!r} {facts.label_words}, got {data.label!r};"
            " remove it"
        )


def _check_validation(spec: JobSpec) -> None:
    data = spec.data
    if data.validation is None:
        return
    if data.validation_fraction != Data(uri=data.uri, format=data.format).validation_fraction:
        raise InvalidJobError(
            "data.validation_fraction: has no effect with data.validation; remove one of them; "
            f"got {data.validation_fraction:g}"
        )
    _check_validation_column(data, data.validation)
    uri, bucket = data.validation.uri, _bucket_of(data.uri)
    if uri is not None and _bucket_of(uri) != bucket:
        raise InvalidJobError(
            f"data.validation.uri: expected an object in the bucket of data.uri, {bucket!r}, "
            f"got {uri!r}"
        )


def _check_stratify(spec: JobSpec) -> None:
    data = spec.data
    if not data.stratify:
        return
    if not spec.model.learns_classes:
        usable = {name: each for name, each in MODELS.items() if each.is_available}
        names = listed(tuple(name for name, each in usable.items() if each.learns_classes))
        raise InvalidJobError(
            f"data.stratify: requires model {names}, not {tag(spec.model)!r}; got true"
        )
    if data.validation is not None or not data.validation_fraction:
        without = "data.validation" if data.validation else "data.validation_fraction 0"
        raise InvalidJobError(
            f"data.stratify: has no effect with {without}; remove one of them; got true"
        )


def _check_validation_column(data: Data, validation: Validation) -> None:
    if (validation.uri is None) == (validation.column is None):
        got = "both" if validation.uri else "none of them"
        raise InvalidJobError(f"data.validation: expected uri, or column, got {got}")
    if validation.after is not None and validation.column is None:
        raise InvalidJobError(
            f"data.validation.after: is a value of data.validation.column, which is not set; got "
            f"{validation.after:g}"
        )
    if validation.column is not None:
        _require_format("data.validation.column", data, lambda facts: facts.label == "column")
    if isinstance(validation.column, str) and data.header is False:
        raise InvalidJobError(
            "data.validation.column: a column name needs a header, but data.header is false; "
            f"got {validation.column!r}"
        )


def _bucket_of(uri: str) -> str:
    return uri.removeprefix("s3://").partition("/")[0]


def _check_label(spec: JobSpec) -> None:
    data = spec.data
    if isinstance(data.label, str) and data.header is False:
        raise InvalidJobError(
            "data.label: a column name needs a header, but data.header is false; "
            f"got {data.label!r}"
        )
    if data.has_label is not False:
        return
    if spec.model.needs_labels:
        others = ", ".join(repr(name) for name, each in MODELS.items() if not each.needs_labels)
        raise InvalidJobError(
            f"data.has_label: model {tag(spec.model)!r} needs labels, only {others} does not; "
            "got false"
        )
    if data.label is not None:
        raise InvalidJobError(
            f"data.label: expected none, because data.has_label is false, got {data.label!r}"
        )


def _check_class_weight(spec: JobSpec) -> None:
    weights = getattr(spec.model, "class_weight", None)
    if not isinstance(weights, dict):
        return
    parse_labels(weights, _number)
    # With a positive class, the data may have labels that the weights do not name.
    has_two_labels = getattr(spec.model, "positive_class", "none") is None
    if has_two_labels and len(weights) > 1 and not any(weights.values()):
        raise InvalidJobError(
            "model.class_weight: expected a weight above 0 for at least one label, "
            f"got {', '.join(f'{label!r}: 0' for label in weights)}"
        )


def _check_measure(spec: JobSpec) -> None:
    stop, where = spec.stop, f"model {tag(spec.model)!r}"
    require_choice("stop.metric", stop.metric, where, (LOSS, *spec.model.metrics))
    if stop.target is not None and stop.target_loss is not None and stop.metric == LOSS:
        raise InvalidJobError(
            f"stop.target: expected none beside target_loss {stop.target_loss:g}, because "
            f"stop.metric is the loss; got {stop.target:g}"
        )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InvalidJobError(
            f"model.class_weight: expected numbers as labels, got {text!r}"
        ) from None


def _require_format(what: str, data: Data, has_it: Callable[[FormatFacts], bool]) -> None:
    if data.format is not None and not has_it(FORMATS[data.format]):
        raise InvalidJobError(
            f"{what}: requires data.format {listed(names_of(has_it))}, got {data.format!r}"
        )


_CHECKS: tuple[Callable[[JobSpec], None], ...] = (
    _check_algorithm,
    _check_model,
    _check_server,
    _check_l1,
    _check_data,
    _check_validation,
    _check_stratify,
    _check_label,
    _check_class_weight,
    _check_measure,
)
