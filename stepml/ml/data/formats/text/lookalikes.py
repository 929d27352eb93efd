"""Cells of text that look like something else: numbers, dates, comments."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from stepml.job.errors import InvalidDataError
from stepml.ml.data.formats.rows import shortened
from stepml.ml.data.formats.text.first_lines import FirstLines
from stepml.ml.data.objects import DataObject

_COMMENTS = ("#", "/", "%")
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
_GROUPED = {
    mark: re.compile(rf"[-+]?\d{{1,3}}({re.escape(mark)}\d{{3}})+([.,]\d*)?")
    for mark in (",", ".", "'", " ", "_")
}
_WITH_UNIT = re.compile(r"\(?[-+]?[$€£¥]?\s*[-+]?\d[\d.,']*\s*[%$€£¥]?\)?")
_DATE = re.compile(r"\d{1,2}([./-])\d{1,2}\1(\d{4}|\d\d)( \d{1,2}:\d\d.*)?")


def comment_hint(first: FirstLines) -> str:
    """Return a hint at a first line that is no row and no header, or ""."""
    mark = first.lines[0].lstrip()[:1].decode("latin-1")
    if len(first.lines) < 2 or mark not in _COMMENTS:
        return ""
    return f"; it seems to be a comment: set data.comment to {mark!r}"


def refuse_lookalikes(data: DataObject, title: str, name: str, cells: Sequence[str]) -> None:
    """Refuse a column of text whose cells look like numbers or dates.

    Taken for levels, each of them would be a feature of its own.

    Parameters
    ----------
    data : DataObject
    title, name : str
        Of the column.
    cells : sequence of str
        At least one is no number; none is missing.

    Raises
    ------
    InvalidDataError
        The message has the field that decides how to read them.
    """
    found = _seeming(cells)
    if found is None:
        return
    what, cure = found
    shown = next(each for each in cells if not each.isdecimal())
    setting = json.dumps({name or "*": "category"})
    raise InvalidDataError(
        f"s3 object {data.key}: {title} seems to have {what}, such as "
        f"{shortened(shown.encode(), 40)!r}: {cure}; with data.columns.types {setting} they are "
        "levels"
    )


def _seeming(cells: Sequence[str]) -> tuple[str, str] | None:
    """Return what cells seem to be, and the cure; None: text."""

    def match(*patterns: re.Pattern[str]) -> bool:
        return all(any(each.fullmatch(cell) for each in patterns) for cell in cells)

    digits = re.compile(r"[-+]?\d+(\.\d*)?")
    for mark, grouped in _GROUPED.items():
        if match(grouped, digits):
            return "thousands", f"set data.thousands to {mark!r}"
    if match(_DECIMAL_COMMA, digits):
        return "decimal commas", "set data.decimal to ','"
    if match(_DATE):
        return "dates", "write them as in 2020-12-31"
    if match(_WITH_UNIT):
        return "numbers with units", "write them without units"
    return None
