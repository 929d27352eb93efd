"""Cells of text that look like numbers or dates, written in another way."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from stepml.job.errors import InvalidDataError
from stepml.ml.data.formats.rows import shortened
from stepml.ml.data.formats.text.numbers import is_text
from stepml.ml.data.objects import DataObject

NUMBERS = "numbers"
_BLANKS = " \u00a0\u202f"
# The first that all cells match is the cure.
_NUMBERS = {
    "set data.thousands to ',', or data.decimal if it is that": (
        r"[-+]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?"  # 0,512 has no thousands
    ),
    "set data.decimal to ','": r"[-+]?\d*,\d+",
    "set data.decimal to ',' and data.thousands to '.'": r"[-+]?\d{1,3}(\.\d{3})*(,\d+)?",
    "set data.thousands to ' '": rf"[-+]?\d{{1,3}}([{_BLANKS}]\d{{3}})+(\.\d*)?",
    "set data.decimal to ',' and data.thousands to ' '": (
        rf"[-+]?\d{{1,3}}([{_BLANKS}]\d{{3}})*(,\d+)?"
    ),
    'set data.thousands to "\'"': r"[-+]?\d{1,3}(['\u2019]\d{3})*(\.\d*)?",
    "write them without units": r"\(?[-+]?[$€£¥]?\s*[-+]?\d[\d.,']*\s*[%$€£¥]?\)?",
}
_DATE = re.compile(r"\d{1,2}([./-])\d{1,2}\1(\d{4}|\d\d)( \d{1,2}:\d\d.*)?")


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
    found = seeming(cells)
    if found is None:
        return
    what, cure = found
    shown = next(each for each in cells if is_text(each.encode()))
    setting = json.dumps({name or "*": "category"})
    raise InvalidDataError(
        f"s3 object {data.key}: {title} seems to have {what}, such as "
        f"{shortened(shown.encode(), 40)!r}: {cure}; data.columns.types {setting} makes them "
        "levels"
    )


def seeming(cells: Sequence[str]) -> tuple[str, str] | None:
    """Return the kind that cells seem to have, and the cure; None: text."""
    if all(map(_DATE.fullmatch, cells)):
        return "dates", "write them as in 2020-12-31"
    words = [each for each in cells if is_text(each.encode())]
    for cure, form in _NUMBERS.items():
        if all(re.fullmatch(form, each) for each in words):
            return NUMBERS, cure
    return None
