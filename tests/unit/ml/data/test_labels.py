"""Labels that are no numbers: their codes are those of the sorted classes, whoever read them."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepml.job.errors import BadRowError, DamagedValueError, InvalidDataError
from stepml.ml.data import Manifest
from stepml.ml.data.formats.text.label_tokens import LabelTokens
from stepml.ml.data.formats.text.spelling import Spelling
from stepml.ml.data.formats.text.words import Text
from stepml.ml.data.labels import MAX_LABELS, LabelCodes, kind_of_labels
from stepml.ml.data.table import TableSettings
from tests.support.data_sets import MemoryObjects, all_shards, partition

N_RANGES = (1, 2, 7, 40)
TEXTS = ["setosa", "versicolor", "Iris-virginica", "a name of more than sixteen letters", "é"]
BIG = [20180131, 20180130, -16777217, 9007199254740992]


def rows(labels: list[Any], n_rows: int = 300, seed: int = 0) -> tuple[bytes, list[Any]]:
    """Return a table whose labels are in random order, and these; the feature is a row's number."""
    chosen = [labels[n] for n in np.random.default_rng(seed).integers(0, len(labels), n_rows)]
    lines = [f"{n},{label},{n % 7}" for n, label in enumerate(chosen)]
    return "\n".join(["x,y,z", *lines, ""]).encode(), chosen


def names_of_rows(store: MemoryObjects, manifest: Manifest) -> dict[int, str]:
    shards = all_shards(store, manifest, 3)
    return {
        int(x): manifest.class_names[int(code)]
        for shard in shards
        for x, code in zip(shard.X[:, 0], shard.y, strict=True)
    }


@pytest.mark.parametrize("n_ranges", N_RANGES)
@pytest.mark.parametrize(
    ("labels", "kind", "names"),
    [
        (TEXTS, "text", sorted(TEXTS)),
        (["True", "False"], "boolean", ["False", "True"]),
        (["TRUE", "false"], "boolean", ["False", "True"]),
        (BIG, "integer", [str(each) for each in sorted(BIG)]),
        ([" yes", "no "], "text", ["no", "yes"]),
    ],
)
def test_each_row_keeps_its_label(
    labels: list[Any], kind: str, names: list[str], n_ranges: int
) -> None:
    text, chosen = rows(labels)
    store = MemoryObjects(**{"rows.csv": text})
    manifest = partition(
        store, n_ranges, format="csv", label="y", has_classes=True, piece_bytes=1000
    )
    assert manifest.layout.label_kind == kind
    assert list(manifest.class_names) == names
    assert manifest.labels == tuple(map(float, range(len(names))))
    canonical = {"true": "True", "false": "False"}
    expected = [str(label).strip() for label in chosen]
    expected = [canonical.get(label.lower(), label) for label in expected]
    assert names_of_rows(store, manifest) == dict(enumerate(expected))
    assert manifest.label_counts == tuple(expected.count(name) for name in names)


def test_ranges_do_not_change_shards() -> None:
    text, _ = rows(TEXTS)
    found, fingerprints = [], set()
    for n_ranges in N_RANGES:
        store = MemoryObjects(**{"rows.csv": text})
        manifest = partition(store, n_ranges, format="csv", label="y", piece_bytes=1000)
        found.append(
            [(each.X.tobytes(), each.y.tobytes()) for each in all_shards(store, manifest, 3)]
        )
        fingerprints.add(manifest.fingerprint)
    assert len(fingerprints) == 1
    assert all(each == found[0] for each in found)


def test_numbers_are_no_codes() -> None:
    text, _ = rows([0, 1, 2.5])
    manifest = partition(MemoryObjects(**{"rows.csv": text}), 2, format="csv", label="y")
    assert (manifest.layout.label_kind, manifest.class_names) == ("number", ())
    assert manifest.labels == (0.0, 1.0, 2.5)
    assert not any(piece.label_codes for piece in manifest.pieces)


def test_large_integers_of_a_regression_stay_numbers() -> None:
    text, _ = rows([25_000_001, 17_500_003])
    manifest = partition(MemoryObjects(**{"rows.csv": text}), 2, format="csv", label="y")
    assert manifest.labels == (17_500_003.0, 25_000_001.0)


