"""The layout of a data set is inferred, or its defect is named."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from stepml.job import keys
from stepml.job.errors import EmptyDataError, InvalidDataError
from stepml.ml.data.layout import Layout, dataset_digest
from stepml.ml.data.sniff import sniff
from stepml.ml.data.source_format import SourceFormat
from tests.support.data_sets import MemoryObjects, described, partition


def sniffed(text: bytes, **options: Any) -> Layout:
    store = MemoryObjects(x=text)
    return sniff(store, described(store), SourceFormat(**{"format": "csv"} | options))


@pytest.mark.parametrize(
    ("text", "header"),
    [
        (b"a,b,c\n1,2,3\n", True),
        (b"1,2,3\n4,5,6\n", False),
        (b"1.5e3,-2,+3\n4,5,6\n", False),
        (b"a,b,1\n1,2,3\n", True),
        (b"1,2,abc\n1,2,3\n", False),  # a visible bad row rather than a header
        (b"1,,\n1,2,3\n", False),
        (b"NA,?,null\n1,2,3\n", False),  # missing values are not names
        (b",a,b\n1,2,3\n", True),  # the first column has no name, as pandas writes an index
        (b'"a","b, c","d"\n1,2,3\n', True),
        (b"\xef\xbb\xbfa,b,c\r\n1,2,3\r\n", True),
    ],
)
def test_a_first_line_of_mostly_names_is_a_header(text: bytes, header: bool) -> None:
    assert sniffed(text).header is header


def test_the_header_can_be_told() -> None:
    assert sniffed(b"0,1,2\n1,2,3\n", header=True).column_names == ("0", "1", "2")
    assert not sniffed(b"a,b,c\n1,2,3\n", header=False).header


def test_a_line_with_the_labels_name_is_a_header() -> None:
    assert sniffed(b"0,1,y\n1,2,3\n", label="y").label_column == 2


@pytest.mark.parametrize(
    ("label", "column"), [(None, 2), ("a", 0), ("b", 1), (0, 0), (2, 2), (-1, 2), (-3, 0)]
)
def test_the_label_is_the_last_column_unless_told(label: str | int | None, column: int) -> None:
    layout = sniffed(b"a,b,c\n1,2,3\n", label=label)
    assert (layout.n_columns, layout.n_features, layout.label_column) == (3, 2, column)


def test_without_a_label_all_columns_are_features() -> None:
    layout = sniffed(b"a,b,c\n1,2,3\n", has_label=False)
    assert (layout.n_columns, layout.n_features, layout.label_column) == (3, 3, -1)
    assert not layout.has_label
    assert sniffed(b"a,b,c\n1,2,3\n", has_label=False, n_features=3) == layout


@pytest.mark.parametrize(("text", "header"), [(b"a\n1\n", True), (b"1\n2\n", False)])
def test_one_column_is_enough_without_a_label(text: bytes, header: bool) -> None:
    layout = sniffed(text, has_label=False)
    assert (layout.n_columns, layout.n_features, layout.header) == (1, 1, header)


def test_what_parsing_needs_to_know_is_in_the_layout() -> None:
    layout = sniffed(b"1,2\n", missing="keep", on_bad_row="skip")
    assert (layout.missing, layout.on_bad_row, layout.has_label) == ("keep", "skip", True)
    libsvm = sniffed(b"1 1:2\n", format="libsvm", missing="keep", on_bad_row="skip")
    assert (libsvm.missing, libsvm.on_bad_row) == ("fail", "skip")


def test_quotes_blanks_and_byte_order_mark_are_no_part_of_names() -> None:
    text = b'\xef\xbb\xbf"a", b ,"c ""d"""\r\n1,2,3\r\n'
    assert sniffed(text).column_names == ("a", "b", 'c "d"')


def test_tsv_is_cut_by_tabs() -> None:
    assert sniffed(b"a b\tc\n1\t2\n", format="tsv").column_names == ("a b", "c")


def test_empty_objects_are_passed_over() -> None:
    store = MemoryObjects(a=b"", b=b"x,y\n1,2\n")
    assert sniff(store, described(store), SourceFormat(format="csv")).column_names == ("x", "y")


@pytest.mark.parametrize("first", [b"a,b\n", b"a,b", b"\n\n", b"\xef\xbb\xbfa,b\r\n\r\n"])
@pytest.mark.parametrize("header", [None, True])
def test_objects_without_rows_are_passed_over(first: bytes, header: bool | None) -> None:
    store = MemoryObjects(a=first, b=b"a,b\n", c=b"a,b\n1,2\n")
    layout = sniff(store, described(store), SourceFormat(format="csv", header=header))
    assert layout == sniffed(b"a,b\n1,2\n")


def test_libsvm_without_rows_is_passed_over() -> None:
    store = MemoryObjects(a=b"\n \n", b=b"1 1:2\n")
    assert sniff(store, described(store), SourceFormat(format="libsvm")) == sniffed(
        b"1 1:2\n", format="libsvm"
    )


def test_where_no_object_has_rows_the_first_one_is_named() -> None:
    store = MemoryObjects(a=b"", b=b"x,y\n", c=b"x,y\n")
    with pytest.raises(EmptyDataError, match=r"^s3 object b has no data rows$"):
        sniff(store, described(store), SourceFormat(format="csv"))


