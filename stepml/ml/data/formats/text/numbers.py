"""Decimal numbers in text → arrays, many tokens at a time and without a Python object per token.

A token's last eight characters are one unaligned 64-bit word, so whole columns of tokens are
checked and converted with a few dozen integer operations on ``uint64`` arrays (SIMD within a
register). Python's ``float`` converts the other tokens one by one: exponents, more than 16
characters, blanks, ``nan``, text.

The result equals ``numpy.float32(float(token))`` to the last bit: a mantissa of at most 2⁵³ divided
by a power of ten of at most 10²² is correctly rounded, as ``float`` is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from stepml.ml.data.formats.rows import shortened
from stepml.ml.data.formats.text.words import (
    BITS_A_BYTE,
    LONGEST,
    WORD,
    Flags,
    Positions,
    Text,
    Words,
    decode_word,
)

Floats32 = NDArray[np.float32]
Floats64 = NDArray[np.float64]

# Missing values, as common tools write them.
_MISSING = {
    *(b"", b"nan", b"+nan", b"-nan", b"na", b"<na>", b"n/a", b"#n/a", b"#n/a n/a", b"#na"),
    *(b"null", b"none", b"-1.#ind", b"-1.#qnan", b"1.#ind", b"1.#qnan", b"?", b"\\n"),
}
_BOOLEANS = {b"true", b"false"}

# These are recognised in bulk: a table may have more missing values than numbers.
_USUAL_MISSING = tuple(
    (len(token), np.uint64(int.from_bytes(token, "little")))
    for token in b"|?|na|NA|<NA>|nan|NaN|NAN|n/a|N/A|#N/A|null|NULL|none|None|\\N".split(b"|")
)

_LARGEST_EXACT = np.uint64(2**53)


_TEN_TO_8 = np.uint64(10**8)
_POWERS_OF_TEN = np.array([float(10**n) for n in range(LONGEST + 1)])


def decode_floats(text: Text, starts: Positions, ends: Positions) -> tuple[Floats32, Positions]:
    """Return the tokens' values as float32; see `decode_doubles`."""
    values, bad = decode_doubles(text, starts, ends)
    return to_singles(values), bad


