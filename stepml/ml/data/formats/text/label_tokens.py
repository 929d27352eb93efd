"""Labels that are no numbers, in text: tokens → codes, many at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from stepml.ml.class_names import label_name, not_of_kind
from stepml.ml.data.formats.rows import shortened
from stepml.ml.data.formats.text.numbers import Floats64, missing_problem
from stepml.ml.data.formats.text.spelling import Spelling
from stepml.ml.data.formats.text.words import LONGEST, WORD, Positions, Text, Words
from stepml.ml.data.labels import MAX_LABELS, LabelCodes

_FACTORS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))
_BYTE_BITS = np.uint64(8)


class LabelTokens:
    """Numbers labels; those that are known, and have at most 16 characters, without Python objects.

    Parameters
    ----------
    codes : LabelCodes
    spelling : Spelling
    """

    def __init__(self, codes: LabelCodes, spelling: Spelling) -> None:
        self._codes = codes
        self._spelling = spelling
        self._by_token: dict[bytes, float] = {}
        self._known = _Known()

    def codes(self, text: Text, starts: Positions, ends: Positions) -> Floats64:
        """Return the code of each token; NaN if it is missing, or not of the labels' kind."""
        words = _Words.of(text, ends, ends - starts)
        codes = self._known.codes_of(words)
        others = np.flatnonzero(np.isnan(codes))
        if len(others):
            spans = zip(starts[others].tolist(), ends[others].tolist(), strict=True)
            before = len(self._by_token)
            codes[others] = [self._code(text.token(*span)) for span in spans]
            if len(self._by_token) > before:
                self._known = _Known.of(self._by_token)
        return codes

    def _code(self, token: bytes) -> float:
        known = self._by_token.get(token)
        if known is not None:
            return known
        label = None if self._spelling.is_missing_text(token) else label_of(token)
        code = float(self._codes.codes([label])[0])
        if len(self._by_token) < MAX_LABELS and not math.isnan(code):
            self._by_token[token] = code
        return code


def label_of(token: bytes) -> str | None:
    """Return the text of a label, or None if it is quoted, or not UTF-8."""
    if b'"' in token:
        return None
    try:
        return token.decode()
    except UnicodeDecodeError:
        return None


def label_problem(token: bytes, kind: str, spelling: Spelling) -> str | None:
    """Return the reason why ``token`` is no label of a kind that is no number, or None."""
    if spelling.is_missing_text(token):
        return missing_problem(token)
    shown = shortened(token, 40)
    if b'"' in token:
        return f"is {shown!r}: quoted fields are not supported"
    label = label_of(token)
    if label is None:
        return f"is {shown!r}, not UTF-8"
    return None if label_name(label, kind) else f"is {shown!r}, {not_of_kind(kind)}"


@dataclass(frozen=True, slots=True)
class _Words:
    """The last sixteen characters of tokens, as two integers, and their lengths."""

    tails: Words
    heads: Words
    lengths: Positions

    @classmethod
    def of(cls, text: Text, ends: Positions, lengths: Positions) -> Self:
        return cls(
            _last(text.words[ends - WORD], lengths),
            _last(text.words[ends - LONGEST], lengths - WORD),
            lengths,
        )

    @property
    def keys(self) -> Words:
        """A number that is equal for equal tokens, and rarely for others."""
        keys: Words = self.tails * _FACTORS[0] ^ self.heads * _FACTORS[1]
        return keys ^ self.lengths.astype(np.uint64)


def _last(words: Words, lengths: Positions) -> Words:
    # A shift by 64 gives 0 in NumPy.
    unused = (WORD - np.clip(lengths, 0, WORD)).astype(np.uint64)
    shifted: Words = words >> unused * _BYTE_BITS
    return shifted


@dataclass(frozen=True, slots=True)
class _Known:
    """Tokens with a code, by their keys."""

    keys: Words = field(default_factory=lambda: np.zeros(0, np.uint64))
    words: _Words | None = None
    codes: Floats64 = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def of(cls, by_token: dict[bytes, float]) -> Self:
        short = {token: code for token, code in by_token.items() if len(token) <= LONGEST}
        if not short:
            return cls()
        tokens = b"".join(short)
        lengths = np.array([len(token) for token in short])
        words = _Words.of(text := Text.of(tokens), text.margin + np.cumsum(lengths), lengths)
        order = np.argsort(words.keys, kind="stable")
        words = _Words(words.tails[order], words.heads[order], lengths[order])
        return cls(words.keys, words, np.array(list(short.values()))[order])

    def codes_of(self, words: _Words) -> Floats64:
        if self.words is None:
            return np.full(len(words.lengths), np.nan)
        places = np.minimum(np.searchsorted(self.keys, words.keys), len(self.keys) - 1)
        known = self.words
        same = (known.tails[places] == words.tails) & (known.heads[places] == words.heads)
        same &= known.lengths[places] == words.lengths
        return np.where(same, self.codes[places], np.nan)
