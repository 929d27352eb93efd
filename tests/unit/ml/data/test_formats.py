"""Parsing agrees with NumPy's and scikit-learn's readers, and bad rows are named."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stepml.job.errors import BadRowError, EmptyDataError, InvalidDataError
from stepml.ml.data.formats import FORMATS
from stepml.ml.data.formats.csv import Csv
from stepml.ml.data.formats.libsvm import LibsvmParser
from stepml.ml.data.formats.rows import DenseRows, MalformedRowError, SparseRows
from stepml.ml.data.formats.text.lines import Lines
from stepml.ml.data.formats.text.number_parser import NumberParser
from stepml.ml.data.formats.text.reading import ReadLimits
from stepml.ml.data.layout import Layout
from tests.support.data_sets import MemoryObjects, all_shards, partition


def csv_layout(
    n_columns: int, label: int = 0, delimiter: str = ",", missing: str = "fail"
) -> Layout:
    n_features = n_columns - int(label >= 0)
    return Layout("csv", delimiter, n_columns, label, False, (), n_features, missing)


LIBSVM = Layout("libsvm", "", 0, 0, False, (), None)


def parse_csv(
    text: bytes, n_columns: int, label: int = 0, delimiter: str = ",", missing: str = "fail"
) -> DenseRows:
    rows = NumberParser(csv_layout(n_columns, label, delimiter, missing)).parse(Lines.of(text, 0))
    assert isinstance(rows, DenseRows)
    return rows


def parse_libsvm(text: bytes) -> SparseRows:
    rows = LibsvmParser(LIBSVM).parse(Lines.of(text, 0))
    assert isinstance(rows, SparseRows)
    return rows


def densified(rows: SparseRows, n_features: int) -> np.ndarray:
    X = np.zeros((len(rows.y), n_features), np.float32)
    X[np.repeat(np.arange(len(rows.y)), rows.counts), rows.indices] = rows.values
    return X


@pytest.mark.parametrize("label", [0, 2, 4])
@pytest.mark.parametrize("delimiter", [",", "\t"])
@pytest.mark.parametrize("number", ["%d", "%.3f", "%.9f", "%.18e", "%g"])
def test_columns_are_what_numpy_loads(label: int, delimiter: str, number: str) -> None:
    table = np.random.default_rng(0).normal(scale=1000, size=(50, 5))
    written = io.BytesIO()
    np.savetxt(written, table, fmt=number, delimiter=delimiter)
    loaded = np.loadtxt(io.BytesIO(written.getvalue()), delimiter=delimiter).astype(np.float32)
    rows = parse_csv(written.getvalue(), 5, label, delimiter)
    assert rows.y.tobytes() == loaded[:, label].tobytes()
    assert (np.delete(loaded, label, axis=1) == rows.X).all()


def test_pairs_are_what_scikit_learn_loads() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 30)) * (rng.random((200, 30)) < 0.3)
    y = rng.integers(-1, 2, 200)
    written = io.BytesIO()
    datasets.dump_svmlight_file(X, y, written, zero_based=False, comment="from a test")
    loaded, labels = datasets.load_svmlight_file(
        io.BytesIO(written.getvalue()), n_features=30, dtype=np.float32
    )
    rows = parse_libsvm(written.getvalue())
    assert (densified(rows, 30) == loaded.toarray()).all()
    assert (rows.y == labels).all()


def test_line_ends_of_windows_and_empty_lines_change_no_row() -> None:
    rows = parse_csv(b"\r\n1,2\r\n\n\r\n3,4\n", 2)
    assert rows.y.tolist() == [1, 3]
    assert rows.X.tolist() == [[2], [4]]


def test_offsets_are_those_of_the_lines_in_the_object() -> None:
    rows = NumberParser(csv_layout(2)).parse(Lines.of(b"\r\n1,2\r\n\n3,4\n", 100))
    assert rows.offsets.tolist() == [102, 108]


def test_nothing_but_empty_lines_has_no_rows() -> None:
    assert len(parse_csv(b"\n\r\n\n", 2).y) == 0
    assert len(parse_libsvm(b"\n \n# nothing\n").y) == 0


def test_libsvm_may_have_comments_tabs_blanks_and_rows_without_pairs() -> None:
    rows = parse_libsvm(b"# made by hand\n +1 1:.5\t 3:2 \n-1\n\n2 2:1e1 # two\n0\n")
    assert rows.y.tolist() == [1, -1, 2, 0]
    assert rows.counts.tolist() == [2, 0, 1, 0]
    assert densified(rows, 3).tolist() == [[0.5, 0, 2], [0, 0, 0], [0, 10, 0], [0, 0, 0]]
    assert rows.offsets.tolist() == [15, 30, 34, 48]


@pytest.mark.parametrize(
    "label", ["16777217", "523450001", "-18446744073709551615", "16777217.0", "0.1", "1e38"]
)
def test_labels_are_what_float32_makes_of_them(label: str) -> None:
    for rows in (parse_csv(f"{label},1\n".encode(), 2), parse_libsvm(f"{label} 1:1\n".encode())):
        assert rows.y.tolist() == [np.float32(label)]


def test_indices_that_float32_cannot_hold_are_exact() -> None:
    rows = parse_libsvm(b"1 16777217:1 4294967295:2\n")
    assert rows.indices.tolist() == [16777216, 4294967294]


Row = list[np.float32] | None  # None: a line that no reader should accept


def plain_numbers(tokens: list[bytes]) -> Row:
    try:
        with np.errstate(over="ignore"):
            numbers = [np.float32(float(token)) for token in tokens]
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() else None


def plain_csv_row(line: bytes) -> Row:
    cells = line.split(b",")
    is_one_line = b"\r" not in line  # as others read it
    return plain_numbers(cells) if len(cells) == 2 and is_one_line else None


def plain_libsvm_row(line: bytes) -> Row:
    label, *pairs = (word for word in re.split(rb"[ \t]+", line) if word)
    split = [pair.partition(b":") for pair in pairs]
    if not all(colon and index.isdigit() for index, colon, _ in split):
        return None
    indices = [int(index) for index, _, _ in split]
    if indices != sorted(set(indices)) or 0 in indices:
        return None
    numbers = plain_numbers([label, *(value for _, _, value in split)])
    return None if numbers is None else numbers + list(map(np.float32, indices))


def plain_rows(text: bytes, comment: bytes, read: Callable[[bytes], Row]) -> list[tuple[int, Row]]:
    """Return (offset, row) of the lines that are not blank, in order."""
    rows = []
    offset = 0
    for line in text.split(b"\n")[:-1]:
        content = line.rstrip(b"\r")
        if comment:
            content = content.split(comment)[0].strip(b" \t")
        if content.strip(b" \t"):
            rows.append((offset, read(content)))
        offset += len(line) + 1
    return rows


def lines_of(*parts: str) -> st.SearchStrategy[bytes]:
    lines = st.lists(st.lists(st.sampled_from(parts), max_size=6).map("".join), min_size=1)
    return lines.map(lambda each: ("\n".join(each) + "\n").encode())


def csv_rows(rows: DenseRows) -> list[Row]:
    return [[y, *x] for y, x in zip(rows.y, rows.X, strict=True)]


def libsvm_rows(rows: SparseRows) -> list[Row]:
    ends = np.cumsum(rows.counts)[:-1]
    pairs = zip(np.split(rows.values, ends), np.split(rows.indices, ends), strict=True)
    together = [[*values, *(indices + 1.0)] for values, indices in pairs]
    return [[y, *row] for y, row in zip(rows.y, together, strict=False)]


def assert_read_as(
    expected: list[tuple[int, Row]], parse: Callable[[], tuple[np.ndarray, list[Row]]]
) -> None:
    bad = next((offset for offset, row in expected if row is None), None)
    if bad is None:
        offsets, rows = parse()
        assert offsets.tolist() == [offset for offset, _ in expected]
        assert rows == [row for _, row in expected]
        return
    with pytest.raises(MalformedRowError) as caught:
        parse()
    assert caught.value.offset == bad


csv_lines = lines_of(
    "1,2", "3,-4.5", "1", "2", ",", ".", "-", "e1", " ", "\r", '"', "nan", "12345678"
)
libsvm_lines = lines_of(
    "1 ", "2 1:3", " 2:-4.5", " 9:1", "1", ":", " ", "\t", "\r", "#", ".", "0", "-"
)


@given(csv_lines)
def test_csv_is_read_as_a_plain_reader_reads_it(text: bytes) -> None:
    def parse() -> tuple[np.ndarray, list[Row]]:
        rows = parse_csv(text, 2)
        return rows.offsets, csv_rows(rows)

    assert_read_as(plain_rows(text, b"", plain_csv_row), parse)


@example(b"\r\t2 1:3\n")  # a lone carriage return is not a blank, whatever follows it
@given(libsvm_lines)
def test_libsvm_is_read_as_a_plain_reader_reads_it(text: bytes) -> None:
    def parse() -> tuple[np.ndarray, list[Row]]:
        rows = parse_libsvm(text)
        return rows.offsets, libsvm_rows(rows)

    assert_read_as(plain_rows(text, b"#", plain_libsvm_row), parse)


def assert_good_ones_read_as(
    expected: list[tuple[int, Row]],
    offsets: np.ndarray,
    rows: list[Row],
    bad: Iterable[MalformedRowError],
) -> None:
    good = [(offset, row) for offset, row in expected if row is not None]
    assert offsets.tolist() == [offset for offset, _ in good]
    assert rows == [row for _, row in good]
    assert [each.offset for each in bad] == [offset for offset, row in expected if row is None]


@example(b"\r1,2\n")
@given(csv_lines)
def test_good_csv_rows_among_bad_ones_are_read_as_a_plain_reader_reads_them(text: bytes) -> None:
    rows, bad = NumberParser(csv_layout(2)).parse_good(Lines.of(text, 0))
    expected = plain_rows(text, b"", plain_csv_row)
    assert_good_ones_read_as(expected, rows.offsets, csv_rows(rows), bad)


@example(b"1 2:1 1:1\n\tx 1:2\n1 1:1 3:2:1\n2\n")
@given(libsvm_lines)
def test_good_libsvm_rows_among_bad_ones_are_read_as_a_plain_reader_reads_them(
    text: bytes,
) -> None:
    expected = plain_rows(text, b"#", plain_libsvm_row)
    try:
        rows, bad = LibsvmParser(LIBSVM).parse_good(Lines.of(text, 0))
    except MalformedRowError as error:
        assert "indices count from 1" in error.problem
        assert error.offset in [offset for offset, row in expected if row is None]
        return
    assert_good_ones_read_as(expected, rows.offsets, libsvm_rows(rows), bad)


def test_a_line_may_end_with_a_million_carriage_returns() -> None:
    """Each pass over the text removes all of them."""
    rows = parse_csv(b"1,2" + b"\r" * 1_000_000 + b"\n3,4\r\n", 2)
    assert csv_rows(rows) == [[1, 2], [3, 4]]
    assert rows.offsets.tolist() == [0, 1_000_004]


BAD_COLUMNS = [
    (b"1,2", "2 columns where 3 are expected: '1,2'"),
    (b"1,2,3,4", "4 columns where 3 are expected: '1,2,3,4'"),
    (b"1,2,", "column 3 ('class') is empty, a missing label: '1,2,'"),
    (b"1,2,NA", "column 3 ('class') is 'NA', a missing label: '1,2,NA'"),
    (b"1, ,3", "column 2 ('width') is empty, a missing value: '1, ,3'"),
    (b"1,NaN,3", "column 2 ('width') is 'NaN', a missing value: '1,NaN,3'"),
    (b"?,1,3", "column 1 ('height') is '?', a missing value: '?,1,3'"),
    (b"1,-inf,3", "column 2 ('width') is '-inf', not a finite number: '1,-inf,3'"),
    (b"1,1e39,3", "column 2 ('width') is '1e39', too large for float32: '1,1e39,3'"),
    (b"1,2,1e39", "column 3 ('class') is '1e39', too large for float32: '1,2,1e39'"),
    (b"1,abc,3", "column 2 ('width') is 'abc', not a number: '1,abc,3'"),
    (b"1,TRUE,3", "column 2 ('width') is 'TRUE', a boolean, not a number: '1,TRUE,3'"),
    (b"1,2\r,3", "a CR is within the line: '1,2\\r,3'"),
    (b"1,2,3\r4,5,6", "a CR is within the line: '1,2,3\\r4,5,6'"),
    (b"# more", "comments are not supported: '# more'"),
    (b"1,1_0,3", "column 2 ('width') is '1_0', not a number: '1,1_0,3'"),
    (b"1,2.3.4,3", "column 2 ('width') is '2.3.4', not a number: '1,2.3.4,3'"),
    (b"1,2,setosa", "column 3 ('class') is 'setosa', not a number: '1,2,setosa'"),
    (b'1,"2",3', "column 2 ('width') is '\"2\"': quoted fields are not supported: '1,\"2\",3'"),
    (b'1,"2,5",3', "quoted fields are not supported: '1,\"2,5\",3'"),
    (b"1,\xff,3", "column 2 ('width') is '\\\\xff', not a number: '1,\\\\xff,3'"),
    (b"x" * 200, f"1 columns where 3 are expected: '{'x' * 79}…'"),
]
BAD_PAIRS = [
    (b"abc 1:2", "the label is 'abc', not a number: 'abc 1:2'"),
    (b"1e39 1:2", "the label is '1e39', too large for float32: '1e39 1:2'"),
    (b"1 2:x", "the pair '2:x' is 'x', not a number: '1 2:x'"),
    (b"1 2:", "the pair '2:' is empty, a missing value: '1 2:'"),
    (b"1 2:nan", "the pair '2:nan' is 'nan', a missing value: '1 2:nan'"),
    (b"1 2", "the pair '2' has no ':': '1 2'"),
    (b"1 1:2:3", "the pair '1:2:3' is '2:3', not a number: '1 1:2:3'"),
    (b"1:2 3:4", "the label is '1:2', not a number: '1:2 3:4'"),
    (b"1 qid:x 1:2", "the pair 'qid:x' has an index that is not an integer below 2**32: "
     "'1 qid:x 1:2'"),
    (b"1 4294967296:2", "the pair '4294967296:2' has an index that is not an integer below 2**32: "
     "'1 4294967296:2'"),
    (b"1 0:2", "the pair '0:2' has index 0: indices count from 1, unless data.zero_based is true: "
     "'1 0:2'"),
    (b"1 3:2 2:1", "the pair '2:1' has an index that does not ascend: it comes after 3: "
     "'1 3:2 2:1'"),
    (b"1 3:2 3:1", "the pair '3:1' has an index that does not ascend: it comes after 3: "
     "'1 3:2 3:1'"),
    (b"1 9:2", "the pair '9:2' has an index above n_features 8: '1 9:2'"),
]  # fmt: skip


@pytest.mark.parametrize("n_ranges", [1, 7])
@pytest.mark.parametrize(("row", "problem"), BAD_COLUMNS)
def test_a_bad_csv_row_is_named(row: bytes, problem: str, n_ranges: int) -> None:
    text = b"height,width,class\n" + b"1,2,3\n" * 500 + b"\r\n" + row + b"\n" + b"1,2,3\n" * 20
    store = MemoryObjects(**{"data/a.csv": b"height,width,class\n1,2,3\n", "data/x.csv": text})
    with pytest.raises(BadRowError) as caught:
        partition(store, n_ranges, format="csv")
    assert str(caught.value) == f"s3 object data/x.csv, line 503: {problem}"


@pytest.mark.parametrize(("row", "problem"), BAD_PAIRS)
def test_a_bad_libsvm_row_is_named(row: bytes, problem: str) -> None:
    text = b"1 1:2 8:3\n" * 500 + b"# comment\n\n" + row + b"\n" + b"0\n" * 20
    with pytest.raises(BadRowError) as caught:
        partition(MemoryObjects(x=text), 3, format="libsvm", n_features=8, zero_based=False)
    assert str(caught.value) == f"s3 object x, line 503: {problem}"


def test_the_first_of_several_bad_rows_is_named() -> None:
    text = b"1,2\n1,a\n1\n"
    with pytest.raises(BadRowError, match=r"line 2: column 2 is 'a'"):
        partition(MemoryObjects(x=text), format="csv", header=False)


def test_the_largest_index_is_the_width_unless_it_is_given() -> None:
    text = b"1 1:1\n0 5:2\n1 2:3\n0\n"
    assert partition(MemoryObjects(x=text), format="libsvm").n_features == 5
    assert partition(MemoryObjects(x=text), format="libsvm", n_features=9).n_features == 9


def test_rows_without_any_feature_are_refused() -> None:
    with pytest.raises(InvalidDataError, match="no row of the data set has a feature"):
        partition(MemoryObjects(x=b"1\n0\n"), format="libsvm")


def test_a_byte_order_mark_is_no_part_of_the_first_row() -> None:
    for options, text in [({"format": "csv"}, b"1,2\n3,4\n"), ({"format": "libsvm"}, b"1 1:2\n")]:
        plain, marked = MemoryObjects(x=text * 3), MemoryObjects(x=b"\xef\xbb\xbf" + text * 3)
        with_mark, without = (
            sum(shard.X.sum() for shard in all_shards(store, partition(store, **options), 1))
            for store in (plain, marked)
        )
        assert with_mark == without


MISSING_VALUES = [b"", b" ", b"nan", b"NaN", b"-nan", b"NA", b"n/a", b"null", b"None", b"?", b" ? "]


@pytest.mark.parametrize("label", [0, 1, 2])
@pytest.mark.parametrize("value", MISSING_VALUES)
def test_a_missing_value_is_what_the_job_says(value: bytes, label: int) -> None:
    cells = [b"1", b"2", b"3"]
    cells[(label + 1) % 3] = value
    text = b"4,5,6\n" + b",".join(cells) + b"\n7,8,9\n"
    with pytest.raises(MalformedRowError, match="a missing value"):
        parse_csv(text, 3, label)
    kept = np.array([4, 5, 6, *(float(cell) if cell != value else np.nan for cell in cells)])
    expected = np.delete(kept.reshape(2, 3), label, axis=1)
    rows = parse_csv(text, 3, label, missing="keep")
    assert np.array_equal(rows.X[:2], expected, equal_nan=True)
    assert rows.y.tolist() == [4 + label, 1 + label, 7 + label]
    assert rows.n_missing == 1


@pytest.mark.parametrize("row", [b"1,2,", b"1,2,NA", b"1,,", b"1,x,3", b"1,inf,3", b'1,"",3'])
def test_neither_a_missing_label_nor_what_is_no_number_is_filled(row: bytes) -> None:
    with pytest.raises(MalformedRowError) as caught:
        parse_csv(b"1,,3\n" + row + b"\n1,2,3\n", 3, 2, missing="keep")
    assert caught.value.offset == 5


def test_a_libsvm_value_is_never_missing() -> None:
    with pytest.raises(BadRowError, match="a missing value"):
        partition(MemoryObjects(x=b"1 1:1\n1 2:nan\n"), format="libsvm", missing="keep")


def test_without_a_label_all_columns_are_features() -> None:
    rows = parse_csv(b"1,2\n3,4\n", 2, label=-1)
    assert rows.X.tolist() == [[1, 2], [3, 4]]
    assert rows.y.tolist() == [0, 0]
    gaps = parse_csv(b"1,2\n,\n", 2, label=-1, missing="keep")
    assert gaps.n_missing == 2 and np.isnan(gaps.X[1]).all()


@pytest.mark.parametrize("text", [b"a\n1\n2\n3\n", b"1\n\n2\n3\n"])
def test_one_column_of_features_is_enough_without_a_label(text: bytes) -> None:
    manifest = partition(MemoryObjects(x=text), format="csv", has_label=False)
    assert (manifest.n_rows, manifest.n_features) == (3, 1)
    assert (manifest.labels, manifest.label_counts) == ((0,), (3,))


@pytest.mark.parametrize("label", ["b", 1, -2])
@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_a_label_named_anyhow_is_read_from_its_column(label: str | int, delimiter: str) -> None:
    text = "a,b,c\n1,2,3\n1,2,3\n".replace(",", delimiter).encode()
    store = MemoryObjects(x=text)
    kind = "csv" if delimiter == "," else "tsv"
    validation, shard = all_shards(store, partition(store, format=kind, label=label), 1)
    assert (validation.y.tolist(), shard.y.tolist()) == ([2], [2])
    assert np.array_equal(shard.X, [[1, 3]])


BAD_LINES = {
    "csv": [b"1,2", b"x,1,1", b"1,2,3,4", b"1,,1", b'1,"x",3', b"1,2,nan", b"inf,2,3"],
    "libsvm": [b"x 1:1", b"1 2:1 1:1", b"1 1:x", b"1 a:2", b"1 9:1", b"1:2", b"1 2", b"1 1:2:3"],
}
GOOD_LINES = {"csv": b"%d,0.5,%d", "libsvm": b"%d 2:0.25 7:%d"}
HEADERS = {"csv": b"a,b,c\n", "libsvm": b""}


def table_with_bad_lines(kind: str, n_rows: int = 3000, share: float = 0.1) -> list[bytes]:
    rng = np.random.default_rng(0)
    choices = BAD_LINES[kind]
    return [
        choices[rng.integers(len(choices))]
        if rng.random() < share
        else GOOD_LINES[kind] % (row, row % 3)
        for row in range(n_rows)
    ]


def pieces_of(store: MemoryObjects) -> dict[str, bytes]:
    return {key: data for key, data in store.objects.items() if key.startswith("pieces/")}


@pytest.mark.parametrize("n_ranges", [1, 2, 7, 40])
@pytest.mark.parametrize("kind", ["csv", "libsvm"])
def test_a_row_that_does_not_parse_is_left_out_and_counted(kind: str, n_ranges: int) -> None:
    lines = table_with_bad_lines(kind)
    bad = [line in BAD_LINES[kind] for line in lines]
    # Newlines replace the bad lines: they are not rows, and the other lines stay in place.
    blanked = [b"\n" * len(x) if is_bad else x for x, is_bad in zip(lines, bad, strict=True)]
    stores = [
        MemoryObjects(x=HEADERS[kind] + b"\n".join(each) + b"\n") for each in (lines, blanked)
    ]
    options = {"format": kind, "n_features": 8 if kind == "libsvm" else None, "on_bad_row": "skip"}
    skipping, without = (partition(store, n_ranges, **options) for store in stores)
    assert skipping.skipped_rows == sum(bad)
    assert skipping.n_rows == len(lines) - sum(bad) == without.n_rows
    assert pieces_of(stores[0]) == pieces_of(stores[1])
    assert without.skipped_rows == 0
    assert without.skipped_samples == ()


@pytest.mark.parametrize("n_ranges", [1, 2, 7])
def test_samples_of_skipped_rows_name_object_and_line(n_ranges: int) -> None:
    lines = table_with_bad_lines("csv", share=0.01)
    text = b"a,b,c\n" + b"\n".join(lines)
    store = MemoryObjects(**{"a.csv": b"a,b,c\n1,2,3\n", "b.csv": text})
    manifest = partition(store, n_ranges, format="csv", on_bad_row="skip")
    numbers = [number for number, line in enumerate(lines, 2) if line in BAD_LINES["csv"]]
    named = [
        int(re.match(r"s3 object b.csv, line (\d+): ", sample)[1])  # type: ignore[index]
        for sample in manifest.skipped_samples
    ]
    assert named[:5] == numbers[:5]
    assert len(named) == min(5 * n_ranges, 10)
    assert set(named) <= set(numbers)
    assert named == sorted(named)


def test_a_sample_says_what_is_wrong_in_few_words() -> None:
    key = "k" * 300 + "/part.csv"
    store = MemoryObjects(**{key: b"1,2,3\n1,2,3\n1,abc,3\n\n" + b"\xff" * 5000 + b"\n"})
    samples = partition(store, format="csv", on_bad_row="skip").skipped_samples
    assert samples[0].endswith("/part.csv, line 3: column 2 is 'abc', not a number: '1,abc,3'")
    assert "/part.csv, line 5: 1 columns where 3 are expected" in samples[1]
    assert all(len(sample) <= 200 for sample in samples)


def test_lines_far_from_each_other_are_named_by_their_byte(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    csv_format = Csv("csv", ",", (".csv",), ReadLimits(max_counted_bytes=400))
    monkeypatch.setitem(FORMATS, "csv", csv_format)
    text = b"1,2\nx,1\n" + b"1,2\n" * 200 + b"x,2\n"
    store = MemoryObjects(x=text)
    samples = partition(store, format="csv", on_bad_row="skip").skipped_samples
    assert [sample.split(": ")[0] for sample in samples] == [
        "s3 object x, line 2",
        "s3 object x, byte 808",
    ]


@pytest.mark.parametrize("n_ranges", [1, 3])
def test_a_data_set_of_nothing_but_bad_rows_is_refused_with_the_first(n_ranges: int) -> None:
    store = MemoryObjects(x=b"a,b\n" + b"1\n" * 500)
    with pytest.raises(EmptyDataError) as caught:
        partition(store, n_ranges, format="csv", on_bad_row="skip")
    assert str(caught.value) == (
        "the data set has no rows: all 500 were skipped as bad ones, "
        "the first is s3 object x, line 2: 1 columns where 2 are expected: '1'"
    )


def test_rows_with_missing_values_are_skipped_or_kept() -> None:
    text = b"a,b,c\n1,2,3\n1,,3\n1,2,\n4,5,6\n"
    for missing, n_rows in [("fail", 2), ("keep", 3)]:
        store = MemoryObjects(x=text)
        manifest = partition(store, format="csv", missing=missing, on_bad_row="skip")
        assert (manifest.n_rows, manifest.skipped_rows) == (n_rows, 4 - n_rows)


def test_a_line_that_is_too_long_is_not_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    csv_format = Csv("csv", ",", (".csv",), ReadLimits(max_line_bytes=2**17))
    monkeypatch.setitem(FORMATS, "csv", csv_format)
    store = MemoryObjects(x=b"1,2\n" + b"3" * 2**20 + b"\n")
    with pytest.raises(BadRowError, match="line 2: longer than"):
        partition(store, format="csv", on_bad_row="skip", request_bytes=2**16)


@pytest.mark.parametrize("n_ranges", [1, 2, 7])
def test_the_rows_of_each_label_are_counted(n_ranges: int) -> None:
    labels = np.random.default_rng(0).integers(-2, 3, 1000)
    text = b"".join(b"1,%d\n" % label for label in labels)
    manifest = partition(MemoryObjects(x=text), n_ranges, format="csv", piece_bytes=2**10)
    values, counts = np.unique(labels, return_counts=True)
    assert manifest.labels == tuple(values)
    assert manifest.label_counts == tuple(counts)


def test_labels_that_are_no_classes_are_not_counted() -> None:
    text = b"".join(b"1,%d\n" % label for label in range(1001))
    for n_ranges in (1, 7):  # too many in one piece, or only in all pieces together
        manifest = partition(MemoryObjects(x=text), n_ranges, format="csv")
        assert (manifest.labels, manifest.label_counts) == (None, None)