def test_more_than_1000_texts_are_no_classes() -> None:
    text, _ = rows([f"name {n}" for n in range(3000)], 9000)
    for n_ranges in (1, 7):
        store = MemoryObjects(**{"rows.csv": text})
        manifest = partition(store, n_ranges, format="csv", label="y", piece_bytes=20_000)
        assert manifest.labels is None
        assert manifest.class_names == ()
        assert all(not shard.y.any() for shard in all_shards(store, manifest, 3))


def test_more_than_1000_texts_in_order_are_no_classes() -> None:
    """A piece has few of them, and some have the code of those beyond the limit."""
    lines = [f"{n},{n // 2:0200},{n % 7}" for n in range(3000)]
    store = MemoryObjects(**{"rows.csv": "\n".join(["x,y,z", *lines, ""]).encode()})
    settings = TableSettings(types=(("y", "category"),))
    options: dict[str, Any] = {"label": "y", "settings": settings}
    manifest = partition(store, format="csv", piece_bytes=20_000, **options)
    assert len(manifest.pieces) > 2
    assert (manifest.labels, manifest.class_names) == (None, ())


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        ("", "column 2 ('y') is empty, a missing label"),
        ("NA", "column 2 ('y') is 'NA', a missing label"),
        ("\udcff\udcfe", "not UTF-8"),
    ],
)
def test_a_bad_label_is_named_or_skipped(cell: str, problem: str) -> None:
    lines = ["x,y", "1,no", f"2,{cell}", "3,yes", ""]
    store = MemoryObjects(**{"rows.csv": "\n".join(lines).encode("utf-8", "surrogateescape")})
    with pytest.raises(BadRowError, match=r"rows\.csv, line 3") as refused:
        partition(store, format="csv", label="y", encoding="utf-8")
    assert problem in str(refused.value)
    manifest = partition(store, format="csv", label="y", encoding="utf-8", on_bad_row="skip")
    assert (manifest.n_rows, manifest.skipped_rows) == (2, 1)
    assert manifest.class_names == ("no", "yes")


def test_a_word_among_booleans_is_named() -> None:
    lines = ["x,y", *(f"{n},{n % 2 == 0}" for n in range(150_000)), "1,maybe", ""]
    with pytest.raises(BadRowError, match=r"'maybe', neither true nor false"):
        partition(MemoryObjects(**{"rows.csv": "\n".join(lines).encode()}), format="csv", label="y")


def test_a_damaged_code_is_noticed() -> None:
    text, _ = rows(["no", "yes"])
    store = MemoryObjects(**{"rows.csv": text})
    manifest = partition(store, format="csv", label="y")
    [(key, piece)] = [(k, v) for k, v in store.objects.items() if k.startswith("pieces")]
    codes = np.tile(np.array([1.0], "<f4").tobytes(), 2)
    assert codes in piece
    store.objects[key] = piece.replace(codes, np.array([9.0, 9.0], "<f4").tobytes())
    with pytest.raises(DamagedValueError):
        all_shards(store, manifest, 3)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "0"], "number"),
        ([], "number"),
        (["yes", "no"], "text"),
        (["1", "2", "3", "oops"], "number"),  # a mistake, which is named
        (["A", "B", "1"] * 3, "text"),
        (["A", "B", "1"], "number"),
        (["True", "FALSE"], "boolean"),
        (["16777217", "1"], "integer"),
        (["16777216", "1"], "number"),
        (["16777217.5"], "number"),
        (["inf", "1e30"], "number"),
    ],
)
def test_first_labels_decide_on_their_kind(cells: list[str], kind: str) -> None:
    assert kind_of_labels(cells, are_classes=True) == kind


@given(st.lists(st.text(st.characters(exclude_characters='\n\r",', codec="utf-8")), min_size=1))
def test_tokens_have_the_codes_of_their_texts(texts: list[str]) -> None:
    codes, tokens = LabelCodes("text"), [text.encode() for text in texts]
    text = Text.of(b",".join([*tokens, b""]))
    lengths = np.array([len(token) for token in tokens])
    ends = text.margin + np.cumsum(lengths + 1) - 1
    labels = LabelTokens(codes, Spelling())
    first = labels.codes(text, ends - lengths, ends)
    again = labels.codes(text, ends - lengths, ends)
    assert np.array_equal(first, again, equal_nan=True)
    for given_text, code in zip(texts, first.tolist(), strict=True):
        if code == code:
            assert codes.names[int(code)] == given_text.strip()


