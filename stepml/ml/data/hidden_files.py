"""Files that lie below a prefix and hold no rows: markers, checksums, explanations.

Names that begin with ``_`` or ``.`` are hidden, as for Hadoop and Spark, which write such files
beside the data. So are all files in a folder of such a name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_MOST_NAMED = 3
_OTHERS = re.compile(
    r"((readme|licen[cs]e|copying|changelog)(\.(md|txt|rst|html?))?|thumbs\.db|desktop\.ini)",
    re.IGNORECASE,
)


def is_hidden(name: str) -> bool:
    """Return whether a file is no part of a data set.

    Parameters
    ----------
    name : str
        Relative to the folder of the data set.
    """
    *folders, last = name.split("/")
    return any(map(_has_hidden_name, folders)) or _has_hidden_name(last) or _is_other(last)


def note_on_hidden(names: Sequence[str]) -> list[str]:
    """Return a note on the files that are left out, if there are any."""
    if not names:
        return []
    more = ", …" if len(names) > _MOST_NAMED else ""
    return [
        f"left out, as their names are those of hidden or explaining files: {len(names):,} "
        f"({', '.join(names[:_MOST_NAMED])}{more})"
    ]


def _has_hidden_name(name: str) -> bool:
    # A folder such as _month=2 is a column.
    return name.startswith(".") or (name.startswith("_") and "=" not in name)


def _is_other(name: str) -> bool:
    return _OTHERS.fullmatch(name) is not None
