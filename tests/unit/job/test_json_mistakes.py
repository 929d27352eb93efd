"""Mistakes in the text of a job: each is named, with its place and what to write instead."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepml.job.errors import InvalidJobError
from stepml.job.json_text import SHOWN_COLUMNS, excerpt, json_document
from stepml.job.parse import parse_job

COMMA = "there is a comma after the last element; remove it"
QUOTES = 'strings need straight double quotes ("), not '


def refusal(job: str | bytes) -> InvalidJobError:
    with pytest.raises(InvalidJobError) as caught:
        parse_job(job, "my.json")
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("text", "words", "shown"),
    [
        ('{\n "workers": 4,\n}', COMMA, '"workers": 4,|            ^'),
        ('{"stop": {"max_epochs": 3,}}', COMMA, None),
        ('{"x": [1, 2,]}', COMMA, '{"x": [1, 2,]}|           ^'),
        ('{"x": 1,, "y": 2}', "there is a comma too many", '{"x": 1,, "y": 2}|        ^'),
        ('{"x": 1 "y": 2}', "a comma is missing after this value", '{"x": 1 "y": 2}|      ^'),
        ('{"x": {}\n "y": 2}', "a comma is missing after this value", '{"x": {}|       ^'),
        ('{\n  // four\n  "x": 4\n}', "JSON has no comments", "// four|^"),
        ('{"x": 4, # four\n}', "JSON has no comments", None),
        ('{"x": /* four */ 4}', "JSON has no comments", None),
        ("{'x': 4}", f"{QUOTES}'", "{'x': 4}| ^"),
        ("{“x”: 4}", f"{QUOTES}“", None),
        ('{"a": ‘b’}', f"{QUOTES}‘", None),
        ("{x: 4}", 'names need double quotes: "x"', "{x: 4}| ^"),
        ('{"x": label}', 'text needs double quotes: "label"', '{"x": label}|      ^'),
        ('{"x": True}', "write true, not True", None),
        ('{"x": no}', "write false, not no", None),
        ('{"x": None}', "write null, not None", None),
        ('{"x": [1, NaN]}', "NaN is not a JSON number; leave the field out", None),
        ('{"NaN": "NaN", "x": -Infinity}', "-Infinity is not a JSON number", None),
        ('{"x": nan}', "nan is not a JSON number", None),
        ('{"x": .5}', "write 0.5, not .5", '{"x": .5}|      ^'),
        ('{"x": 5.}', "write 5, not 5.", '{"x": 5.}|      ^'),
        ('{"x": +5}', "write 5, not +5", None),
        ('{"x": 04}', "write 4, not 04", None),
        ('{"x": 1_000}', "write 1000, not 1_000", None),
        ('{"x": 12,000,000}', "write 12000000, not 12,000,000", '{"x": 12,000,000}|      ^'),
        ('{"x": 0x10}', "write 16, not 0x10", None),
        ('{"x": 4x}', "4x is not a number", '{"x": 4x}|      ^'),
        ('{"x" 4}', "a colon is missing after this name", '{"x" 4}| ^'),
        ('{"x" = 4}', "write : between a name and its value, not =", None),
        ('{"x", "y": 1}', "this name has no value", '{"x", "y": 1}| ^'),
        ('{"x": , "y": 1}', "the value is missing", None),
        ('{"x": 4', "the text ends too early; this { has no }", '{"x": 4|^'),
        ('{"x": [4,\n5', "the text ends too early; this [ has no ]", '{"x": [4,|      ^'),
        ('{"x": "ab', 'a string is not closed by a quote (")', '{"x": "ab|      ^'),
        ('{"x": "ab,\n"y": 4}', 'a string is not closed by a quote (") on its line', None),
        ('{"x": "a\tb"}', r"this character is written \t in a string", '{"x": "a b"}|        ^'),
        (r'{"x": "C:\data"}', r"a backslash in a string is written \\; paths have /", None),
        ('{"x": [4}', "the [ of line 1 is closed by ], not }", None),
        ('{"x": 4}}', "there is a closing bracket too many", '{"x": 4}}|        ^'),
        ('{"x": 4}\n{"x": 4}', "another value begins after the end of the job", None),
        (
            '{"x":\u00a04}',
            "there is an invisible character, U+00A0 NO-BREAK SPACE; delete it",
            None,
        ),
        ('{"größe": 4, "数": 4,}', COMMA, '{"größe": 4, "数": 4,}|                    ^'),
        ('{"x": ${workers}}', "it is a template; fill in its placeholders first", None),
        ('{"x": {{ workers }}}', "it is a template", None),
        ('{\n<<<<<<< HEAD\n"x": 4}', "it has a conflict of git; resolve it", "<<<<<<< HEAD|^"),
    ],
)
def test_a_mistake_has_words_a_place_and_its_line(text: str, words: str, shown: str | None) -> None:
    error = refusal(text)

    assert str(error).startswith("the job is not JSON: 'my.json': line ")
    assert f": {words}" in str(error)
    (note,) = error.__notes__
    assert shown is None or note == shown.replace("|", "\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is empty"),
        (" \n\t", "it is empty"),
        ("data:\n  uri: x\nworkers: 4\n", "it looks like YAML; stepml run FILE.yaml reads it"),
        ("---\ndata: {}\n", "it looks like YAML"),
        ("- data\n", "it looks like YAML"),
        ("# mine\ndata:\n  uri: x\n", "it looks like YAML"),
        ('workers = 4\n[data]\nuri = "x"\n', "it looks like TOML; stepml run FILE.toml reads it"),
        ("[data]\n", "it looks like TOML"),
        ("# StepML\n\nStepML trains models.\n", "it looks like Markdown"),
        ("StepML\n======\n", "it looks like Markdown"),
        ("<html></html>", "it looks like HTML"),
        ("import stepml\n", "it looks like Python"),
        ("job = {'data': 1}\n", "it looks like Python"),
        ("#!/bin/sh\n", "it looks like a script"),
        ("a,b,y\n1,2,0\n", "it looks like CSV; a job is a JSON object, which names its data in"),
        ("1;2\n3;4\n", "it looks like CSV"),
        ("a\tb\n1\t2\n", "it looks like TSV"),
        ("1 1:0.5 3:2\n0 2:1\n", "it looks like sparse rows of data"),
        ("// a job\n{}", "it begins with a comment, which JSON does not allow"),
        ("# a job\n{}", "it begins with a comment, which JSON does not allow"),
        ("examples/x.json\n", "it is the name of a file, examples/x.json, not its content"),
        (b"PAR1\x00", "it is a Parquet file; a job is a JSON object, which names its data in"),
        (b"PK\x03\x04\x00", "it is a zip archive, such as npz"),
        (b"\x93NUMPY\x01", "it is an array of NumPy"),
        (b"\x1f\x8b\x08", "it is compressed by gzip"),
        (b'\x40\x00\x00\x00\x00\x00\x00\x00{"w": 1}', "it is a safetensors file, such as a model"),
    ],
)
def test_another_kind_of_file_is_named(text: str | bytes, words: str) -> None:
    assert str(refusal(text)).startswith(f"the job is not JSON: 'my.json': {words}")


@given(
    text=st.text(st.sampled_from('{}[]":,.+-01eaT#/\\\n\t =<\u00a0数'), max_size=30)
    | st.text(max_size=30)
)
def test_every_text_is_a_value_or_is_refused_in_one_line(text: str) -> None:
    try:
        json_document(text)
    except InvalidJobError as error:
        assert "\n" not in str(error)
        for note in getattr(error, "__notes__", ()):
            line, caret = note.split("\n")
            assert line.isprintable()
            assert caret.strip() == "^"
    else:
        json.loads(text.removeprefix("\ufeff"))


@given(line=st.text(st.characters(exclude_characters="\n"), max_size=300), data=st.data())
def test_the_shown_part_of_a_line_has_the_place_in_it(line: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(line)))

    shown, caret = excerpt(line, at)

    assert len(shown) <= SHOWN_COLUMNS
    assert caret.endswith("^")
    if at < len(line) and line[at].isalnum() and line.isascii():
        assert shown[len(caret) - 1] in (line[at], "…")


@pytest.mark.parametrize("part", ["1,111", ",111", "a", "{", '"', '"x": [', "1.", "1:1 ", '",'])
def test_a_long_text_is_refused_at_once(part: str) -> None:
    began = time.process_time()

    refusal(part * 100_000)
    refusal('{"x": ' + part * 100_000)

    assert time.process_time() - began < 2
