"""The rows that validate: those of a file of their own, those that a column names, or none."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lambdas.assemble import assemble
from lambdas.job_store.entries import Entry, document
from lambdas.job_store.shards import load_shard, warm_shards
from lambdas.job_store.strata import Strata
from stepml.job import data_keys, keys
from stepml.job.errors import (
    BadLabelError,
    BadRowError,
    DoubtfulResultError,
    InvalidJobError,
    NotEnoughDataError,
    StepMLError,
)
from stepml.job.tasks import AssembleTask
from tests.support.jobs import DurableWrapper, Job

N_ROWS = 90


def lines(numbers: Iterable[int], header: str = "a,b,y") -> bytes:
    """Return rows whose first feature is their number."""
    rows = (f"{n},{(n * 7) % 11},{n % 2}" for n in numbers)
    return "\n".join([header, *rows, ""]).encode()


def job(validation: dict[str, Any] | None = None, **fields: Any) -> Job:
    data = {"uri": "s3://data/train/", "format": "csv", **fields.pop("data", {})}
    if validation is not None:
        data["validation"] = validation
    found = Job(data=data, **fields)
    found.data.save("train/1.csv", lines(range(50)))
    found.data.save("train/2.csv", lines(range(50, N_ROWS)))
    return found


def numbers(begun: Job, rank: int) -> list[int]:
    """Return the numbers of a rank's rows, or of the validation rows."""
    shard = load_shard(begun.store, begun.training_plan(), rank)
    return sorted(np.asarray(shard.X)[:, 0].astype(int).tolist())


def split(begun: Job) -> tuple[list[int], list[int]]:
    """Return the numbers of the training rows and of the validation rows."""
    begun.initialised()
    training = [n for rank in range(begun.spec["workers"]) for n in numbers(begun, rank)]
    return sorted(training), numbers(begun, keys.VALIDATION)


def test_a_file_of_its_own_validates() -> None:
    begun = job({"uri": "s3://data/other/valid.csv"})
    begun.data.save("other/valid.csv", lines(range(100, 117)))
    training, validating = split(begun)
    assert training == list(range(N_ROWS))
    assert validating == list(range(100, 117))
    begun.epoch(1)
    report = begun.finalise(1)
    assert (report.dataset.training_rows, report.dataset.validation_rows) == (N_ROWS, 17)
    assert "17 rows validate, as data.validation says" in report.dataset.notes


def test_objects_below_the_prefix_of_the_data_are_not_for_training_as_well() -> None:
    begun = job({"uri": "s3://data/train/2.csv"})
    training, validating = split(begun)
    assert training == list(range(50))
    assert validating == list(range(50, N_ROWS))


def test_neither_ranges_nor_workers_change_the_rows() -> None:
    uri = {"uri": "s3://data/valid/"}
    shards = []
    for workers, ranges in ((3, 1), (3, 7), (1, 2)):
        begun = job(uri, data={"ranges": ranges}, workers=workers)
        begun.data.save("valid/1.csv", lines(range(100, 120)))
        begun.data.save("valid/2.csv", lines(range(120, 125)))
        assert split(begun) == (list(range(N_ROWS)), list(range(100, 125)))
        shards.append(load_shard(begun.store, begun.training_plan(), keys.VALIDATION).X.tobytes())
    assert len(set(shards)) == 1


def test_the_features_scale_is_that_of_the_training_rows() -> None:
    begun = job({"uri": "s3://data/valid.csv"}, data={"standardise": True})
    begun.data.save("valid.csv", lines(range(1000, 1010)))
    begun.initialised()
    assert begun.store.scale.load().mean[0] == pytest.approx(np.mean(range(N_ROWS)))


def test_another_file_for_validation_is_another_data_set() -> None:
    begun = job({"uri": "s3://data/valid.csv"})
    begun.data.save("valid.csv", lines(range(1000, 1010)))
    begun.prepare()
    first = begun.partition_plan().digest
    for fields in ({}, {"validation": {"uri": "s3://data/train/2.csv"}}):
        other = Job("other", data=begun.spec["data"] | {"validation": None} | fields)
        other.data = begun.data
        other.prepare()
        assert other.partition_plan().digest != first


