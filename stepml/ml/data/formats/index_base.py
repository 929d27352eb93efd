"""Whether the indices of pairs count from 0 or from 1, judged by the first rows."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stepml.ml.data.formats.text.plain_text import PlainText

# Most rows with the first feature show it at once; in text, it may be rare.
_LOOKS_BYTES = (64 * 2**10, 8 * 2**20)
_MOST_OBJECTS = 8


def counts_from_zero(texts: Sequence[PlainText], n_features: int | None) -> bool:
    """Return whether one of the first rows, in 8 MB at most, has index 0.

    ``n_features`` as an index shows at once that indices count from 1.
    """
    for n_bytes in _LOOKS_BYTES:
        left = n_bytes
        for each in texts[:_MOST_OBJECTS]:
            text = each.start(left)[0][:left]
            if _has_index(text, rb"0+"):
                return True
            if n_features is not None and _has_index(text, b"%d" % n_features):
                return False
            left -= len(text)
            if left <= 0:
                break
    return False


def _has_index(text: bytes, index: bytes) -> bool:
    found = re.finditer(rb"[ \t]" + index + b":", text)
    return any(not _is_in_comment(text, each.start()) for each in found)


def _is_in_comment(text: bytes, at: int) -> bool:
    return b"#" in text[text.rfind(b"\n", 0, at) + 1 : at]
