"""Names the reason why no row of a table can be read: text columns, decimal commas, a comment.

Without it, the first bad row would be named, and seem to be the only one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from stepml.job.errors import BadRowError
from stepml.ml.data.formats.rows import shortened
from stepml.ml.data.formats.text.first_lines import FirstLines
from stepml.ml.data.formats.text.headers import Cells
from stepml.ml.data.formats.text.numbers import is_missing, is_text
from stepml.ml.data.layout import Layout

_LEAST_ROWS = 2  # to say that a column is text
_MOST_NAMED = 5
_COMMENTS = ("#", "/", "%")
_BOOLEANS = frozenset({"true", "false"})
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?")


def require_numbers(first: FirstLines, layout: Layout) -> None:
    """Raise `BadRowError` if a column is text in all of the first rows.

    If bad rows are skipped, and there are more rows, these may be good.
    """
    table = first.table()
    is_whole = first.is_all and len(table) == sum(map(bool, first.lines))
    if layout.on_bad_row == "skip" and not is_whole:
        return
    rows = [row for row in table[int(layout.header) :] if len(row) == layout.n_columns]
    found = {
        column: cells
        for column in range(layout.n_columns)
        if column not in (layout.label_column, *layout.ignored)  # which may be text
        and (cells := [row[column] for row in rows if not is_missing(row[column].encode())])
        and all(is_text(cell.encode()) for cell in cells)
    }
    if found and len(rows) >= _LEAST_ROWS:
        where = f"{'all' if is_whole else 'the first'} {len(rows)} rows"
        raise BadRowError(_message(first, layout, found, where))


def comment_hint(first: FirstLines) -> str:
    """Return a hint at a first line that is no row and no header, or ""."""
    mark = first.lines[0].lstrip()[:1].decode("latin-1")
    if len(first.lines) < 2 or mark not in _COMMENTS:
        return ""
    return f"; it seems to be a comment: set data.comment to {mark!r}"


def _message(first: FirstLines, layout: Layout, found: Mapping[int, Cells], rows: str) -> str:
    column, cells = next(iter(found.items()))
    others = [layout.column_title(each) for each in list(found)[1:]]
    more = f"; so {'is' if len(others) == 1 else 'are'} {_listed(others)}" if others else ""
    return (
        f"s3 object {first.data.key}: {layout.column_title(column)} is text in {rows}, such as "
        f"{shortened(cells[0].encode(), 40)!r}{more}{_cure(cells)}"
    )


def _listed(titles: Sequence[str]) -> str:
    more = ", …" if len(titles) > _MOST_NAMED else ""
    return f"{', '.join(titles[:_MOST_NAMED])}{more}"


def _cure(cells: Cells) -> str:
    if all(cell.lower() in _BOOLEANS for cell in cells):
        return "; write booleans as 1 and 0"
    if all(_THOUSANDS.fullmatch(cell) for cell in cells):
        return "; set data.thousands to ','"
    if all(_DECIMAL_COMMA.fullmatch(cell) for cell in cells):
        return "; set data.decimal to ','"
    return "; columns have to be numbers: remove it, or write numbers for its values"
