"""Jobs as JSON: encodings, mistakes in the text, odd values, and agreement with the schema."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonschema
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from stepml.job.errors import InvalidJobError
from stepml.job.parse import parse_job
from stepml.job.schema import job_schema
from stepml.job.spec import JobSpec

JOB: dict[str, Any] = {
    "data": {"uri": "s3://bucket/größe.csv", "format": "csv"},
    "model": {"name": "logistic_regression"},
    "algorithm": {"name": "model_averaging"},
}
TEXT = json.dumps(JOB, ensure_ascii=False)


def refused(job: Any, file: str = "my.json") -> str:
    """Return the message, which is one line of text."""
    with pytest.raises(InvalidJobError) as caught:
        parse_job(job, file)
    message = str(caught.value)
    assert "\n" not in message
    message.encode()
    return message


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"],
)
def test_a_job_may_have_every_encoding_of_json(encoding: str) -> None:
    assert parse_job(TEXT.encode(encoding)) == parse_job(JOB)


def test_a_byte_order_mark_may_begin_decoded_text() -> None:
    assert parse_job("\ufeff" + TEXT) == parse_job(JOB)


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "latin-1", "cp1250", "mac-roman"])
def test_a_code_page_is_refused_with_the_file_and_the_byte(encoding: str) -> None:
    message = refused(TEXT.encode(encoding))

    assert message.startswith("the job is not JSON: 'my.json': it is not encoded as UTF-8: byte ")
    assert message.endswith("save it as UTF-8")


@pytest.mark.parametrize("cut", [1, 3])
def test_utf_16_that_ends_within_a_character_is_refused(cut: int) -> None:
    assert "the job is not JSON" in refused(TEXT.encode("utf-16")[:-cut])


def with_field(path: str, text: str) -> str:
    """Return the text of a job in which the field at ``path`` has the JSON ``text``."""
    job = copy.deepcopy(JOB)
    *groups, name = path.split(".")
    target = job
    for group in groups:
        target = target.setdefault(group, {})
    target[name] = "PLACEHOLDER"
    return json.dumps(job).replace('"PLACEHOLDER"', text)


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("model.positive_class", "1e999", "model.positive_class: expected a finite number"),
        ("model.positive_class", "-1e999", "model.positive_class: expected a finite number"),
        ("model.class_weight", '{"1": 1e999}', "model.class_weight.1: expected a finite number"),
        ("workers", "1e400", "workers: expected a finite number"),
        ("workers", "1" * 400, "workers: the number is too large"),
        ("workers", "1" * 5000, "a number has too many digits"),
        ("workers", "1e30", "workers: expected an integer from 1 to 1600, got 1e+30"),
        ("workers", "-2e300", "workers: the number is too large, beyond 1e+300"),
        ("workers", "1.5", "workers: expected an integer from 1 to 1600, got 1.5"),
        ("workers", "[" * 20 + "]" * 20, "workers.0.0: values are nested too deeply"),
        ("workers", "[" * 500 + "]" * 500, "workers.0.0: values are nested too deeply"),
        ("workers", "[" * 2000 + "]" * 2000, "nested too deeply"),
        ("stop", '{"x":' * 300 + "1" + "}" * 300, "stop.x.x: values are nested too deeply"),
        ("data.label", '"\\ud800"', 'data.label: "\\ud800" is no text'),
        ("data.label", '"a\\udfffb"', "data.label: "),
        ("\\ud800", "1", "the job: unknown field"),
        ("model.class_weight", '{"\\ud800": 1}', "model.class_weight: "),
    ],
)
def test_an_odd_value_is_refused_with_its_field(path: str, text: str, expected: str) -> None:
    if path == "\\ud800":
        job, expected = TEXT[:-1] + ', "\\ud800": 1}', 'the job: "\\ud800" is no text'
    else:
        job = with_field(path, text)

    assert expected in refused(job)


@pytest.mark.parametrize("depth", [100_000, 1_000_000])
@pytest.mark.parametrize("bracket", ["[", '{"a":'])
def test_brackets_without_end_are_refused(bracket: str, depth: int) -> None:
    assert "nested too deeply" in refused(bracket * depth)


def test_many_repeated_fields_are_refused_at_once() -> None:
    fields = ", ".join(f'"f{at % 50_000}": 1' for at in range(100_000))

    assert "has a field twice: f0, f1" in refused(f"{{{fields}}}")


def test_repeated_names_that_are_no_text_are_refused() -> None:
    assert "has a field twice: \\ud800" in refused('{"\\ud800": 1, "\\ud800": 2}')


@pytest.mark.parametrize("place", ["https://example.org/job.schema.json", "job.schema.json"])
def test_a_reference_to_the_schema_has_no_effect(place: str) -> None:
    job = {"$schema": place, **JOB}

    assert parse_job(job) == parse_job(JOB)
    jsonschema.validate(job, job_schema())
    assert "unknown field '$schema'" in refused({"$schema": 3, **JOB})
    assert "stop: unknown field '$schema'" in refused({**JOB, "stop": {"$schema": place}})


@pytest.mark.parametrize("field", ["workers", "stop.max_epochs", "data.n_features", "data.label"])
def test_a_whole_number_with_a_point_is_an_integer(field: str) -> None:
    def value(text: str) -> Any:
        found: Any = parse_job(with_field(field, text))
        for name in field.split("."):
            found = getattr(found, name)
        return found

    assert value("3.0") == value("0.3e1") == value("3")
    assert isinstance(value("3.0"), int)


def test_all_mistakes_are_named_at_once() -> None:
    job = {
        **JOB,
        "workers": 0,
        "wokers": 2,
        "data": {"format": "cvs", "header": 1},
        "algorithm": {"name": "model_averaging", "learning_rate": -1, "rho": 1},
        "stop": {"max_epochs": "many"},
    }
    with pytest.raises(InvalidJobError) as caught:
        parse_job(job)

    fields = {mistake.partition(":")[0] for mistake in caught.value.mistakes}
    assert fields == {
        "the job",
        "workers",
        "data.uri",
        "data.format",
        "data.header",
        "algorithm",
        "algorithm.learning_rate",
        "stop.max_epochs",
    }
    assert str(caught.value) == "; ".join(caught.value.mistakes)


def test_all_contradictions_are_named_at_once() -> None:
    job = {
        **JOB,
        "algorithm": {"name": "expectation_maximisation"},
        "data": {**JOB["data"], "format": "idx", "missing": "mean", "matrix": "sparse"},
        "stop": {"target": 1, "target_loss": 1},
    }

    message = refused(job)

    assert "algorithm.name: with model" in message
    assert "stop.target: " in message
    assert "data.matrix 'sparse'" in message


@pytest.mark.parametrize(
    ("path", "value", "hint"),
    [
        ("algorithm.name", "ADMM", "did you mean 'admm'?"),
        ("exchange.channel", "Redis", "did you mean 'redis'?"),
        ("data.format", "CSV", "did you mean 'csv'?"),
        ("workers", "4", "write 4 without quotes"),
        ("data.standardise", "True", "write true without quotes"),
        ("algorithm.learning_rate", "0.1", "write 0.1 without quotes"),
        ("stop.tolerance", "1e-4", "write 1e-4 without quotes"),
        ("stop.target_loss", "null", "write null without quotes"),
        ("data.uri", "../rows.csv", "upload it with: stepml data put ../rows.csv; it prints"),
        ("data.uri", "/home/me/rows.csv", "upload it"),
    ],
)
def test_a_near_miss_has_a_hint(path: str, value: str, hint: str) -> None:
    assert hint in refused(json.loads(with_field(path, json.dumps(value))))


def test_a_field_is_suggested_whatever_its_case() -> None:
    assert "did you mean 'workers'?" in refused({**JOB, "Workers": 4})


@pytest.mark.parametrize("value", ["many", "4 workers", ""])
def test_no_hint_where_none_helps(value: str) -> None:
    assert "(" not in refused({**JOB, "workers": value})


@pytest.mark.parametrize("weights", [{"0": 0, "1": 0}, {"0": 0.0, "1": -0.0}])
def test_class_weights_that_are_all_zero_are_refused(weights: dict[str, float]) -> None:
    job = {**JOB, "model": {"name": "logistic_regression", "class_weight": weights}}

    assert "model.class_weight: expected a weight above 0" in refused(job)


def _fields() -> list[tuple[str, ...]]:
    """Return the paths of the fields of a job with the model and algorithm of ``JOB``."""
    definitions = job_schema()["$defs"]
    groups = {
        "data": "Data",
        "model": "LogisticRegression",
        "algorithm": "ModelAveraging",
        "exchange": "Exchange",
        "stop": "Stop",
        "resume_from": "ResumeFrom",
    }
    paths = [(name,) for name in definitions["JobSpec"]["properties"]]
    for group, kind in groups.items():
        paths += [(group, name) for name in definitions[kind]["properties"]]
    return paths


_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-10, 2000)
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-10, 2000).map(float)
    | st.text(max_size=8)
    | st.sampled_from(["csv", "s3", "reduce", "adam", "s3://bucket/key", "balanced", "null", "4"])
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)


@settings(max_examples=400, deadline=None)
@given(path=st.sampled_from(_fields()), value=_VALUES)
@example(path=("model", "class_weight"), value={"\n": None})
@example(path=("model", "class_weight"), value={"0\x9b31m": "\u2028"})
@example(path=("\x1b",), value={"\n": None})
def test_parser_and_schema_agree(path: tuple[str, ...], value: Any) -> None:
    """A job that the parser accepts is valid; one that only the parser refuses contradicts itself.

    Booleans are integers for neither of them.
    """
    # To the parser, which shows them as they are written, they are no integers.
    assume(not (isinstance(value, float) and abs(value) >= 2**64))
    job: Any = copy.deepcopy(JOB)
    target = job
    for group in path[:-1]:
        target = target.setdefault(group, {})
    target[path[-1]] = value
    is_valid = not list(jsonschema.Draft202012Validator(job_schema()).iter_errors(job))
    try:
        assert isinstance(parse_job(json.dumps(job)), JobSpec)
    except InvalidJobError as error:
        message = str(error)
        message.encode()
        assert message.isprintable()
        assert not is_valid or not _is_of_one_field(message)
    else:
        assert is_valid


def _is_of_one_field(message: str) -> bool:
    """Return whether ``message`` names the values that a field allows by itself."""
    return ": expected a" in message or "is required" in message or "unknown field" in message