def test_a_share_of_0_holds_no_row_out() -> None:
    begun = job(data={"validation_fraction": 0})
    training, validating = split(begun)
    assert training == validating == list(range(N_ROWS))
    begun.epoch(1)
    report = begun.finalise(1)
    assert report.dataset.training_rows == N_ROWS
    note = "no row is held out: loss and metrics are measured on training rows"
    assert note in report.dataset.notes


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        ({"uri": "s3://data/valid/"}, "data.validation.uri: nothing lies at s3://data/valid/"),
        ({"uri": "s3://data/train/"}, "all that lies at s3://data/train/ is for validation"),
        (
            {"uri": "s3://elsewhere/valid.csv"},
            "data.validation.uri: expected an object in the bucket of data.uri, 'data', got",
        ),
        ({}, "data.validation: expected uri, or column, got none of them"),
    ],
)
def test_what_cannot_validate_is_refused_by_name(validation: dict[str, Any], message: str) -> None:
    with pytest.raises(StepMLError) as caught:
        job(validation).prepare()
    assert message in str(caught.value)


def test_a_file_and_a_share_exclude_each_other() -> None:
    begun = job({"uri": "s3://data/train/2.csv"}, data={"validation_fraction": 0.2})
    with pytest.raises(InvalidJobError, match=r"validation_fraction: has no effect .* got 0.2"):
        begun.prepare()


def test_a_file_without_rows_is_refused() -> None:
    begun = job({"uri": "s3://data/valid.csv"})
    begun.data.save("valid.csv", b"a,b,y\n")
    with pytest.raises(NotEnoughDataError, match="none of the rows is for validation"):
        begun.partitioned()


def test_a_file_with_other_columns_is_refused() -> None:
    begun = job({"uri": "s3://data/valid.csv"})
    begun.data.save("valid.csv", lines(range(5), header="a,c,y"))
    with pytest.raises(StepMLError, match="it lacks b and only it has c"):
        begun.partitioned()


def flagged(valid: list[str], header: str = "valid,a,b,y") -> bytes:
    """Return rows whose first column says which ones validate."""
    rows = (f"{flag},{n},{(n * 7) % 11},{n % 2}" for n, flag in enumerate(valid))
    return "\n".join([header, *rows, ""]).encode()


FLAGS = [str(int(n % 5 == 0)) for n in range(N_ROWS)]
TIMES = [1_700_000_000 + n for n in range(N_ROWS)]  # float32 has every 128th


def of_one_object(name: str, content: bytes, validation: dict[str, Any], **data: Any) -> Job:
    found = Job(data={"uri": f"s3://data/{name}", "validation": validation, **data})
    found.spec["data"].setdefault("format", name.rpartition(".")[2])
    found.data.save(name, content)
    return found


def parquet(**columns: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, row_group_size=20)
    return sink.getvalue()


@pytest.mark.parametrize("ranges", [1, 4])
@pytest.mark.parametrize("column", ["valid", 0, -4])
@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet", "bools.parquet"])
def test_a_column_says_which_rows_validate(name: str, column: str | int, ranges: int) -> None:
    n = np.arange(N_ROWS)
    said = n % 5 == 0 if name == "bools.parquet" else (n % 5 == 0).astype(np.int8)
    table = parquet(valid=said, a=n, b=n * 7 % 11, y=n % 2)
    content = flagged(FLAGS) if name == "rows.csv" else table
    begun = of_one_object(name, content, {"column": column}, ranges=ranges)
    training, validating = split(begun)
    assert validating == list(range(0, N_ROWS, 5))
    assert training == [n for n in range(N_ROWS) if n % 5]
    plan = begun.training_plan()
    assert (plan.n_features, plan.feature_names) == (2, ["a", "b"])
    begun.epoch(1)
    assert begun.finalise(1).dataset.validation_rows == 18


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_rows_behind_a_value_validate(name: str) -> None:
    n = np.arange(N_ROWS)
    content = flagged([str(t) for t in TIMES], "t,a,b,y")
    if name == "rows.parquet":
        content = parquet(t=np.array(TIMES), a=n, b=n * 7 % 11, y=n % 2)
    begun = of_one_object(name, content, {"column": "t", "after": TIMES[70]}, missing="mean")
    training, validating = split(begun)
    assert (training, validating) == (list(range(71)), list(range(71, N_ROWS)))


