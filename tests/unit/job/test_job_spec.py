"""The job spec is parsed strictly, and errors name the field."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stepml.job.algorithms import ALGORITHMS, algorithms_of
from stepml.job.channels import CHANNELS, refuse_unconfigured
from stepml.job.errors import InvalidJobError, NotAvailableError
from stepml.job.models import MODELS
from stepml.job.names import check_job_id
from stepml.job.parse import parse_job
from stepml.job.schema import job_schema
from stepml.job.spec import JobSpec
from tests.support.paths import ROOT

JOB: dict[str, Any] = {
    "data": {"uri": "s3://bucket/rows.csv", "format": "csv"},
    "model": {"name": "logistic_regression"},
    "algorithm": {"name": "model_averaging"},
}


def changed(**values: Any) -> dict[str, Any]:
    """Return JOB with fields changed: ``stop__max_epochs=3`` sets stop.max_epochs."""
    job = copy.deepcopy(JOB)
    for path, value in values.items():
        *groups, field = path.split("__")
        target = job
        for group in groups:
            target = target.setdefault(group, {})
        target[field] = value
    return job


def test_what_is_left_out_has_a_default() -> None:
    spec = parse_job(JOB)
    assert spec.workers == 4
    assert (spec.exchange.channel, spec.exchange.pattern) == ("s3", "reduce")
    assert spec.data.validation_fraction == 0.1


def test_a_spec_survives_json() -> None:
    spec = parse_job(changed(stop__target_loss=0.5, data__label=-1))
    assert parse_job(msgspec.json.encode(spec)) == spec


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"worker": 4}, "the job: unknown field 'worker' (did you mean 'workers'?)"),
        ({"exchange__patern": "x"}, "exchange: unknown field 'patern' (did you mean 'pattern'?)"),
        (
            {"model__n_clusters": 3},
            "model: unknown field 'n_clusters'; known: class_weight, l1, l2, name,",
        ),
        ({"workers": 0}, "workers: expected an integer from 1 to 1600, got 0"),
        ({"workers": -3}, "workers: expected an integer from 1 to 1600, got -3"),
        ({"workers": "4"}, 'workers: expected an integer from 1 to 1600, got "4"'),
        ({"workers": True}, "workers: expected an integer from 1 to 1600, got true"),
        ({"workers": None}, "workers: expected an integer from 1 to 1600, got null"),
        ({"data": 3}, "data: expected an object, got 3"),
        (
            {"model": {}},
            "model.name: is required (one of: custom, kmeans, linear_regression, logistic",
        ),
        ({"model__name": "knn"}, "model.name: expected one of: custom, kmeans, linear_regression"),
        ({"exchange__channel": "kafka"}, "exchange.channel: expected one of: dynamodb, memcached"),
        ({"data__uri": "/rows.csv"}, "data.uri: expected a string like s3://bucket/key of one"),
        ({"data__uri": "./my rows.csv"}, "with: stepml data put './my rows.csv'; it"),
        ({"data__uri": "C:\\rows.csv"}, "a path without s3:// is in the stack's bucket, got"),
        ({"data__uri": "data\\rows.csv"}, "a path without s3:// is in the stack's bucket, got"),
        ({"data__uri": "https://host/rows.csv"}, "a path without s3:// is in the stack's bucket"),
        ({"data__uri": "S3://bucket/rows.csv"}, "a path without s3:// is in the stack's bucket"),
        ({"data__uri": "s3://bucket"}, "data.uri: expected a string like s3://bucket/key of one"),
        ({"data__uri": "a\nb"}, 'is in the stack\'s bucket, got "a\\nb"'),
        ({"data__validation_fraction": -0.1}, "expected a number from 0 to 0.5, got -0.1"),
        ({"data__validation_fraction": 0.6}, "expected a number from 0 to 0.5, got 0.6"),
        ({"data__label": 1.5}, "data.label: expected a string, an integer or null, got 1.5"),
        (
            {"data__encode": "onehot"},
            "data.encode: expected one of: hash, one_hot, ordinal or an object, for each column or "
            "pattern one of these, got \"onehot\" (did you mean 'one_hot'?)",
        ),
        (
            {"data__encode": {"city": "one_hot", "zip_*": "ordinals"}},
            'data.encode.zip_*: expected one of: hash, one_hot, ordinal, got "ordinals"',
        ),
        ({"data__missing": {"a": "mode"}}, "data.missing.a: expected one of: fail, mean, median"),
        ({"data__missing": {"": 1}}, "data.missing: expected one of: fail, mean, median"),
        (
            {"data__columns": {"types": {"a": "int"}}},
            'data.columns.types.a: expected one of: boolean, category, number, time, got "int"',
        ),
        (
            {"data__missing_indicator": "yes"},
            "expected true or false or a list of values, each a string of 1 to 1000 characters",
        ),
        ({"model__class_weight": {"1": -1}}, "model.class_weight.1: expected a number from 0 to"),
        ({"data__ranges": 41}, "data.ranges: expected an integer from 1 to 40 or null, got 41"),
        ({"algorithm__learning_rate": -1}, "algorithm.learning_rate: expected a number above 0"),
        ({"algorithm__batch_size": 0}, "algorithm.batch_size: expected an integer from 1 to"),
        ({"stop__max_epochs": 0}, "stop.max_epochs: expected an integer from 1 to 100000 or null"),
        ({"stop__tolerance": -1e-9}, "stop.tolerance: expected a number of at least 0 or null"),
        (
            {"data__format": "libsvm", "data__label": 3},
            "data.label: with data.format 'libsvm' rows begin with their label, got 3",
        ),
        (
            {"data__header": False, "data__label": "y"},
            "data.label: a column name needs a header, but data.header is false; got 'y'",
        ),
    ],
)
def test_the_message_names_the_field_the_choices_and_the_value(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidJobError) as caught:
        parse_job(changed(**values))
    assert message in str(caught.value)


ANYTHING: list[Any] = [None, True, 0, -1, 2**70, 1.5, -1e308, "", "x", "é", [], ["x"], {}, {"x": 1}]
FIELDS = [
    "data data__uri data__format data__header data__label data__n_features data__seed data__ranges",
    "data__validation_fraction data__standardise data__on_bad_row workers resume_from exchange",
    "model model__name model__l2 model__positive_class model__class_weight algorithm stop",
    "data__matrix data__missing data__has_label algorithm__name algorithm__optimiser",
    "algorithm__momentum algorithm__schedule algorithm__decay algorithm__clip_norm",
    "algorithm__learning_rate algorithm__batch_size algorithm__local_epochs stop__max_epochs",
    "exchange__channel exchange__pattern exchange__compression stop__target_loss stop__tolerance",
    "stop__patience stop__max_cost_usd stop__max_seconds data__stratify",
]


@pytest.mark.parametrize("field", " ".join(FIELDS).split())
def test_whatever_a_field_holds_it_is_taken_or_refused_by_name(field: str) -> None:
    for value in ANYTHING:
        try:
            assert isinstance(parse_job(changed(**{field: value})), JobSpec)
        except InvalidJobError as error:
            assert field.split("__")[0] in str(error)


@pytest.mark.parametrize("field", ["data", "model"])
def test_required_groups_are_named(field: str) -> None:
    job = copy.deepcopy(JOB)
    del job[field]
    with pytest.raises(InvalidJobError, match=rf"^{field}: is required"):
        parse_job(job)


_SHAPE = (
    "model.input_shape: expected a list of 1 to 3 values, each an integer of at least 1 or null"
)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"input_shape": "8x8"}, f'{_SHAPE}, got "8x8"'),
        ({"input_shape": 8}, f"{_SHAPE}, got 8"),
        ({"input_shape": []}, f"{_SHAPE}, got []"),
        ({"input_shape": [8, 0]}, f"{_SHAPE}, got [8, 0]"),
        ({"input_shape": [1, 2, 3, 4]}, f"{_SHAPE}, got [1, 2, 3, 4]"),
        ({"augment": {"flop": True}}, "model.augment: unknown field 'flop' (did you mean 'flip'?)"),
        ({"augment": {"crop": -1}}, "model.augment.crop: expected an integer from 0 to 1000, got"),
        (
            {"network": {"name": "mlp", "hidden": [16, 0]}},
            "model.network.hidden: expected a list of 0 to 50 values, each an integer from 1 to "
            "100000, got [16, 0]",
        ),
        (
            {"network": {"name": "mlp", "hiden": [16]}},
            "model.network: unknown field 'hiden' (did you mean 'hidden'?)",
        ),
        ({"label_smoothing": 1}, "model.label_smoothing: expected a number from 0, below 1, got 1"),
    ],
)
def test_lists_and_groups_within_groups_are_refused_by_name(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidJobError) as caught:
        parse_job(changed(model={"name": "neural", "network": "mlp", **fields}))
    assert message in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"{'data': 1}", b'{"workers": NaN}'])
def test_what_is_not_json_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidJobError, match=r"^the job is not JSON: "):
        parse_job(text)


def test_a_mistake_in_the_json_is_shown_where_it_is() -> None:
    with pytest.raises(InvalidJobError, match=r"line 2, column 14: 4x is not a number"):
        parse_job(b'{\n  "workers": 4x\n}')


def test_a_field_that_stands_twice_is_refused() -> None:
    with pytest.raises(InvalidJobError, match="a field twice: workers"):
        parse_job('{"workers": 2, "workers": 4}')


def test_a_misspelt_model_is_corrected() -> None:
    with pytest.raises(InvalidJobError, match="did you mean 'logistic_regression'"):
        parse_job(changed(model={"name": "logistic"}))


@pytest.mark.parametrize("job", [b"3", b"[]", b'"job"', b"null"])
def test_json_that_is_no_object_is_refused(job: bytes) -> None:
    with pytest.raises(InvalidJobError, match="the job: expected an object, got "):
        parse_job(job)


def test_what_is_available_is_in_the_schema() -> None:
    definitions = job_schema()["$defs"]
    assert set(MODELS) <= set(
        definitions["JobSpec"]["properties"]["model"]["discriminator"]["mapping"]
    )
    algorithm = definitions["JobSpec"]["properties"]["algorithm"]["anyOf"][0]
    assert set(ALGORITHMS) <= set(algorithm["discriminator"]["mapping"])
    assert set(CHANNELS) <= set(definitions["Exchange"]["properties"]["channel"]["enum"])


KMEANS: dict[str, Any] = {"name": "kmeans", "n_clusters": 3}
# Models for which their name alone is no description.
NEEDS_MORE = {
    "kmeans": KMEANS,
    "neural": {"name": "neural", "network": "mlp"},
    "custom": {"name": "custom", "entry_point": "own:Own"},
}
LEAST_SQUARES: dict[str, Any] = {"name": "linear_regression"}
EM = {"name": "expectation_maximisation"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"model": KMEANS},
            "algorithm.name: with model 'kmeans' expected expectation_maximisation,",
        ),
        (
            {"algorithm": EM},
            "with model 'logistic_regression' expected gradient_averaging, model_averaging, admm "
            "or custom, got 'expectation_maximisation'",
        ),
        (
            {"algorithm": {"name": "admm"}, "exchange__pattern": "async"},
            "pattern: with algorithm 'admm' expected reduce or reduce_scatter, got 'async'",
        ),
        (
            {"exchange": {"pattern": "async", "compression": "float16"}},
            "exchange.compression: with pattern 'async' expected none, got 'float16'",
        ),
        (
            {"model": KMEANS, "algorithm": EM, "exchange__compression": "float16"},
            "with algorithm 'expectation_maximisation' expected none, got 'float16'",
        ),
        (
            {"algorithm": {"name": "gradient_averaging"} | {"nesterov": True}},
            "algorithm.nesterov: requires an algorithm.momentum above 0, got true without one",
        ),
        (
            {"algorithm": {"name": "gradient_averaging"} | {"weight_decay": 0.1}},
            "algorithm.weight_decay: requires optimiser 'adam', but the job has none; got 0.1; "
            "otherwise set model.l2",
        ),
        (
            {"model": {"name": "svm"}}
            | {
                "algorithm": {"name": "gradient_averaging"}
                | {"optimiser": "adam", "weight_decay": 0.1}
            },
            "algorithm.weight_decay: minimises another objective than a penalty; with model.l1 0 "
            "and model.l2 0.0001 expected 0, got 0.1; set it or them to 0",
        ),
        (
            {"model": LEAST_SQUARES | {"l1": 0.1}}
            | {"algorithm": {"name": "model_averaging", "optimiser": "adam"}},
            "algorithm.optimiser: with model.l1 0.1 and algorithm 'model_averaging' expected sgd, "
            "got 'adam'",
        ),
        (
            {"model": LEAST_SQUARES | {"l1": 0.1}, "exchange": {"pattern": "async"}}
            | {"algorithm": {"name": "gradient_averaging"} | {"optimiser": "adam"}},
            "algorithm.optimiser: with model.l1 0.1 and pattern 'async' expected sgd, got 'adam'",
        ),
        (
            {"model": LEAST_SQUARES | {"l1": 0.1}, "exchange": {"compression": "float16"}}
            | {"algorithm": {"name": "model_averaging"}},
            "exchange.compression: with model.l1 0.1 and algorithm 'model_averaging' expected "
            "none, got 'float16'",
        ),
        (
            {
                "algorithm": {"name": "gradient_averaging"}
                | {"optimiser": "adam", "weight_decay": 0.5},
                "exchange": {"channel": "parameter_server", "pattern": "async"}
                | {"server_update": "adam"},
            },
            "but algorithm.weight_decay is apart from them; with weight_decay 0.5 expected 'none', "
            "got 'adam'",
        ),
        (
            {"model": LEAST_SQUARES, "algorithm": {"name": "least_squares"}}
            | {"exchange": {"pattern": "async"}},
            "with algorithm 'least_squares' expected reduce or reduce_scatter, got 'async'",
        ),
        (
            {"model": LEAST_SQUARES, "algorithm": {"name": "least_squares"}}
            | {"exchange": {"compression": "float16"}},
            "with algorithm 'least_squares' expected none, got 'float16'",
        ),
        (
            {"algorithm": {"name": "least_squares"}},
            "with model 'logistic_regression' expected gradient_averaging, model_averaging, admm "
            "or custom, got 'least_squares'",
        ),
        (
            {"algorithm": {"name": "admm", "learning_rate": 0.5}},
            "algorithm.learning_rate: has no effect with local_solver 'lbfgs', only with 'sgd'",
        ),
        (
            {"algorithm": {"name": "admm", "local_solver": "sgd", "local_iterations": 5}},
            "algorithm.local_iterations: has no effect with local_solver 'sgd', only with 'lbfgs'",
        ),
        (
            {"model": {"name": "svm"}, "algorithm": {"name": "admm", "local_iterations": 5}},
            "algorithm.local_iterations: has no effect with local_solver 'sgd'",
        ),
        (
            {"algorithm": {"name": "model_averaging", "decay": 0.5}},
            "algorithm.decay: has no effect without schedule inverse or exponential, but the job "
            "has none; got 0.5",
        ),
        (
            {"algorithm": {"name": "model_averaging", "schedule": "cosine", "decay": 0.5}},
            "but the job has cosine; got 0.5",
        ),
        (
            {"model": {"name": "svm"}, "algorithm": {"name": "admm", "local_solver": "lbfgs"}},
            "algorithm.local_solver: with model 'svm', whose loss is not smooth, expected sgd",
        ),
        (
            {"stop": {"metric": "rmse"}},
            "stop.metric: with model 'logistic_regression' expected loss, accuracy, precision, ",
        ),
        (
            {"stop": {"target": 0.5, "target_loss": 0.4}},
            "stop.target: expected none beside target_loss 0.4, because stop.metric is the loss",
        ),
        (
            {"algorithm__optimiser": "adam", "algorithm__momentum": 0.5},
            "algorithm.momentum: requires optimiser 'sgd', but the job has 'adam'; got 0.5",
        ),
        (
            {"data__format": "idx", "data__matrix": "sparse"},
            "data.matrix 'sparse': requires data.format csv, tsv, parquet, libsvm or npz",
        ),
        (
            {"data__format": "idx", "data__missing": "mean"},
            "data.missing 'mean': requires data.format csv, tsv, parquet or npz, got 'idx'",
        ),
        ({"data__has_label": False}, "data.has_label: model 'logistic_regression' needs labels"),
        (
            {"model": KMEANS, "algorithm": EM, "data__has_label": False, "data__format": "libsvm"},
            "data.has_label false: requires data.format csv, tsv, parquet or npz, got 'libsvm'",
        ),
        (
            {"model": KMEANS, "algorithm": EM, "data__has_label": False, "data__label": 0},
            "data.label: expected none, because data.has_label is false, got 0",
        ),
        (
            {"model__class_weight": {"1": 2, "0": 1, "1.0": 7}},
            "model.class_weight: label 1 appears twice: '1' and '1.0'",
        ),
        ({"model__class_weight": {"-0": 2, "0": 1}}, "label 0 appears twice: '-0' and '0'"),
    ],
)
def test_what_does_not_go_together_is_refused_by_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidJobError) as caught:
        parse_job(changed(**values))
    assert message in str(caught.value)


def test_every_model_and_algorithm_has_its_row() -> None:
    fields = job_schema()["$defs"]["JobSpec"]["properties"]
    kinds = fields["model"], fields["algorithm"]["anyOf"][0]
    mappings = [set(each["discriminator"]["mapping"]) for each in kinds]
    assert mappings == [set(MODELS), set(ALGORITHMS)]


@pytest.mark.parametrize(
    ("model", "algorithm", "pattern"),
    [
        (model, algorithm, pattern)
        for model in MODELS
        for algorithm in algorithms_of(MODELS[model])
        for pattern in ALGORITHMS[algorithm].patterns
    ],
)
@pytest.mark.parametrize("channel", CHANNELS)
def test_all_that_goes_together_is_a_job(
    channel: str, pattern: str, algorithm: str, model: str
) -> None:
    own_code = {"code": "code.zip"} if "custom" in (model, algorithm) else {}
    job = changed(
        exchange={"channel": channel, "pattern": pattern},
        algorithm=NEEDS_MORE.get(algorithm, {"name": algorithm}),
        model=NEEDS_MORE.get(model, {"name": model}),
        **own_code,
    )
    if pattern in CHANNELS[channel].patterns:
        assert parse_job(job).exchange.channel == channel
        return
    with pytest.raises(InvalidJobError, match=f"channel '{channel}' expected reduce or async"):
        parse_job(job)


SHARED = {"channel": "parameter_server", "pattern": "async"}
GRADIENTS = {"name": "gradient_averaging"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"exchange": {"pattern": "async", "max_staleness": 2}},
            "exchange.max_staleness: requires channel 'parameter_server', pattern 'async', not "
            "with channel 's3', pattern 'async'; got 2",
        ),
        (
            {"exchange": {"channel": "parameter_server", "max_staleness": 0}},
            "exchange.max_staleness: requires channel 'parameter_server', pattern 'async', not "
            "with channel 'parameter_server', pattern 'reduce'; got 0",
        ),
        ({"exchange": SHARED | {"max_staleness": -1}}, "exchange.max_staleness: expected "),
        (
            {"exchange": {"pattern": "async", "server_update": "sgd"}, "algorithm": GRADIENTS},
            "exchange.server_update: requires channel 'parameter_server', pattern 'async' and "
            "algorithm 'gradient_averaging', not with channel 's3', pattern 'async' and algorithm "
            "'gradient_averaging'; got 'sgd'",
        ),
        (
            {
                "exchange": SHARED | {"server_update": "sgd"},
                "algorithm": {"name": "model_averaging"},
            },
            "pattern 'async' and algorithm 'model_averaging'; got 'sgd'",
        ),
        (
            {
                "exchange": SHARED | {"server_update": "adam"},
                "algorithm": GRADIENTS | {"optimiser": "sgd"},
            },
            "exchange.server_update: with algorithm.optimiser 'sgd' expected 'sgd' or 'none', got "
            "'adam'",
        ),
        (
            {"exchange": SHARED, "algorithm": {"name": "admm"}},
            "exchange.pattern: with algorithm 'admm' expected reduce, got 'async'",
        ),
        (
            {
                "exchange": SHARED | {"server_update": "sgd"},
                "algorithm": GRADIENTS,
                "model": {"name": "linear_regression", "l1": 0.1},
            },
            "but model.l1 has no gradient; with l1 0.1 expected 'none', got 'sgd'",
        ),
        ({"exchange": SHARED | {"server_update": "lbfgs"}}, "expected one of: "),
    ],
)
def test_what_only_a_parameter_server_can_do_is_refused_elsewhere(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidJobError) as caught:
        parse_job(changed(**values))
    assert message in str(caught.value)


@pytest.mark.parametrize("server_update", ["none", "sgd"])
@pytest.mark.parametrize("max_staleness", [None, 0, 100])
def test_jobs_of_a_parameter_server(max_staleness: int | None, server_update: str) -> None:
    exchange = SHARED | {"max_staleness": max_staleness, "server_update": server_update}
    parsed = parse_job(changed(exchange=exchange, algorithm=GRADIENTS))
    assert parsed.exchange.max_staleness == max_staleness


def test_the_documentation_has_the_same_tables() -> None:
    """The table of docs/models.md has the allowed combinations."""
    table, *_ = (ROOT / "docs" / "models.md").read_text().split("## Objectives")
    for model in MODELS:
        (row,) = [line for line in table.splitlines() if line.startswith(f"| `{model}` |")]
        cells = [cell.strip() for cell in row.strip("|").split("|")][1:]
        assert [bool(cell) for cell in cells] == [
            algorithm in algorithms_of(MODELS[model]) for algorithm in ALGORITHMS
        ]


@pytest.mark.parametrize("channel", [name for name in CHANNELS if name != "s3"])
def test_a_service_that_the_deployment_lacks_is_named(channel: str) -> None:
    refuse_unconfigured(channel, ("s3", channel))
    with pytest.raises(
        NotAvailableError,
        match=rf"exchange.channel '{channel}': this deployment has no .*; available here: s3$",
    ):
        refuse_unconfigured(channel, ("s3",))


def test_the_checked_in_schema_is_current() -> None:
    """`make schema` writes it."""
    checked_in = json.loads((ROOT / "state_machines" / "job.schema.json").read_text())
    assert checked_in == job_schema()


@pytest.mark.parametrize(
    "example", sorted((ROOT / "examples").glob("*.json")), ids=lambda p: p.stem
)
def test_every_example_is_a_job(example: Path) -> None:
    assert isinstance(parse_job(example.read_bytes()), JobSpec)


@pytest.mark.parametrize("name", ["a", "A-1_b", "x" * 60])
def test_good_run_names(name: str) -> None:
    assert check_job_id(name, max_epochs=10) == name


@pytest.mark.parametrize(
    ("name", "shown"), [("", "''"), ("a b", "'a b'"), ("é", "'é'"), ("a/b", "'a/b'")]
)
def test_run_names_of_other_characters_are_refused(name: str, shown: str) -> None:
    with pytest.raises(InvalidJobError, match="letters, digits") as caught:
        check_job_id(name, max_epochs=10)
    assert shown in str(caught.value)


def test_a_run_name_leaves_room_for_the_names_of_its_epochs() -> None:
    longest = "x" * 66
    assert len(f"{longest}-e10-r9999-t99") == 80
    assert check_job_id(longest, max_epochs=10) == longest
    with pytest.raises(InvalidJobError, match=r"expected at most 66 characters .*, got 67"):
        check_job_id(longest + "x", max_epochs=10)


def test_every_field_is_documented() -> None:
    text = (ROOT / "docs" / "job.md").read_text()
    fields = {
        field for definition in job_schema()["$defs"].values() for field in definition["properties"]
    }
    assert {field for field in fields if f"`{field}`" not in text} == set()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"format": "parquet", "delimiter": ";"}, "data.delimiter: ';' requires data.format"),
        ({"format": "libsvm", "decimal": ","}, "data.decimal: ',' requires data.format"),
        ({"format": "npz", "comment": "#"}, "data.comment: '#' requires data.format"),
        ({"format": "idx", "encoding": "utf-16"}, "data.encoding: 'utf-16' requires data.format"),
        ({"format": "libsvm", "quoted_newlines": False}, "data.quoted_newlines: False requires"),
        ({"format": "parquet", "missing_words": ["-"]}, "data.missing_words: ['-'] requires"),
        ({"thousands": "."}, "data.thousands: expected one that is not that of data.decimal"),
        ({"delimiter": "1"}, "data.delimiter: expected one character of ASCII that is no part"),
        ({"delimiter": "·"}, "data.delimiter: expected one character of ASCII that is no part"),
        ({"delimiter": '"'}, "data.delimiter: expected one character of ASCII that is no part"),
        ({"comment": " "}, "data.comment: expected one character of ASCII that is no part"),
        (
            {"delimiter": ";", "comment": ";"},
            "data.comment: expected one that is not that of data.d",
        ),
        ({"delimiter": ";;"}, "data.delimiter"),
        ({"encoding": "utf-7"}, "data.encoding: expected"),
    ],
)
def test_settings_of_text_that_have_no_effect_are_refused(
    data: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidJobError) as caught:
        parse_job({**JOB, "data": {**JOB["data"], **data}})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        {"delimiter": " ", "decimal": ",", "thousands": "."},
        {"format": "libsvm", "encoding": "latin-1", "comment": "#"},
        {"format": "tsv", "delimiter": "|", "thousands": "_", "missing_words": ["-", "n.a."]},
    ],
)
def test_settings_of_text_are_taken(data: dict[str, Any]) -> None:
    parse_job({**JOB, "data": {**JOB["data"], **data}})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"format": "libsvm", "columns": {"drop": ["a"]}}, "data.columns: requires data.format"),
        ({"format": "npz", "encode": "hash"}, "data.encode: 'hash' requires data.format csv, tsv"),
        ({"format": "npz", "encode": {"a": "hash"}}, "data.encode: requires data.format csv, tsv"),
        ({"format": "idx", "unknown_levels": "fail"}, "data.unknown_levels: 'fail' requires data"),
        ({"format": "npz", "dates": ["year"]}, "data.dates: ['year'] requires data.format csv,"),
        ({"format": "npz", "missing_indicator": True}, "data.missing_indicator: True requires da"),
        ({"hash_width": 64}, "data.hash_width: has no effect, as no column has data.encode 'hash'"),
        ({"dates": ["year", "year"]}, "data.dates: expected each part once, got year, year"),
    ],
)
def test_settings_of_columns_that_have_no_effect_are_refused(
    data: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidJobError) as caught:
        parse_job({**JOB, "data": {**JOB["data"], **data}})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"standardise": True, "scale": "robust"}, "data.scale: contradicts data.standardise true"),
        ({"standardise": True, "scale": "none"}, "data.scale: contradicts data.standardise true"),
        ({"format": "npz", "scale": {"a": "none"}}, "data.scale by column: requires data.format"),
        ({"format": "npz", "missing": {"a": "mean"}}, "data.missing by column: requires data.for"),
        ({"header": False, "scale": {"a": "none"}}, "data.scale: names of columns need a header"),
        ({"missing": {"a": "mode"}}, "data.missing"),
        ({"scale": "max"}, "data.scale: expected"),
    ],
)
def test_settings_of_features_that_contradict_others_are_refused(
    data: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidJobError) as caught:
        parse_job({**JOB, "data": {**JOB["data"], **data}})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        {"standardise": True, "scale": "standardise"},
        {"standardise": False, "scale": "none"},
        {"standardise": False, "scale": "min_max"},
        {"standardise": True, "scale": {"a": "min_max", "b*": "none"}},
        {"missing": {"a": "median", "b*": -1}},
    ],
)
def test_settings_of_features_that_go_together_are_accepted(data: dict[str, Any]) -> None:
    assert parse_job({**JOB, "data": {**JOB["data"], **data}}).data.rescales is not None
