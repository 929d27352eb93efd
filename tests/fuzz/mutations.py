"""Mutations of valid bytes: what damage, other programs and people make of a file."""

from __future__ import annotations

import os
from collections.abc import Sequence

from hypothesis import settings
from hypothesis import strategies as st

# Few in `make test`, many in `make fuzz`.
fuzzed = settings(max_examples=int(os.environ.get("STEPML_FUZZ_EXAMPLES", "60")), deadline=None)

WORDS = (
    *(b"", b" ", b"\t", b",", b";", b":", b"#", b"-", b"+", b".", b"\n", b"\r\n", b"\r", b"\x00"),
    *(b'"', b'""', b"'", b"nan", b"NA", b"null", b"inf", b"-0", b"1e999", b"1e-999", b"0x10"),
    *(b"1_000", b"1,5", b"0.1", b"16777217", b"99999999999999999999", b"True", b"yes"),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\xff", b"\xc3\xa9", b"{", b"}", b"[", b"]", b"[" * 2000),
)


@st.composite
def mutated(draw: st.DrawFn, originals: Sequence[bytes], most: int = 4) -> bytes:
    """Draw one of ``originals`` after up to ``most`` mutations."""
    data = draw(st.sampled_from(originals))
    for _ in range(draw(st.integers(0, most))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.sampled_from((0, 0, 1, 1, 2, 8, 64, 10**6))))
        part = data[start:stop]
        new = draw(
            st.sampled_from(WORDS)
            | st.binary(max_size=4)
            | st.just(part + part)
            | st.just(bytes(byte ^ 0x20 for byte in part))
        )
        data = data[:start] + new + data[stop:]
    return data