def test_the_label_may_stand_on_any_side_of_the_column() -> None:
    for order in ("y,valid,a,b", "a,y,b,valid", "valid,y,a,b", "a,valid,b,y"):
        columns = {"a": range(40), "b": [0] * 40, "y": [n % 2 for n in range(40)]}
        columns["valid"] = [int(n < 4) for n in range(40)]
        rows = zip(*(columns[name] for name in order.split(",")), strict=True)
        content = "\n".join([order, *(",".join(map(str, row)) for row in rows), ""]).encode()
        begun = of_one_object("rows.csv", content, {"column": "valid"}, label="y", missing="zero")
        training, validating = split(begun)
        assert (training, validating) == (list(range(4, 40)), [0, 1, 2, 3])
        shard = load_shard(begun.store, begun.training_plan(), keys.VALIDATION)
        assert sorted(shard.y.tolist()) == [0, 0, 1, 1]


@pytest.mark.parametrize("on_bad_row", ["fail", "skip"])
@pytest.mark.parametrize("flag", ["2", "", "0.5", "true", "NaN"])
def test_a_row_that_does_not_say_whether_it_validates_is_bad(flag: str, on_bad_row: str) -> None:
    content = flagged([*FLAGS[:30], flag, *FLAGS[31:]])
    options = {"on_bad_row": on_bad_row, "missing": "zero"}
    begun = of_one_object("rows.csv", content, {"column": "valid"}, **options)
    if on_bad_row == "fail":
        with pytest.raises(BadRowError, match=r"line 32.*column 1 \('valid'\) is"):
            begun.partitioned()
        return
    training, validating = split(begun)
    assert 30 not in [*training, *validating]
    assert begun.training_plan().skipped_rows == 1


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(("after", "purpose"), [(89, "validation"), (-0.5, "training")])
def test_a_limit_beyond_all_rows_is_refused_with_the_ends_of_the_column(
    kind: str, after: float, purpose: str
) -> None:
    n = np.arange(N_ROWS)
    if kind == "csv":
        content = flagged([str(each) for each in n])
    else:
        content = parquet(valid=n, a=n, b=n, y=n % 2)
    begun = of_one_object(f"rows.{kind}", content, {"column": "valid", "after": after})
    with pytest.raises(NotEnoughDataError) as caught:
        begun.partitioned()
    assert str(caught.value) == (
        f"data.validation.after: none of the rows is for {purpose}; expected at least the smallest "
        f"value of column 1 ('valid'), 0, and less than the largest one, 89, got {after}"
    )


@pytest.mark.parametrize(("flag", "purpose"), [("0", "validation"), ("1", "training")])
def test_flags_that_are_all_the_same_are_refused(flag: str, purpose: str) -> None:
    begun = of_one_object("rows.csv", flagged([flag] * N_ROWS), {"column": "valid"})
    message = f"none of the rows is for {purpose}; column 1 .'valid'. is {flag} in all rows"
    with pytest.raises(NotEnoughDataError, match=message):
        begun.partitioned()


