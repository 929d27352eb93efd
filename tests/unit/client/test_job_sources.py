"""Jobs in JSON, YAML and TOML, and changes to their fields."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from stepml.client.job_changes import Change, changed
from stepml.client.job_sources import job_json
from stepml.job.errors import InvalidJobError
from stepml.job.parse import parse_job

JOB: dict[str, Any] = {
    "data": {"uri": "data/größe.csv", "label": "digit", "missing_words": ["no"]},
    "workers": 4,
    "model": {"name": "logistic_regression", "l2": 0.01, "class_weight": {"3": 2.0}},
    "algorithm": {"name": "model_averaging", "local_epochs": 3},
}
JSON = json.dumps(JOB)
YAML = """\
# how to tell a three
data: {uri: data/größe.csv, label: digit, missing_words: [no]}
workers: 4
model:
  name: logistic_regression
  l2: 1e-2    # a number, other than in YAML 1.1
  class_weight: {3: 2.0}
algorithm: {name: model_averaging, local_epochs: 3}
"""
TOML = """\
workers = 4
data = {uri = "data/größe.csv", label = "digit", missing_words = ["no"]}
model = {name = "logistic_regression", l2 = 1e-2, class_weight = {3 = 2.0}}

[algorithm]
name = "model_averaging"
local_epochs = 3
"""


def refused(text: str, file: str) -> str:
    with pytest.raises(InvalidJobError) as caught:
        job_json(text.encode(), file)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "suffix"), [(JSON, ".json"), (YAML, ".yaml"), (YAML, ".YML"), (TOML, ".toml")]
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_job_is_the_same_in_each_format(text: str, suffix: str, encoding: str) -> None:
    content = text.encode(encoding)
    for file in (f"my{suffix}", "my.job", ""):  # by its suffix, or as it begins
        assert parse_job(job_json(content, file)) == parse_job(JOB)


@pytest.mark.parametrize(("text", "kind"), [(YAML, "yaml"), (TOML, "toml")])
def test_another_format_in_a_file_of_json_is_named(text: str, kind: str) -> None:
    assert refused(text, "my.json").endswith(f"it is {kind.upper()}; name it my.{kind}")


def test_json_stays_to_the_letter() -> None:
    text = '{ "workers": 4.0, "x": 1 }\n'
    assert job_json(text.encode(), "my.json") == text
    assert job_json(b"no job at all") == "no job at all"  # parse_job says what it is


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("On", "On"),
        ("12:30", "12:30"),
        ("2020-01-01", "2020-01-01"),
        ("1_000", "1_000"),
        ("012", 12),
        ("0x1F", 31),
        (".5", 0.5),
        ("-1e3", -1000),
        ("TRUE", True),
        ("~", None),
        ("", None),
        ("'4'", "4"),
        ("!!str 4", "4"),
    ],
)
def test_scalars_of_yaml_are_those_of_version_1_2(text: str, value: object) -> None:
    assert json.loads(job_json(f"a: {text}".encode(), "x.yaml")) == {"a": value}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1\nb: 2", "line 2, column 2: expected ',' or ']', but got ':'"),
        ("a: 1\na: 2", "line 2, column 1: the field 'a' is given twice"),
        ("a: &x 1\nb: *x", "line 2, column 4: aliases are not supported, got *x"),
        ("? [1]\n: 2", "line 1, column 3: expected the name of a field"),
        ("a: !!python/name:os.system x", "the type !!python/name:os.system is not supported"),
        ("a: !!set {x}", "the type !!set is not supported"),
        ("a: !!int x", "expected !!int, got 'x'"),
        ("a: !!map x", "the value does not suit !!map"),
        ("a: !!bool {}", "the value does not suit !!bool"),
        ("a:\n\t- 1", "line 2, column 1: YAML is indented by blanks, not by tabs"),
        ("a: 1\n---\nb: 2", "line 2, column 1: expected one document, there is another"),
        ("a: \x07", "unacceptable character #x0007"),
        ("", "it is empty"),
        ("# nothing", "it is empty"),
    ],
)
def test_a_mistake_in_yaml_has_its_line(text: str, expected: str) -> None:
    message = refused(text, "x.yaml")
    assert message.startswith("the job cannot be read as YAML: 'x.yaml': ")
    assert expected in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = 1\nb = x\n", "line 2, column 5: invalid value"),
        ("a = [1", "unclosed array"),
        ("a = " + "9" * 5000, "a number has too many digits"),
        ("", "it is empty"),
    ],
)
def test_a_mistake_in_toml_has_its_line(text: str, expected: str) -> None:
    message = refused(text, "x.toml")
    assert message.startswith("the job cannot be read as TOML: 'x.toml': ")
    assert expected in message


@pytest.mark.parametrize(("text", "file"), [("a: .inf", "x.yaml"), ("a = nan", "x.toml")])
def test_what_json_lacks_is_refused_with_its_field(text: str, file: str) -> None:
    assert "a: expected a finite number, got " in refused(text, file)


@pytest.mark.parametrize("text", ["a: " + "[" * 5000, "a = " + "[" * 5000])
def test_deep_nesting_is_refused(text: str) -> None:
    file = "x.yaml" if ":" in text else "x.toml"
    assert refused(text, file) == "the job: values are nested too deeply"
    assert job_json(text.encode()) == text  # no known format: parse_job says so


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(-1e300, 1e300).map(lambda x: x + 0.5)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab-é"), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text("abc", min_size=1), plain, min_size=1, max_size=3))
def test_json_and_quoted_scalars_with_types_are_yaml(document: dict[str, Any]) -> None:
    for text in (json.dumps(document), yaml.safe_dump(document, default_style='"')):
        assert json.loads(job_json(text.encode(), "x.yaml")) == document


def test_a_change_sets_a_field_and_leaves_the_job_as_it_is() -> None:
    before = json.dumps(JOB)
    for setting, path, value in (
        ("workers=8", ["workers"], 8),
        ("algorithm.learning_rate=0.1", ["algorithm", "learning_rate"], 0.1),
        ("stop.max_epochs=3", ["stop", "max_epochs"], 3),
        ("data.label=other label", ["data", "label"], "other label"),
        ('data.label="3"', ["data", "label"], "3"),
        ("data.delimiter=,", ["data", "delimiter"], ","),
        ("data.thousands= ", ["data", "thousands"], " "),
        ("data.uri=a=b", ["data", "uri"], "a=b"),
        ("data.label=1e999", ["data", "label"], "1e999"),
        ("data.stratify=true", ["data", "stratify"], True),
        ("algorithm=null", ["algorithm"], None),
        (
            'data.columns.types."my.col"=category',
            ["data", "columns", "types", "my.col"],
            "category",
        ),
        ('algorithm={"name": "admm"}', ["algorithm"], {"name": "admm"}),
    ):
        found = changed(JOB, [Change.parsed(setting)])
        for name in path:
            found = found[name]
        assert found == value, setting
    assert json.dumps(JOB) == before


def test_the_last_of_several_changes_counts() -> None:
    changes = [Change.parsed(each) for each in ("workers=8", "stop.target=1", "workers=2")]
    assert changed(JOB, changes) == JOB | {"workers": 2, "stop": {"target": 1}}


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("workers", "expected FIELD=VALUE, got 'workers'"),
        ("=3", "expected FIELD=VALUE, got '=3'"),
        ("stop={max_epochs: 3}", "stop: expected JSON, got {max_epochs: 3}"),
        ("Workers=8", "Workers: unknown field (did you mean 'workers'?)"),
        ("stop.max_epoch=3", "stop.max_epoch: unknown field (did you mean 'stop.max_epochs'?)"),
        ("learning_rate=1", "unknown field (did you mean 'algorithm.learning_rate'?)"),
        ("lr=1", "unknown field (did you mean 'algorithm.learning_rate'?)"),
        ("channel=redis", "unknown field (did you mean 'exchange.channel'?)"),
        ("data.columns.typ=1", "unknown field (did you mean 'data.columns.types'?)"),
        ("zzz=1", "zzz: unknown field; known: $schema, algorithm, code, data, "),
        ("workers.x=1", "workers.x: workers is 4 in the job, which has no fields; set workers as"),
        ("strict.x=1", "strict.x: strict has no fields; it is true or false"),
        (
            "algorithm.name=least_squares",
            "algorithm.name: local_epochs of the job's algorithm would remain, which "
            "'least_squares' lacks; set algorithm as a whole, as in "
            'algorithm={"name": "least_squares"}',
        ),
    ],
)
def test_a_change_of_no_field_is_refused_with_a_suggestion(setting: str, expected: str) -> None:
    with pytest.raises(InvalidJobError) as caught:
        changed(JOB, [Change.parsed(setting)])
    assert expected in str(caught.value)


def test_all_unknown_fields_are_named() -> None:
    with pytest.raises(InvalidJobError) as caught:
        changed(JOB, [Change.parsed("worker=1"), Change.parsed("dta.uri=x")])
    assert len(caught.value.mistakes) == 2


def test_the_fields_of_all_variants_may_be_set_where_none_is_chosen() -> None:
    job = {"model": {"name": "kmeans"}}
    assert changed(job, [Change.parsed("algorithm.rho=1")])["algorithm"] == {"rho": 1}
