"""Objects that are no table: the message names the reason, not the first row."""

from __future__ import annotations

from typing import Any

import pytest

from stepml.job.errors import InvalidDataError, StepMLError
from stepml.ml.data import SourceFormat, sniff
from stepml.ml.data.formats import FORMATS
from tests.support.data_sets import MemoryObjects, described, partition


def reviewed(text: str, **options: Any) -> list[str]:
    store = MemoryObjects(x=text.encode())
    source = SourceFormat(**{"format": "csv"} | options)
    layout = sniff(store, described(store), source)
    return FORMATS[source.format].review(store, described(store), layout, source)


def table(*rows: str, times: int = 1) -> str:
    return "".join(f"{row}\n" for row in [rows[0], *rows[1:] * times])


@pytest.mark.parametrize(
    "text",
    [
        table("a,b,y", "1,x,0", "2,3,1"),  # one bad row
        table("a,b,y", "1,x,0"),  # a level
        table("a,b,y", "1,NA,0", "2,,1"),  # missing values
        table("a,b,y", "1,inf,0", "2,1e999,1"),
        table("a,b,y", "1,2", "1,2,3,4"),
    ],
)
def test_other_bad_rows_are_left_to_the_parser(text: str) -> None:
    assert reviewed(text) == []


@pytest.mark.parametrize(
    ("text", "options", "hint"),
    [
        (table("# made by hand", "a,b,y", "1,2,0"), {}, "set data.comment to '#'"),
        (table("// made by hand", "a,b,y", "1,2,0"), {}, "set data.comment to '/'"),
    ],
)
def test_a_comment_is_named(text: str, options: dict[str, Any], hint: str) -> None:
    with pytest.raises(StepMLError) as caught:
        reviewed(text, **options)
    assert str(caught.value).endswith(hint)


@pytest.mark.parametrize("text", ["a,b,y\r1,2,0\n3,4,1\n", "1,2,0\r3,4,1\n5,6,0\n"])
def test_a_first_line_that_ends_with_cr_alone_is_refused(text: str) -> None:
    with pytest.raises(InvalidDataError, match="the first line ends with CR alone, others do not"):
        reviewed(text)


def test_lines_may_end_with_several_cr() -> None:
    store = MemoryObjects(x=b"a,b,y\r\r\n1,2,0\r\r\n3,4,1\r\r\n")
    assert partition(store, format="csv").n_rows == 2


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b'{"a": 1}', "JSON, no table"),
        (b'[{"a": 1}]', "JSON, no table"),
        (b'\xef\xbb\xbf\n[ "a" ]', "JSON, no table"),
        (b"<!DOCTYPE html>", "HTML or XML, no table"),
        (b'<?xml version="1.0"?>', "HTML or XML, no table"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS, without the data"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", r"a file of Excel \(xls\): it cannot"),
        (b"ARROW1\0\0", r"Arrow IPC \(or feather\): it cannot"),
        (b"SQLite format 3\0", "SQLite: it cannot"),
    ],
)
@pytest.mark.parametrize("format_", ["csv", "tsv", "libsvm"])
def test_a_file_of_another_kind_is_named(format_: str, start: bytes, kind: str) -> None:
    store = MemoryObjects(x=start + b"\n1,2,0\n" * 9)
    with pytest.raises(InvalidDataError, match=f"^s3 object x is {kind}"):
        sniff(store, described(store), SourceFormat(format=format_))


def test_names_may_be_in_brackets() -> None:
    assert reviewed(table("[a],<b>,y", "1,2,0", "3,4,1")) == []


@pytest.mark.parametrize(
    "text", [table("a,b,y,,", "1,2,0,,", "1,2,1,,"), table("Title,,", "a,b,y", "1,2,0")]
)
def test_empty_columns_and_titles_are_no_index(text: str) -> None:
    with pytest.raises(InvalidDataError, match="; line 1 has to be the header, without a title"):
        reviewed(text)
