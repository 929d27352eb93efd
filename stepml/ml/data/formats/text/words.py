"""Text as 64-bit words, and the digits of numbers in them (SIMD within a register)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Words = NDArray[np.uint64]
Positions = NDArray[np.intp]
Flags = NDArray[np.bool_]

# Zeros before the text, so that the two words that end at the first token are in the buffer.
_MARGIN = 16
WORD = 8
LONGEST = 2 * WORD


def _every_byte(value: int) -> np.uint64:
    return np.uint64(value * 0x0101010101010101)


_ONES = _every_byte(0x01)
_HIGH_BITS = _every_byte(0x80)
_ZERO_DIGITS = _every_byte(ord("0"))
_DOTS = _every_byte(ord(".") ^ ord("0"))
_ABOVE_NINE = _every_byte(0x7F - 9)  # a byte of more than 9 plus this has its high bit set
_MINUS = np.uint64(ord("-") ^ ord("0"))
_PLUS = np.uint64(ord("+") ^ ord("0"))
_BYTE = np.uint64(0xFF)
_U0, _U1, _U3, _U7, _U16, _U32 = (np.uint64(n) for n in (0, 1, 3, 7, 16, 32))
BITS_A_BYTE = np.uint64(8)
# Adjacent digits, pairs and quadruples are joined by one multiplication each.
_JOINS = (
    (_every_byte(0x0F), np.uint64(10 * 2**8 + 1), BITS_A_BYTE),
    (np.uint64(0x00FF00FF00FF00FF), np.uint64(100 * 2**16 + 1), _U16),
    (np.uint64(0x0000FFFF0000FFFF), np.uint64(10_000 * 2**32 + 1), _U32),
)
# By the place of the dot's byte in the word (8: no dot): digits behind it.
_DECIMALS_BY_PLACE = np.array([7, 6, 5, 4, 3, 2, 1, 0, 0], dtype=np.intp)


@dataclass(frozen=True, slots=True)
class Text:
    """A block of text whose characters can be read eight at a time."""

    characters: Bytes  # _MARGIN zeros, then the text
    words: Words  # words[i] holds characters[i : i + 8], the first in the lowest byte

    @classmethod
    def of(cls, text: bytes) -> Text:
        """Return ``text`` with its words; positions in it start at `Text.margin`."""
        characters = np.frombuffer(b"\0" * _MARGIN + text, np.uint8)
        unaligned = np.ndarray((len(characters) - WORD + 1,), "<u8", characters, 0, (1,))
        return cls(characters, unaligned.astype(np.uint64))

    @property
    def margin(self) -> int:
        """The position of the first character of the text."""
        return _MARGIN

    def token(self, start: int, end: int) -> bytes:
        """Return the characters from ``start`` up to ``end``."""
        return self.characters[start:end].tobytes()


@dataclass(frozen=True, slots=True)
class Digits:
    """The digits of tokens."""

    mantissas: Words  # the digits as one integer, without the dot
    dotted: Flags  # the token has a dot
    decimals: Positions  # digits behind the dot
    signed: Flags  # the token starts with + or -
    negative: Flags
    valid: Flags  # at least one digit; besides, at most a sign in front and a dot


def decode_word(words: Words, lengths: Positions, *, alone: bool = True) -> Digits:
    """Read the last ``lengths`` characters of each word; overwrites ``words``."""
    unused = (WORD - lengths).astype(np.uint64) << _U3  # bits in front of the token
    x = np.bitwise_xor(words, _ZERO_DIGITS, out=words)
    first = (x >> unused) & _BYTE
    negative = first == _MINUS
    signed = negative | (first == _PLUS)
    unused += signed * BITS_A_BYTE
    x >>= unused  # a shift by 64 gives 0 in NumPy, so an empty token has no digits
    x <<= unused
    dot = _lowest_zero_byte(x ^ _DOTS)
    dotted = dot != _U0
    decimals = _close_gaps(x, dot) if dotted.any() else np.zeros_like(lengths)
    valid = ((x + _ABOVE_NINE) | x) & _HIGH_BITS == _U0
    if alone:
        valid &= lengths > signed.astype(np.intp) + dotted
    return Digits(_join(x), dotted, decimals, signed, negative, valid)


def _close_gaps(x: Words, dot: Words) -> Positions:
    """Move the digits before each dot over the dot, in place; count the digits behind it."""
    before_dot = (dot >> _U7) - _U1  # all ones when there is no dot
    behind_dot = ~((dot << _U1) - _U1)  # none when there is no dot
    places = np.bitwise_count(before_dot) >> 3
    moved = (x & before_dot) << BITS_A_BYTE
    np.copyto(x, (x & behind_dot) | moved, where=dot != _U0)
    decimals: Positions = _DECIMALS_BY_PLACE[places]
    return decimals


def _lowest_zero_byte(x: Words) -> Words:
    # The borrow gives wrong results above the lowest zero byte, so only the lowest bit counts.
    found = x - _ONES
    found &= ~x
    found &= _HIGH_BITS
    found &= ~found + _U1
    return found


def _join(x: Words) -> Words:
    for mask, factor, shift in _JOINS:
        x &= mask
        x *= factor
        x >>= shift
    return x
