"""Text of any dialect gives the same rows, with the same offsets, as plain text."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import re
import sys
from dataclasses import replace
from typing import Any

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas._libs.parsers import STR_NA_VALUES

from stepml.job.data import Data
from stepml.job.errors import BadRowError, InvalidDataError
from stepml.ml.data import Layout, SourceFormat, plan_data, plan_ranges, sniff
from stepml.ml.data.dialect import Dialect
from stepml.ml.data.formats import FORMATS, format_of_file
from stepml.ml.data.formats.text.records import record_ends
from stepml.ml.data.formats.text.text_lines import TextLines
from storage.testing.memory import MemoryStorage
from tests.support.data_sets import MemoryObjects, all_shards, described, partition

ROWS = "".join(f"{n},{n % 7}.5,{n % 2}\n" for n in range(300))
TABLE = "a,b,y\n" + ROWS


def layout_of(store: MemoryObjects, **options: Any) -> Layout:
    return sniff(store, described(store), SourceFormat(**{"format": "csv"} | options))


def read(content: bytes, n_ranges: int = 1, **options: Any) -> list[tuple[int, bytes]]:
    """Return the offset and the text of each line that the ranges yield, in order."""
    store = MemoryObjects(x=content)
    objects, layout = described(store), layout_of(store, **options)
    cuts = FORMATS[layout.format].cuts_of(objects, layout)
    lines = TextLines(store, objects, layout, 2**16)
    return [
        line
        for (part,) in plan_ranges(objects, n_ranges, cuts)
        for each in lines.read(part, 100)
        for line in zip(each.offsets.tolist(), each.split(), strict=True)
    ]


PLAIN_LINES = read(TABLE.encode())


def test_plain_text_is_read_as_it_is() -> None:
    assert [line for _, line in PLAIN_LINES] == ROWS.encode().splitlines()
    assert [TABLE.encode()[offset - 1 : offset + 1] for offset, _ in PLAIN_LINES[:2]] == [
        b"\n0",
        b"\n1",
    ]


@pytest.mark.parametrize("n_ranges", [1, 7])
@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(TABLE.encode()),
        gzip.compress(TABLE.encode()[:99]) + gzip.compress(TABLE.encode()[99:]),
        bz2.compress(TABLE.encode()),
        lzma.compress(TABLE.encode()),
        zstd.compress(TABLE.encode()),
        zstd.compress(TABLE.encode()[:99]) + zstd.compress(TABLE.encode()[99:]),
        TABLE.encode("utf-16"),
        TABLE.encode("utf-16-le"),
        TABLE.encode("utf-16-be"),
        gzip.compress(TABLE.encode("utf-16")),
        TABLE.replace("\n", "\r").encode(),
        TABLE.encode("latin-1"),
    ],
)
def test_objects_that_are_not_cut_have_the_rows_and_offsets_of_plain_text(
    content: bytes, n_ranges: int
) -> None:
    assert read(content, n_ranges) == PLAIN_LINES


@pytest.mark.parametrize("n_ranges", [1, 2, 7, 40])
@pytest.mark.parametrize(
    ("text", "options"),
    [
        (TABLE.replace("\n", "\r\n"), {}),
        ("\ufeff" + TABLE, {}),
        ("\n  \n" + TABLE.replace("\n", "\n\n  \n"), {}),
        ("# made\n# by hand\n" + TABLE + "# the end\n", {"comment": "#"}),
        ("sep=,\r\n" + TABLE, {}),
    ],
)
def test_blank_lines_comments_and_marks_are_left_out(
    text: str, options: dict[str, Any], n_ranges: int
) -> None:
    lines = read(text.encode(), n_ranges, **options)
    assert [line for _, line in lines] == [line for _, line in PLAIN_LINES]
    for offset, line in lines:
        assert text.encode()[offset:].startswith(line)


@pytest.mark.parametrize("delimiter", [";", "\t", "|", " "])
@pytest.mark.parametrize("header", [True, False])
def test_delimiters_are_found(delimiter: str, *, header: bool) -> None:
    store = MemoryObjects(x=(TABLE if header else ROWS).replace(",", delimiter).encode())
    layout = layout_of(store)
    assert (layout.delimiter, layout.n_columns, layout.header) == (delimiter, 3, header)
    note, *_ = FORMATS["csv"].review(store, described(store), layout, SourceFormat(format="csv"))
    assert note.startswith("columns are separated by ")


def test_columns_may_be_aligned_by_blanks() -> None:
    text = "  a   b  y\n" + "".join(f" {n:3d}\t {n % 7}.5   {n % 2} \n" for n in range(300))
    lines = read(text.encode())
    assert [line for _, line in lines] == ROWS.replace(",", " ").encode().splitlines()


@pytest.mark.parametrize(
    "text", ["a,b,y\n1 m,3 s,0\n5 m,7 s,1\n", "a,y\n1;2,0\n3;4,1\n", "t,y\n2020-01-01 10:00,1\n"]
)
def test_the_own_delimiter_is_taken_in_doubt(text: str) -> None:
    assert layout_of(MemoryObjects(x=text.encode())).delimiter == ","


def test_text_that_is_not_utf_8_is_windows_1252() -> None:
    lines = read("name,y\ngröße,1\n5 €,0\n".encode("cp1252"))
    assert [line.decode() for _, line in lines] == ["größe,1", "5 €,0"]
    lines = read(b"name,y\n\x81,1\nb,0\n")
    assert [line.decode() for _, line in lines] == ["\x81,1", "b,0"]


QUOTED = 'name,y\n"Doe, ""J""\nand sons",1\nplain,0\n"a\n\nb",1\n5" pipe,0\n'


@pytest.mark.parametrize("n_ranges", [1, 7])
def test_quoted_fields_may_have_line_ends(n_ranges: int) -> None:
    lines = read(QUOTED.encode(), n_ranges)
    found = [next(csv.reader(io.StringIO(line.decode()))) for _, line in lines]
    assert found == list(csv.reader(io.StringIO(QUOTED)))[1:]
    assert [QUOTED.encode()[offset - 1 : offset] for offset, _ in lines] == [b"\n"] * 4


def test_a_quoted_line_end_in_an_object_that_was_cut_is_refused() -> None:
    store = MemoryObjects(x=QUOTED.encode())
    layout = layout_of(store, quoted_newlines=False, header=True)
    lines = TextLines(store, described(store), replace(layout, is_general=True))
    with pytest.raises(InvalidDataError, match=r"line 2: a quoted field .*data.quoted_newlines"):
        list(lines.read(plan_ranges(described(store), 1)[0][0]))


def test_a_quote_that_is_not_closed_is_refused() -> None:
    with pytest.raises(BadRowError, match="line 3: a quote is not closed"):
        read(b'name,y\na,1\n"b,0\nc,1\nd,0\n', quoted_newlines=True)


def test_letters_that_are_not_utf_8_far_behind_are_refused() -> None:
    store = MemoryObjects(x="name,y\nMüller,1\n".encode() + "Müller,0\n".encode("latin-1"))
    layout = replace(layout_of(store, encoding="utf-8"), is_general=True)
    lines = TextLines(store, described(store), layout)
    with pytest.raises(InvalidDataError, match=r"line 3: is not utf-8; set data.encoding"):
        list(lines.read(plan_ranges(described(store), 1)[0][0]))


@given(st.lists(st.sampled_from(['"', ",", "a", "\n", '""', '","', ',"', '",', '\n"', '"\n'])))
def test_records_end_where_a_plain_reader_ends_them(parts: list[str]) -> None:
    text = "".join(parts) + "\n"
    ends, at, in_quotes = [], 0, False
    while at < len(text):
        if in_quotes:
            if text[at] == '"' and text[at + 1 : at + 2] == '"':
                at += 1
            elif text[at] == '"':
                in_quotes = False
        elif text[at] == '"' and text[at - 1 : at] in ("", ",", "\n"):
            in_quotes = True
        elif text[at] == "\n":
            ends.append(at)
        at += 1
    assert record_ends(text.encode(), b",").tolist() == ends


def test_a_dialect_is_part_of_the_layout() -> None:
    layout = layout_of(MemoryObjects(x=gzip.compress(TABLE.encode())))
    assert layout.dialect == Dialect(compression="gzip")


def features(text: str, **options: Any) -> list[list[float]]:
    """Return the features of the rows in the order of their ids; the label counts them."""
    store = MemoryObjects(x=text.encode())
    manifest = partition(store, 3, format="csv", missing="keep", **options)
    (_, shard) = all_shards(store, manifest, 1, 0.0)
    order = np.argsort(shard.y)
    return [[float(value) for value in row] for row in shard.X[order]]


NUMBERS = [[1234.5, -0.25], [1e6, 7.0], [0.5, 1234567.0]]


@pytest.mark.parametrize(
    ("cells", "options"),
    [
        (["1234,5;-0,25", "1000000;7", "0,5;1234567"], {"decimal": ","}),
        (["1.234,5;-0,25", "1.000.000;7,0", ",5;1.234.567"], {"decimal": ",", "thousands": "."}),
        (["1,234.5;-.25", "1,000,000;7", ".5;1,234,567"], {"thousands": ","}),
        (
            ["1 234,5;-0,25", "1\u00a0000\u202f000;7", "0,5;1234567"],
            {"decimal": ",", "thousands": " "},
        ),
        (["1'234.5;-.25", "1’000’000;7", ".5;1'234'567"], {"thousands": "'"}),
        (["1_234.5;-.25", "1_000_000;7", ".5;1234567"], {"thousands": "_"}),
    ],
)
@pytest.mark.parametrize("header", [True, False])
def test_decimal_commas_and_thousands_are_read(
    cells: list[str], options: dict[str, Any], *, header: bool
) -> None:
    text = "a;b;y\n" * header + "".join(f"{cell};{n}\n" for n, cell in enumerate(cells))
    assert features(text, header=header, **options) == NUMBERS


def test_a_decimal_point_among_decimal_commas_is_refused() -> None:
    with pytest.raises(BadRowError, match=r"'a'. is '2.5', not a number with data.decimal ','"):
        features("a;y\n1,5;0\n2.5;1\n", decimal=",", header=True)
    with pytest.raises(InvalidDataError, match=r"'a'. seems to have numbers, such as '2,5'"):
        features("a;y\n1.5;0\n2,5;1\n", header=True)


@pytest.mark.parametrize("word", ["-", ".", "-999", "n.a.", "missing value", "fehlt"])
def test_words_of_ones_own_are_missing(word: str) -> None:
    table = f"a,b,y\n1,{word},0\n{word}, {word} ,1\n3,4,2\n"
    found = features(table, missing_words=(word,))
    assert np.array_equal(found, [[1, np.nan], [np.nan, np.nan], [3, 4]], equal_nan=True)
    with pytest.raises(BadRowError, match=r"line 2: column 3 .'y'. .*a missing label"):
        partition(
            MemoryObjects(x=f"a,b,y\n1,2,{word}\n3,4,5\n6,7,8\n".encode()),
            format="csv",
            missing_words=(word,),
        )


def test_numbers_that_are_missing_are_so_however_they_are_written() -> None:
    found = features("a,y\n-999.0,0\n-999,1\n-9.99e2,2\n-99,3\n", missing_words=("-999",))
    assert np.isnan(np.array(found)).tolist() == [[True], [True], [True], [False]]


@pytest.mark.parametrize("word", sorted(filter(None, STR_NA_VALUES)))
def test_missing_values_of_pandas_are_missing(word: str) -> None:
    assert np.isnan(features(f"a,b,y\n1,{word},0\n3,4,1\n")[0][1])


def test_a_label_may_be_spelt_like_a_missing_value_in_other_case() -> None:
    text = "a,y\n" + "1,Na\n2,Cl\n" * 9
    manifest = partition(MemoryObjects(x=text.encode()), format="csv")
    assert manifest.class_names == ("Cl", "Na")


def test_labels_keep_their_points_and_blanks() -> None:
    text = "a;y\n" + "1.000,5;Smith, J. R.\n2,5;Doe\n" * 9
    manifest = partition(MemoryObjects(x=text.encode()), format="csv", decimal=",", thousands=".")
    assert manifest.class_names == ("Doe", "Smith, J. R.")


@pytest.mark.parametrize(
    ("cells", "cure"),
    [
        (["1,5", "2,25"], "set data.decimal to ','"),
        (["0,512", "0,125"], "set data.decimal to ','"),
        (["1,500", "2,250"], "set data.thousands to ',', or data.decimal if it is that"),
        (["1,500.5", "2,250.25"], "set data.thousands to ',', or data.decimal if it is that"),
        (["1.500,5", "250,25"], "set data.decimal to ',' and data.thousands to '.'"),
        (["1 500", "1 250 000"], "set data.thousands to ' '"),
        (["1 500,5", "250,25"], "set data.decimal to ',' and data.thousands to ' '"),
        (["1'500.5", "250.25"], 'set data.thousands to "\'"'),
        (["5 %", "7 %"], "write them without units"),
    ],
)
def test_numbers_that_are_written_otherwise_are_no_categories(cells: list[str], cure: str) -> None:
    text = "a;y\n" + "".join(f"{cell};{n}\n" for n, cell in enumerate(cells))
    with pytest.raises(InvalidDataError, match=f"such as '?.*: {re.escape(cure)}; data.columns"):
        layout_of(MemoryObjects(x=text.encode()))


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst", ".GZ"])
@pytest.mark.parametrize(
    ("format_", "name"), [("csv", "a.csv"), ("tsv", "A.TSV"), ("libsvm", "a.svm")]
)
def test_the_ending_of_a_compressed_file_tells_its_format(
    format_: str, name: str, ending: str
) -> None:
    assert format_of_file(name + ending) == format_
    assert format_of_file(name + ending + ending) is None


@pytest.mark.parametrize("module", [gzip, bz2, lzma, zstd], ids=["gzip", "bzip2", "xz", "zstd"])
@pytest.mark.parametrize("form", ["csv", "libsvm"])
def test_damaged_objects_are_named(form: str, module: Any) -> None:
    text = TABLE if form == "csv" else "1 1:2 2:3\n" * 9999
    content = module.compress(text.encode() * 99)
    for damaged in (content[: len(content) // 2], content[:-30] + b"x" * 30):
        with pytest.raises(InvalidDataError, match=r"s3 object x is no whole .* file: "):
            partition(MemoryObjects(x=damaged), format=form)


def test_objects_of_another_compression_than_the_first_are_named() -> None:
    packed, plain = gzip.compress(TABLE.encode()), TABLE.encode()
    with pytest.raises(InvalidDataError, match="s3 object b is not gzip, unlike the first object"):
        partition(MemoryObjects(a=packed, b=plain), format="csv")
    with pytest.raises(InvalidDataError, match="s3 object b is gzip, unlike the first object"):
        partition(MemoryObjects(a=plain, b=packed), format="csv")


def test_a_compressed_sparse_matrix_is_read() -> None:
    text = "".join(f"{n % 2} 1:{n} 3:2.5\n" for n in range(400)).encode()
    stores = [MemoryObjects(x=each) for each in (text, gzip.compress(text), bz2.compress(text))]
    plain, *packed = ([all_shards(each, partition(each, 3, format="libsvm"), 2)] for each in stores)
    for other in packed:
        assert repr(other) == repr(plain)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_compressed_object_has_the_name_of_its_content(ending: str) -> None:
    storage = MemoryStorage()
    for name in ("a.csv", "b.csv"):
        text = TABLE.encode()
        storage.save(f"set/{name}{ending}", gzip.compress(text) if ending else text)
    plan = plan_data(storage, "set", Data(uri="s3://b/set", format="csv"))
    assert [each.name for each in plan.objects] == ["a.csv", "b.csv"]
    assert [each.key for each in plan.objects] == [f"set/a.csv{ending}", f"set/b.csv{ending}"]
    assert len(plan.tasks) == 1