def test_codes_beyond_the_limit_are_one() -> None:
    codes = LabelCodes("text")
    found = codes.codes([f"label {n}" for n in range(MAX_LABELS + 5)])
    assert found.tolist() == [*range(MAX_LABELS), *([MAX_LABELS] * 5)]
    assert codes.codes(["label 3", None, " "]).tolist()[0] == 3


@pytest.mark.parametrize(
    ("asked", "kind", "names"),
    [("category", "text", ("0", "1", "10")), ("number", "number", ()), (None, "number", ())],
)
def test_the_job_may_say_what_labels_are(
    asked: str | None, kind: str, names: tuple[str, ...]
) -> None:
    types = () if asked is None else (("y", asked),)
    store = MemoryObjects(**{"rows.csv": rows([0, 1, 10])[0]})
    settings = TableSettings(types=types)
    manifest = partition(store, 2, format="csv", label="y", settings=settings)
    assert (manifest.layout.label_kind, manifest.class_names) == (kind, names)
    assert manifest.n_features == 2


def test_booleans_may_be_written_as_0_and_1() -> None:
    settings = TableSettings(types=(("y", "boolean"),))
    store = MemoryObjects(**{"rows.csv": rows([0, 1])[0]})
    manifest = partition(store, format="csv", label="y", settings=settings)
    assert manifest.class_names == ("False", "True")


def test_labels_are_no_times() -> None:
    settings = TableSettings(types=(("y", "time"),))
    store = MemoryObjects(**{"rows.csv": rows([0, 1])[0]})
    with pytest.raises(
        InvalidDataError, match="expected number, boolean or category for the label"
    ):
        partition(store, format="csv", label="y", settings=settings)


def test_words_for_missing_values_are_no_labels() -> None:
    text = "x,y\n" + "".join(f"{n},{'no answer' if n == 7 else 'ab'[n % 2]}\n" for n in range(20))
    store = MemoryObjects(**{"rows.csv": text.encode()})
    assert partition(store, format="csv", label="y").class_names == ("a", "b", "no answer")
    store = MemoryObjects(**{"rows.csv": text.encode()})
    with pytest.raises(BadRowError, match=r"line 9: column 2 \('y'\) is 'no answer', a missing la"):
        partition(store, format="csv", label="y", missing_words=("no answer",))


def test_labels_of_any_type_have_names() -> None:
    codes = LabelCodes("text")
    values = ["a", 1, 1.0, 2.5, True, None, float("nan"), " a ", date(2020, 1, 31)]
    found = codes.codes(values)
    names = ["a", "1", "1", "2.5", "True", None, None, "a", "2020-01-31"]
    assert [codes.names[int(c)] if c == c else None for c in found.tolist()] == names
    of_array = LabelCodes("text").codes_of(np.array([2.5, np.nan, 1.0]))
    assert np.isnan(of_array).tolist() == [False, True, False]


def test_a_fraction_among_large_integers_of_libsvm_is_a_bad_row() -> None:
    text = "".join(f"{BIG[n % 2]} 1:{n}\n" for n in range(90_000)) + "0.5 1:1\n"
    store, options = MemoryObjects(x=text.encode()), {"format": "libsvm", "has_classes": True}
    with pytest.raises(BadRowError, match=r"line 90001: the label is '0.5', not an integer within"):
        partition(store, **options)
    manifest = partition(MemoryObjects(x=text.encode()), on_bad_row="skip", **options)
    assert (manifest.class_names, manifest.skipped_rows) == (("20180130", "20180131"), 1)


def test_the_label_may_be_among_the_columns_to_use() -> None:
    store = MemoryObjects(**{"rows.csv": rows(["a", "b"])[0]})
    settings = TableSettings(use=("x", "y"))
    assert partition(store, format="csv", label="y", settings=settings).n_features == 1
    store = MemoryObjects(**{"rows.csv": rows(["a", "b"])[0]})
    with pytest.raises(InvalidDataError, match=r"data.columns.drop: expected columns .* got 'y'"):
        partition(store, format="csv", label="y", settings=TableSettings(drop=("y",)))