def test_a_table_that_does_not_say_is_bad_too() -> None:
    n = np.arange(N_ROWS)
    table = parquet(valid=np.where(n == 7, 3, n % 2), a=n, b=n, y=n // 2 % 2)
    begun = of_one_object("rows.parquet", table, {"column": "valid"})
    with pytest.raises(BadRowError, match=r"row 7 .*: column 1 \('valid'\) is 3, expected 1"):
        begun.partitioned()
    begun = of_one_object("rows.parquet", table, {"column": "valid"}, on_bad_row="skip")
    training, validating = split(begun)
    assert 7 not in [*training, *validating]
    assert begun.training_plan().skipped_rows == 1


@pytest.mark.parametrize(
    ("validation", "data", "message"),
    [
        ({"column": "v"}, {}, "data.validation.column is 'v', which is none of the columns"),
        ({"column": 9}, {}, "data.validation.column is 9, but s3 object rows.csv has 4 columns"),
        ({"column": "y"}, {}, "data.label: expected another column than that of data.validation"),
        ({"column": "y"}, {"label": "y"}, "another column than that of data.validation.column"),
        ({"column": "valid", "uri": "s3://data/x"}, {}, "expected uri, or column, got both"),
        ({"after": 3}, {}, "data.validation: expected uri, or column, got none of them"),
        ({"uri": "s3://data/x", "after": 3}, {}, "data.validation.after: is a value of data.val"),
        ({"column": "valid"}, {"header": False}, "a column name needs a header"),
        ({"column": 0}, {"format": "libsvm"}, "requires data.format csv, tsv or parquet"),
    ],
)
def test_a_column_that_cannot_say_is_refused_by_name(
    validation: dict[str, Any], data: dict[str, Any], message: str
) -> None:
    begun = of_one_object("rows.csv", flagged(FLAGS), validation, **data)
    with pytest.raises(StepMLError) as caught:
        begun.prepare()
    assert message in str(caught.value)


@pytest.mark.parametrize("flag", ["0", "1"])
def test_training_and_validation_both_need_rows(flag: str) -> None:
    begun = of_one_object("rows.csv", flagged([flag] * N_ROWS), {"column": "valid"})
    with pytest.raises(NotEnoughDataError):
        begun.partitioned()


def stratified(**fields: Any) -> Job:
    found = job(data={"stratify": True, **fields.pop("data", {})}, **fields)
    rare = (f"{n},{(n * 7) % 11},{n % 2 if n % 5 else 2}" for n in range(50, N_ROWS))
    found.data.save("train/2.csv", "\n".join(["a,b,y", *rare, ""]).encode())
    found.spec["model"] = {"name": "softmax_regression"}
    return found


def labels(begun: Job, rank: int) -> list[float]:
    return load_shard(begun.store, begun.training_plan(), rank).y.tolist()


def test_a_stratified_share_has_as_many_rows_of_each_label() -> None:
    begun = stratified(data={"validation_fraction": 0.2})
    training, validating = split(begun)
    assert sorted([*training, *validating]) == list(range(N_ROWS))
    held_out = labels(begun, keys.VALIDATION)
    assert [held_out.count(label) for label in (0, 1, 2)] == [8, 8, 2]
    begun.epoch(1)
    report = begun.finalise(1)
    assert "the same share of each label's rows validates" in report.dataset.notes
    assert report.dataset.validation_rows == 18


def test_a_stratified_job_shares_pieces_with_others_and_no_shards() -> None:
    begun = stratified()
    rows = split(begun)
    other = Job("other", begun.storage, data=begun.spec["data"] | {"stratify": False})
    other.data, other.spec["model"] = begun.data, begun.spec["model"]
    split(other)
    assert other.partition_plan().digest == begun.partition_plan().digest
    assert other.training_plan().quotas == ()
    warm_shards.make_room(2**62)
    assert numbers(begun, keys.VALIDATION) == rows[1] != numbers(other, keys.VALIDATION)


class Reads(DurableWrapper):
    """Counts the requests for parts of pieces."""

    count = 0

    def load_range(self, *place: Any) -> bytes:
        self.count += 1
        return bytes(self.inner.load_range(*place))  # type: ignore[attr-defined]


SHARDS = (keys.VALIDATION, 0, 1, 2)


def gathered(damage: Callable[[Entry[Strata]], None]) -> tuple[int, list[bytes]]:
    """Return the requests for the shards after a damage to the found places, and the shards."""
    begun = stratified()
    begun.partitioned()
    digest = begun.partition_plan().digest
    [key] = [key for key in begun.storage.list("datasets/") if "/strata-" in key]
    damage(document(begun.storage, key, Strata))
    reads = Reads(begun.storage)
    for rank in SHARDS:
        assemble(AssembleTask(job_id="job", rank=rank), reads)
    names = [data_keys.shard(digest, 3, 0.1, "dense", rank, stratify=True) for rank in SHARDS]
    return reads.count, [bytes(begun.storage.load(name)) for name in [key, *names]]


def other_rows(entry: Entry[Strata]) -> None:
    found = entry.load()
    entry.save(msgspec.structs.replace(found, rows="other", buckets=[0] * len(found.buckets)))


@pytest.mark.parametrize(
    "damage", [Entry.delete, other_rows, lambda entry: entry.storage.save(entry.key, b"noise")]
)
def test_places_of_stratified_rows_are_found_once(damage: Callable[[Entry[Strata]], None]) -> None:
    """Functions that gather rows read them; one finds them again if they are damaged."""
    reads, shards = gathered(lambda entry: None)
    reads_again, shards_again = gathered(damage)
    assert shards_again == shards
    assert reads < reads_again < 2 * reads


@pytest.mark.parametrize("rank", [keys.VALIDATION, 0, 2])
def test_a_stratified_shard_that_is_lost_is_made_again(rank: int) -> None:
    begun = stratified()
    begun.initialised()
    plan = begun.training_plan()
    key = data_keys.shard(plan.digest, 3, 0.1, "dense", rank, stratify=True)
    before = bytes(begun.storage.load(key))
    begun.storage.delete(key)
    warm_shards.make_room(2**62)
    load_shard(begun.store, plan, rank)
    assert bytes(begun.storage.load(key)) == before


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        ("linear_regression", {}, "data.stratify: requires model logistic_regression, softmax"),
        ("kmeans", {}, "neural or custom, not 'kmeans'; got true"),
        ("svm", {"validation": {"column": "a"}}, "data.stratify: has no effect with data.valid"),
        ("svm", {"validation_fraction": 0}, "has no effect with data.validation_fraction 0"),
    ],
)
def test_strata_that_have_no_effect_are_refused(
    model: str, data: dict[str, Any], message: str
) -> None:
    begun = stratified(data=data)
    begun.spec["model"] = {"name": model} | ({"n_clusters": 2} if model == "kmeans" else {})
    with pytest.raises(StepMLError) as caught:
        begun.prepare()
    assert message in str(caught.value)


