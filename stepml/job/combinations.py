"""The allowed combinations of a job's choices; a test compares them with ``docs/models.md``."""

from __future__ import annotations

import json
from collections.abc import Callable

from stepml.job.algorithm_checks import ALGORITHM_CHECKS
from stepml.job.choices import with_algorithm
from stepml.job.data import Data, Validation
from stepml.job.errors import InvalidJobError
from stepml.job.formats import FORMATS, FormatFacts, names_of
from stepml.job.measures import LOSS
from stepml.job.models import MODELS
from stepml.job.places import bucket_and_key, is_absolute
from stepml.job.spec import JobSpec
from stepml.job.spec_base import Label, listed, parse_labels, require_choice, tag
from stepml.job.table_checks import TABLE_CHECKS
from stepml.job.text_checks import TEXT_CHECKS


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


def _check_model(spec: JobSpec) -> None:
    spec.model.check()


def _check_code(spec: JobSpec) -> None:
    if spec.needs_code and spec.code is None:
        raise InvalidJobError(
            f"code: {spec.code_fields[0]} names code of your own; expected s3://bucket/key of a "
            "zip file with it (`stepml run JOB.json --code PATH` makes one, as does "
            "`Client.run(job, code=PATH)`), got none"
        )
    if spec.code is not None and not spec.needs_code:
        raise InvalidJobError(
            "code: has no effect without model.entry_point or algorithm.entry_point; remove it; "
            f"got {spec.code!r}"
        )


def _check_data(spec: JobSpec) -> None:
    """Refuse fields that have no effect with the job's format."""
    data = spec.data
    if data.matrix == "sparse":
        _require_format(
            "data.matrix 'sparse'",
            data,
            lambda facts: facts.sparse != "never" or facts.label == "column",  # tables may be wide
        )
    if data.path_columns:
        _require_format("data.path_columns true", data, lambda facts: facts.label == "column")
        if data.header is False:
            raise InvalidJobError(
                "data.path_columns: needs a header, but data.header is false; got true"
            )
    if data.zero_based != "auto":
        what = f"data.zero_based {json.dumps(data.zero_based)}"
        _require_format(what, data, lambda facts: facts.sparse == "always")
    if data.missing not in (None, "fail"):
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


def _check_scale(spec: JobSpec) -> None:
    """Refuse settings of columns where rows have none, and a scale that contradicts another."""
    data = spec.data
    by_column = {
        "data.missing": isinstance(data.missing, dict),
        "data.missing_indicator": isinstance(data.missing_indicator, list),
        "data.scale": isinstance(data.scale, dict),
    }
    for field, names_columns in by_column.items():
        if names_columns:
            _require_format(f"{field} by column", data, lambda facts: facts.label == "column")
        if names_columns and data.header is False:
            raise InvalidJobError(
                f"{field}: names of columns need a header, but data.header is false"
            )
    if data.standardise is None or not isinstance(data.scale, str):
        return
    if data.standardise != (data.scale == "standardise"):
        raise InvalidJobError(
            f"data.scale: contradicts data.standardise {json.dumps(data.standardise)}; remove one "
            f"of them; got {data.scale!r}"
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
    uri = data.validation.uri
    if uri is None or is_absolute(uri) != is_absolute(data.uri):  # Prepare knows the stack's bucket
        return
    bucket = bucket_and_key(data.uri)[0]
    if is_absolute(uri) and bucket_and_key(uri)[0] != bucket:
        raise InvalidJobError(
            f"data.validation.uri: expected an object in the bucket of data.uri, {bucket!r}, "
            f"got {uri!r}"
        )


def _check_stratify(spec: JobSpec) -> None:
    data = spec.data
    if not data.stratify:
        return
    if not spec.model.has_classes:
        names = listed(tuple(name for name, each in MODELS.items() if each.learns_classes))
        loss = " with this loss" if spec.model.learns_classes else ""
        raise InvalidJobError(
            f"data.stratify: requires model {names}, not {tag(spec.model)!r}{loss}; got true"
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


def _check_weight(spec: JobSpec) -> None:
    data = spec.data
    if data.weight is None:
        return
    _require_format("data.weight", data, lambda facts: facts.weights != "none")
    is_name = isinstance(data.weight, str)
    if data.format is not None and FORMATS[data.format].weights == "array" and not is_name:
        raise InvalidJobError(
            f"data.weight: with data.format {data.format!r}, expected the name of an array, "
            f"got {data.weight}"
        )
    if is_name and data.header is False:
        raise InvalidJobError(
            "data.weight: a column name needs a header, but data.header is false; "
            f"got {data.weight!r}"
        )


def _check_class_weight(spec: JobSpec) -> None:
    weights = getattr(spec.model, "class_weight", None)
    if not isinstance(weights, dict):
        return
    parse_labels(weights, _label)
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


def _label(text: str) -> Label:
    """Return a label, of which 1 and 1.0 are one; the data say whether labels are numbers."""
    try:
        return float(text)
    except ValueError:
        return text


def _require_format(what: str, data: Data, has_it: Callable[[FormatFacts], bool]) -> None:
    if data.format is not None and not has_it(FORMATS[data.format]):
        raise InvalidJobError(
            f"{what}: requires data.format {listed(names_of(has_it))}, got {data.format!r}"
        )


_CHECKS: tuple[Callable[[JobSpec], None], ...] = (
    *ALGORITHM_CHECKS,
    *TEXT_CHECKS,
    *TABLE_CHECKS,
    _check_model,
    _check_code,
    _check_data,
    _check_scale,
    _check_validation,
    _check_stratify,
    _check_label,
    _check_weight,
    _check_class_weight,
    _check_measure,
)