@pytest.mark.parametrize("n_ranges", [1, 3, 7])
def test_an_object_of_a_header_only_adds_no_rows(n_ranges: int) -> None:
    store = MemoryObjects(a=b"a,b\n", b=b"a,b\n1,2\n3,4\n", c=b"a,b")
    assert partition(store, n_ranges, format="csv").n_rows == 2
    other = MemoryObjects(a=b"a,x\n", b=b"a,b\n1,2\n")
    with pytest.raises(InvalidDataError, match="s3 object a: its header is not that of the first"):
        partition(other, n_ranges, format="csv")


def test_a_first_line_longer_than_the_first_read_is_read_whole() -> None:
    names = [f"feature_{i}" for i in range(30_000)]
    text = ",".join(names).encode() + b"\n" + b",".join([b"1"] * 30_000) + b"\n"
    assert sniffed(text).column_names == tuple(names)


@pytest.mark.parametrize("text", [b"", b"\n\n\r\n", b"a,b\n", b"a,b", b"a,b\r\n\r\n"])
def test_no_rows_are_refused(text: bytes) -> None:
    with pytest.raises(EmptyDataError, match="x has"):
        sniffed(text)


def test_no_objects_are_refused() -> None:
    with pytest.raises(EmptyDataError):
        sniff(MemoryObjects(), [], SourceFormat(format="csv"))


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (gzip.compress(b"1,2\n" * 99, mtime=0)[:-9], {}, "x is no whole gzip file"),
        (b"PK\x03\x04 1,2\n", {}, "x is zip .* cannot be cut by bytes"),
        (b"PAR1\n", {"format": "libsvm"}, "x is parquet: it cannot be cut by bytes"),
        (b"1,2\n3\0,4\n", {}, "x is binary, not text: byte 5 is zero"),
        (b"a,b\n1,2\n", {"label": "c"}, "data.label is 'c', which is none of .* x: a, b"),
        (b"1,2\n3,4\n", {"label": "c"}, "data.label is 'c', but .* x has no header"),
        (b"1,2\n", {"label": 2}, "data.label is 2, .* 2 columns: allowed are 0 to 1, or -2"),
        (b"1,2\n", {"label": -3}, "data.label is -3"),
        (b"1,2,3\n", {"n_features": 3}, "data.n_features is 3, but .* x has 2 columns of"),
        (
            b"1,2\n",
            {"has_label": False, "n_features": 3},
            "data.n_features is 3, .* 2 columns of features$",
        ),
        (b"a,b,b\n1,2,3\n", {"label": "b"}, "data.label is 'b', the name of 2 columns of .* x"),
        (b"1;2\n", {"delimiter": ","}, "one column.* by ',', the first line is '1;2'"),
    ],
)
def test_what_is_wrong_is_named(text: bytes, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidDataError, match=message):
        sniffed(text, **options)


def test_the_names_in_a_message_are_shortened() -> None:
    text = ",".join(f"c{i}" for i in range(9000)).encode() + b"\n1\n"
    with pytest.raises(InvalidDataError, match="c0, c1") as caught:
        sniffed(text, label="y")
    assert len(str(caught.value)) < 600


def test_an_unknown_format_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match=r"csv, tsv, libsvm.*, not 'xml'"):
        sniffed(b"1,2\n", format="xml")


def test_the_digest_changes_with_whatever_changes_the_shards() -> None:
    store = MemoryObjects(a=b"a,b\n1,2\n")
    objects = described(store)
    differing: list[dict[str, Any]] = [
        {},
        {"label": 0},
        {"has_label": False},
        {"missing": "keep"},
        {"on_bad_row": "skip"},
    ]
    layouts = [
        sniff(store, objects, SourceFormat(format="csv", **options)) for options in differing
    ]
    store.objects["b"] = b"a,b\n1,3\n"
    digests = {
        dataset_digest(each, layout, seed)
        for each in (objects, described(store))
        for layout in layouts
        for seed in (0, 1)
    }
    assert len(digests) == 4 * len(differing)
    assert {len(digest) for digest in digests} == {32}


def test_the_digest_does_not_depend_on_where_the_objects_lie() -> None:
    store = MemoryObjects(a=b"a,b\n1,2\n")
    (data,) = described(store)
    moved = type(data)("elsewhere/a", data.name, data.value_bytes, data.etag)
    layout = sniff(store, [data], SourceFormat(format="csv"))
    assert dataset_digest([data], layout, 0) == dataset_digest([moved], layout, 0)


def test_the_digest_of_rows_of_a_fit_is_that_of_their_process() -> None:
    store = MemoryObjects(a=b"a,b\n1,2\n")
    (data,) = described(store)
    layout = sniff(store, [data], SourceFormat(format="csv"))

    def digest(process: str, rows: str) -> str:
        key = f"{keys.fit_rows(process, rows)}{data.name}"
        placed = type(data)(key, data.name, data.value_bytes, data.etag)
        return dataset_digest([placed], layout, 0)

    assert digest("first", "0") == digest("first", "1")
    others = {digest("second", "0"), dataset_digest([data], layout, 0)}
    assert len({digest("first", "0"), *others}) == 3