def test_labels_of_validation_rows_do_not_balance_the_classes() -> None:
    model = {"name": "logistic_regression", "class_weight": "balanced"}
    by_file = job({"uri": "s3://data/valid.csv"}, model=model)
    by_file.data.save("valid.csv", lines([101] * 50))
    by_column = job({"column": "a", "after": 59}, data={"label": "y"}, model=model)
    for begun, rows in ((by_file, N_ROWS), (by_column, 60)):
        begun.initialised()
        assert begun.training_plan().label_counts == [rows // 2, rows // 2]


def test_the_constant_model_has_not_seen_the_labels_of_validation_rows() -> None:
    model = {"name": "linear_regression"}
    begun = job({"uri": "s3://data/valid.csv"}, model=model, algorithm={"name": "least_squares"})
    begun.data.save("valid.csv", b"a,b,y\n1,2,100\n2,3,100\n")
    begun.initialised()
    assert begun.training_plan().constant_loss == pytest.approx((100 - 0.5) ** 2 / 2)


SOFTMAX = {"name": "softmax_regression"}
OTHER_ROWS = {"uri": "s3://data/valid.csv"}


def labelled(*labels: int, header: str = "a,b,y") -> bytes:
    """Return a row for each label."""
    rows = (f"{n},{n * 7 % 11},{label}" for n, label in enumerate(labels))
    return "\n".join([header, *rows, ""]).encode()


def begun_with(training: bytes, validation: Any = None, **fields: Any) -> Job:
    """Return an initialised job on these rows."""
    found = Job(**{"model": SOFTMAX, "workers": 1} | fields)
    found.spec["data"] = {"uri": "s3://data/rows.csv", "format": "csv", "validation": validation}
    found.data.save("rows.csv", training)
    if validation == OTHER_ROWS:
        found.data.save("valid.csv", labelled(0, 3, 5, 5))
    found.initialised()
    return found


def warnings_of(begun: Job) -> list[str]:
    return [f"{each.code}: {each.text}" for each in begun.training_plan().about.warnings]


UNSEEN = (
    "labels_not_trained: no training row has label 5 (2 rows for validation): the model cannot "
    "learn it, and the validation loss counts these rows; add such rows to the training rows, or "
    "change data.validation"
)


@pytest.mark.parametrize(
    "model", [SOFTMAX, SOFTMAX | {"class_weight": "balanced"}, {"name": "svm"}]
)
@pytest.mark.parametrize("by", ["uri", "column", "after"])
def test_labels_that_only_validate_are_named(by: str, model: dict[str, Any]) -> None:
    training = [0, 3] * 20
    if by == "uri":
        begun = begun_with(labelled(*training), OTHER_ROWS, model=model)
    else:
        rows = [f"{n},{n * 7 % 11},{label},0" for n, label in enumerate(training)]
        content = "\n".join(["a,b,y,late", *rows, "1,1,0,1", "2,1,5,1", "3,1,5,1", ""])
        data = {"validation": {"column": "late"} | ({"after": 0.5} if by == "after" else {})}
        begun = Job(model=model, workers=1)
        begun.spec["data"] = {"uri": "s3://data/rows.csv", "format": "csv", "label": "y"} | data
        begun.data.save("rows.csv", content.encode())
        begun.initialised()
    assert warnings_of(begun) == [UNSEEN]
    assert begun.epoch(1).loss < 10  # also with balanced weights


def test_a_label_whose_only_row_is_held_out_is_named_unless_the_share_is_stratified() -> None:
    """Ids decide, so some seed holds out the only row of the last label."""
    training, stratified = labelled(*[0, 1] * 10, 2), {"seed": 0}
    for seed in range(40):
        begun = Job(model=SOFTMAX, workers=1, data={})
        begun.spec["data"] = {"uri": "s3://data/rows.csv", "format": "csv", "seed": seed}
        begun.spec["data"]["validation_fraction"] = 0.3
        begun.data.save("rows.csv", training)
        begun.initialised()
        if 2 in load_shard(begun.store, begun.training_plan(), keys.VALIDATION).y:
            [warning] = warnings_of(begun)
            assert "label 2 (1 row for validation)" in warning
            assert warning.endswith("set data.stratify, or add rows")
            stratified = begun.spec["data"] | {"stratify": True}
            break
        assert warnings_of(begun) == []
    begun = Job("other", model=SOFTMAX, workers=1, data=stratified)
    begun.data.save("rows.csv", training)
    begun.initialised()
    assert warnings_of(begun) == []


@pytest.mark.parametrize(
    "model",
    [
        SOFTMAX,
        {"name": "svm"},
        {"name": "logistic_regression", "positive_class": 0},
        {"name": "logistic_regression", "positive_class": 5, "class_weight": "balanced"},
    ],
)
def test_training_rows_of_one_class_are_refused(model: dict[str, Any]) -> None:
    message = rf"{model['name']} needs two labels, but the training rows have only: 0; add such"
    with pytest.raises(BadLabelError, match=message):
        begun_with(labelled(*[0] * 20), OTHER_ROWS, model=model)


def test_a_binary_model_knows_a_rest_that_its_rows_lack() -> None:
    model = {"name": "logistic_regression", "positive_class": 0}
    assert warnings_of(begun_with(labelled(*[0, 3] * 10), OTHER_ROWS, model=model)) == []


def test_a_regression_has_no_classes_to_lack() -> None:
    model = {"name": "linear_regression"}
    assert warnings_of(begun_with(labelled(*[0, 3] * 10), OTHER_ROWS, model=model)) == []


def test_a_strict_job_needs_training_rows_of_all_labels() -> None:
    with pytest.raises(DoubtfulResultError, match="no training row has label 5"):
        begun_with(labelled(*[0, 3] * 10), OTHER_ROWS, strict=True)
