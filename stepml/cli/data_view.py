"""A job's understanding of data, in lines for people: `stepml data show`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stepml.cli.figures import count, shortened
from stepml.cli.folding import COLUMNS, folded
from stepml.client.data_views import (
    DataView,
    column_names,
    label_words,
    left_out,
    remarks,
    summary,
    values_in_words,
    weight_words,
)
from stepml.job.printable import printable

_MOST_COLUMNS = 40  # in the list of columns
_WIDEST_CELL = 24
_WIDEST_NAME = 28


def lines_of(view: DataView) -> Iterator[str]:
    """Yield the view in lines for people, of at most 80 columns."""
    yield from folded(f"{view.place.title}: {', '.join(summary(view))}")
    yield from folded(label_words(view))
    if weight := weight_words(view):
        yield from folded(weight)
    if view.columns:
        yield ""
        yield from _table_of_columns(view)
    if view.first:
        yield ""
        yield from _table_of_rows(view)
    if said := remarks(view):
        yield ""
        for each in said:
            yield from folded(each)


def _table_of_columns(view: DataView) -> Iterator[str]:
    some = view.columns[:_MOST_COLUMNS]
    width = min(max(len(each.name) for each in [*some]) or 1, _WIDEST_NAME)
    yield f"{'#':>5}  {'column':<{max(width, 6)}}  {'type':<8}  {'missing':>7}  values"
    for each in some:
        name = shortened(printable(each.name), _WIDEST_NAME)
        missing = f"{each.missing:,}" if each.missing else "–"
        start = f"{each.column + 1:>5}  {name:<{max(width, 6)}}  {each.kind:<8}  {missing:>7}  "
        yield start + shortened(values_in_words(each), max(COLUMNS - len(start), 10))
    if more := len(view.columns) - len(some):
        yield f"{'…':>5}  {count(more, 'more column')}"
    if dropped := left_out(view):
        yield from folded(f"left out: {', '.join(map(printable, dropped))}")


def _table_of_rows(view: DataView) -> Iterator[str]:
    """Yield the first rows as a table; columns that do not fit into 80 characters are counted."""
    names = column_names(view)
    lines = [names, *view.first] if names else view.first
    cells = [[shortened(printable(cell), _WIDEST_CELL) for cell in line] for line in lines]
    n_shown, widths = _fitting(cells)
    for line in cells:
        texts = (f"{text:>{width}}" for text, width in zip(line, widths, strict=False))
        more = "  …" if len(line) > n_shown else ""
        yield f"  {'  '.join(texts)}{more}"
    if len(names) > n_shown:
        yield f"  (and {count(len(names) - n_shown, 'more column')})"


def _fitting(cells: Sequence[Sequence[str]]) -> tuple[int, list[int]]:
    """Return the number of first columns that fit into a line, and their widths."""
    widths: list[int] = []
    left = COLUMNS - len("    …")
    for place in range(max(map(len, cells))):
        width = max(len(line[place]) for line in cells if place < len(line))
        if widths and left < width + 2:
            break
        widths.append(width)
        left -= width + 2
    return len(widths), widths