def to_singles(values: Floats64) -> Floats32:
    """Return ``values`` as float32; values that are too large become infinite."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def decode_doubles(text: Text, starts: Positions, ends: Positions) -> tuple[Floats64, Positions]:
    """Return the tokens' values, and the tokens that are not finite float32 numbers.

    Parameters
    ----------
    text : Text
    starts, ends : arrays of shape (n_tokens,)
        Positions in ``text.characters``; a token is ``[start, end)``.

    Returns
    -------
    values : array of shape (n_tokens,)
        Each is a float64 whose float32 equals ``numpy.float32(float(token))``.
    bad : array
        Ascending indices of tokens that are empty, not numbers, NaN, infinite, or too large.
    """
    lengths = ends - starts
    longest = int(lengths.max(initial=0))
    values, exact = _one_word(text, ends, lengths)
    if longest > WORD:
        long = np.flatnonzero((lengths > WORD) & (lengths <= LONGEST))
        values[long], exact[long] = _two_words(text, ends[long], lengths[long])
    slow = np.flatnonzero(~exact)
    if len(slow):
        values[slow] = math.nan
        written = slow[~usually_missing(text, starts[slow], ends[slow])]
        values[written] = [number_of(text.token(*span)) for span in spans_of(starts, ends, written)]
    return values, slow[~np.isfinite(to_singles(values[slow]))]


def decode_integers(text: Text, starts: Positions, ends: Positions) -> tuple[Words, Positions]:
    """Return unsigned integers, and the tokens that are not integers below 2³².

    Parameters and the second result are those of `decode_floats`.
    """
    lengths = ends - starts
    digits = decode_word(text.words[ends - WORD], np.minimum(lengths, WORD))
    values = digits.mantissas
    good = digits.valid & ~(digits.signed | digits.dotted) & (lengths <= WORD)
    slow = np.flatnonzero(~good)
    for index, (start, end) in zip(slow, spans_of(starts, ends, slow), strict=True):
        value = index_of(text.token(start, end))
        if value is not None:
            values[index] = value
            good[index] = True
    return values, slow[~good[slow]]


def index_of(token: bytes) -> int | None:
    """Return the value of an unsigned integer below 2³², or None for any other token."""
    digits = token.lstrip(b"0") or token[-1:]
    if len(digits) > 10 or not token.isdigit() or int(digits) >= 2**32:
        return None
    return int(digits)


def is_missing(token: bytes) -> bool:
    """Return whether ``token`` is a missing value, as common tools write it."""
    return token.strip().lower() in _MISSING


def missing_spellings() -> list[str]:
    """Return the usual words for missing values, in the spellings that are recognised in bulk."""
    words = {each.decode() for each in _MISSING}
    return sorted({*words, *map(str.upper, words), *map(str.capitalize, words), "NaN"})


def is_text(token: bytes) -> bool:
    """Return whether ``token`` is neither a number nor a missing value."""
    return not is_missing(token) and math.isnan(number_of(token))


def missing_problem(token: bytes) -> str:
    """Return the reason why ``token``, a missing value, is bad."""
    shown = shortened(token, 40)
    return f"is {shown!r}, a missing value" if token.strip() else "is empty, a missing value"


def number_problem(token: bytes, written: bytes | None = None) -> str | None:
    """Return the reason why ``token`` is bad for `decode_floats`, or None.

    ``written`` is the token as the data have it, if that differs.
    """
    shown = shortened(token if written is None else written, 40)
    if is_missing(token):
        return missing_problem(token)
    if b'"' in token:
        return f"is {shown!r}: quoted fields are not supported"
    value = number_of(token)
    if math.isnan(value):
        is_boolean = token.strip().lower() in _BOOLEANS
        return f"is {shown!r}, {'a boolean, ' if is_boolean else ''}not a number"
    if math.isinf(value):
        return f"is {shown!r}, not a finite number"
    with np.errstate(over="ignore"):
        fits = np.isfinite(np.float32(value))
    return None if fits else f"is {shown!r}, too large for float32"


def spans_of(starts: Positions, ends: Positions, chosen: Positions) -> Iterator[tuple[int, int]]:
    """Return the start and the end of each of the ``chosen`` tokens."""
    return zip(starts[chosen].tolist(), ends[chosen].tolist(), strict=True)


def usually_missing(text: Text, starts: Positions, ends: Positions) -> Flags:
    """Flag tokens that are the most usual words for missing values."""
    lengths = ends - starts
    words = (
        text.words[ends - WORD]
        >> (WORD - np.minimum(lengths, WORD)).astype(np.uint64) * BITS_A_BYTE
    )
    missing = np.zeros(len(words), np.bool_)
    for length, word in _USUAL_MISSING:
        missing |= (lengths == length) & (words == word)
    return missing


def number_of(token: bytes) -> float:
    """Return the value of a token, or NaN if it is no number."""
    if b"_" in token:  # Python allows 1_000, data files do not
        return math.nan
    try:
        return float(token)
    except ValueError:
        return math.nan


def _one_word(text: Text, ends: Positions, lengths: Positions) -> tuple[Floats64, Flags]:
    digits = decode_word(text.words[ends - WORD], np.minimum(lengths, WORD))
    values = digits.mantissas.astype(np.float64)
    if digits.dotted.any():
        values /= _POWERS_OF_TEN[digits.decimals]
    np.negative(values, out=values, where=digits.negative)
    return values, digits.valid & (lengths <= WORD)


def _two_words(text: Text, ends: Positions, lengths: Positions) -> tuple[Floats64, Flags]:
    tail = decode_word(text.words[ends - WORD], np.full_like(lengths, WORD))
    head = decode_word(text.words[ends - 2 * WORD], lengths - WORD, alone=False)
    tail_scale = np.where(tail.dotted, _TEN_TO_8 // np.uint64(10), _TEN_TO_8)
    mantissas = head.mantissas * tail_scale + tail.mantissas
    decimals = np.where(head.dotted, head.decimals + WORD, tail.decimals)
    values = mantissas.astype(np.float64)
    values /= _POWERS_OF_TEN[decimals]
    np.negative(values, out=values, where=head.negative)
    exact = head.valid & tail.valid & ~tail.signed & ~(head.dotted & tail.dotted)
    return values, exact & (mantissas <= _LARGEST_EXACT)
