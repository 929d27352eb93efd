"""Decoded numbers have the bits of Python's and NumPy's, token by token."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepml.ml.data.formats.text.numbers import (
    decode_floats,
    decode_integers,
    index_of,
    is_missing,
    number_problem,
)
from stepml.ml.data.formats.text.spelling import Spelling
from stepml.ml.data.formats.text.words import Text

EDGES = [
    *(b"", b"-", b"+", b".", b"-.", b"--1", b"-+1", b"+-12345678", b"1-2", b"1.2.3", b"..5"),
    *(b"-0", b"0", b"1", b"+1", b"1.", b".5", b"-.5", b"007", b"0.869", b"12345678"),
    *(b"-12345678", b"-1.2345678", b"123456789.", b".12345678", b"-.123456789", b"+.12345678"),
    *(b"1234567.89012345", b"1.345678.1234567", b"1234567+12345678", b"1-234567.1234567"),
    *(b"9007199254740993", b"9999999999999999", b"-999999999999999", b"0.1234567890123"),
    *(b"16777217", b"0.1", b"3.4028235e38", b"3.4028236e38", b"1e39", b"-1e39", b"1e-46"),
    *(b"nan", b"NaN", b"inf", b"-inf", b"Infinity", b"1e5", b"1E-3", b"1_000", b" 1", b"1 "),
    *(b"0000000000000000000000001", b"4294967295", b"4294967296", b"12345678901"),
    *(
        b"a",
        b":",
        b"/",
        b"\x80\x80",
        b"\xff",
        b"1\x00",
        b'"1"',
        b"0x10",
        b"1,5".replace(b",", b";"),
    ),
]


def decoded(tokens: Sequence[bytes]) -> tuple[Text, np.ndarray, np.ndarray]:
    text = Text.of(b"|".join(tokens) + b"|")
    ends = np.flatnonzero(text.characters == ord("|"))
    starts = np.concatenate([[text.margin], ends[:-1] + 1])
    return text, starts, ends


def expected(token: bytes) -> np.float32:
    """Return the number that Python and NumPy parse from a token, or NaN."""
    try:
        value = math.nan if b"_" in token else float(token)
    except ValueError:
        value = math.nan
    with np.errstate(over="ignore"):
        return np.float32(value)


def assert_decoded_as_python_does(tokens: Sequence[bytes]) -> None:
    values, bad = decode_floats(*decoded(tokens))
    wanted = np.array([expected(token) for token in tokens])
    good = np.isfinite(wanted)
    assert bad.tolist() == np.flatnonzero(~good).tolist()
    assert values[good].tobytes() == wanted[good].tobytes()


def test_every_kind_of_token_is_decoded_as_python_does() -> None:
    assert_decoded_as_python_does(EDGES)


@pytest.mark.parametrize("token", EDGES)
def test_a_token_has_a_problem_exactly_if_it_is_bad(token: bytes) -> None:
    _, bad = decode_floats(*decoded([token]))
    assert (number_problem(token) is not None) == bool(len(bad))


def test_missing_tokens_are_found_among_others() -> None:
    missing = [b"", b" ", b"NaN", b"-nan", b"nAn", b"?", b"N/A", b"none", b"NULL", b" n/a  "]
    others = [b"1", b"nano", b"0", b'""', b"\xff", b"\0", b"NA\0", b"x1NA", b"12345678NA", b"??"]
    assert Spelling().missing(*decoded(missing + others)).tolist() == [True] * 10 + [False] * 10
    assert [token for token in missing + others if is_missing(token)] == missing


# Characters of numbers, so that most tokens resemble one.
near_numbers = st.text("00112345678999.-+e", max_size=20).map(str.encode)
floats = st.floats(allow_nan=False, allow_infinity=False)
written_floats = st.one_of(
    st.builds(lambda x, n: f"{x:.{n}f}", st.floats(-1e6, 1e6), st.integers(0, 17)),
    st.builds(lambda x, n: f"{x:.{n}e}", floats, st.integers(0, 18)),
    st.builds(lambda x, n: f"{x:.{n}g}", floats, st.integers(1, 18)),
    floats.map(repr),
    st.integers(-(10**17), 10**17).map(str),
).map(str.encode)


@given(st.lists(st.one_of(near_numbers, written_floats), min_size=1, max_size=50))
def test_floats_equal_those_of_python(tokens: list[bytes]) -> None:
    assert_decoded_as_python_does(tokens)


@given(st.integers(0, 10**15), st.integers(0, 15), st.sampled_from(["", "-", "+"]))
def test_decimals_of_up_to_16_digits_are_rounded_once(n: int, places: int, sign: str) -> None:
    digits = str(n).zfill(places + 1)
    whole, decimals = digits[: len(digits) - places], digits[len(digits) - places :]
    assert_decoded_as_python_does([f"{sign}{whole}.{decimals}".encode()])


def test_decimals_halfway_between_two_float32_are_rounded_as_python_does() -> None:
    base = np.linspace(0.001, 100, 500, dtype=np.float32)
    halfway = (base.astype(np.float64) + np.nextafter(base, np.float32(1e9))) / 2
    assert_decoded_as_python_does([f"{x:.{n}f}".encode() for x in halfway for n in range(5, 20)])


@given(
    st.lists(
        st.one_of(st.integers(0, 2**33).map(lambda n: str(n).encode()), near_numbers),
        min_size=1,
        max_size=50,
    )
)
def test_integers_equal_those_of_python(tokens: list[bytes]) -> None:
    values, bad = decode_integers(*decoded(tokens))
    good = [token.isdigit() and int(token) < 2**32 for token in tokens]
    assert bad.tolist() == [i for i, each in enumerate(good) if not each]
    for i, token in enumerate(tokens):
        assert index_of(token) == (int(token) if good[i] else None)
        assert not good[i] or values[i] == int(token)


def test_an_integer_of_thousands_of_digits_is_bad_and_no_crash() -> None:
    _, bad = decode_integers(*decoded([b"9" * 10_000, b"0" * 10_000 + b"7"]))
    assert bad.tolist() == [0]
