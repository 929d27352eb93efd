"""The reader of numbers and pyarrow give the same rows of text that both can read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stepml.ml.data import ByteRange, SourceFormat, sniff
from stepml.ml.data.formats import FORMATS
from stepml.ml.data.formats.base import RowSource
from stepml.ml.data.formats.rows import DenseRows
from stepml.ml.data.layout import Layout
from tests.support.data_sets import MemoryObjects, described

HEADER = "a,b,c,y\n"
# Spellings of numbers, of missing values, and of cells that are neither.
SPELLINGS = """0|-0|+1|007|.5|5.|-.5e-3|1e5|1E+05|1e-46|16777217|0.30000001|123456789012345678|1e39|
1e400|inf|-Infinity|nan|NaN|NA|N/A|null|None|?|<NA>|#N/A| 1|2 |  |x|1_000|0x10|1d5|
--1|1.2.3|1,|1e|e1|-nan(ind)|NaN(1)|٣|3.4028235e38|3.4028236e38|1.17549e-38|4.9e-324|
0.1000000000000000055511151231257827|99999999.99999999
""".replace("\n", "").split("|")
CELLS = st.sampled_from([each for each in SPELLINGS if "," not in each]) | st.floats(
    allow_nan=False, allow_infinity=False
).map(repr)
ROWS = st.lists(st.lists(CELLS, min_size=4, max_size=4), min_size=1, max_size=8)


def rows_of(store: MemoryObjects, layout: Layout) -> tuple[list[DenseRows], RowSource]:
    objects = described(store)
    source = FORMATS["csv"].open_rows(store, objects, layout, 2**20)
    found = list(source.read(ByteRange(0, 0, objects[0].value_bytes)))
    return [each for each in found if isinstance(each, DenseRows)], source


def joined(rows: Sequence[DenseRows], name: str) -> bytes:
    return b"".join(np.ascontiguousarray(getattr(each, name)).tobytes() for each in rows)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.sampled_from(["fail", "keep"]))
@example([[each, each, "1", "0"] for each in SPELLINGS if "," not in each], "keep")
@example([["1", "2", "3", each] for each in SPELLINGS if "," not in each], "fail")
@example([["\r1", "2", "3", "0"], ["1", "2\r3", "3", "0"], ["1", "2", "3", "0\r"]], "keep")
def test_both_readers_give_the_same_bits(rows: list[list[str]], missing: str) -> None:
    text = HEADER + "1,2,3,0\n" + "".join(",".join(row) + "\n" for row in rows)
    store = MemoryObjects(x=text.encode())
    good = MemoryObjects(x=(HEADER + "1,2,3,0\n").encode())
    source = SourceFormat("csv", missing=missing, on_bad_row="skip")
    layout = replace(sniff(good, described(good), source), fine=(1,))
    numbers, own = rows_of(store, layout)
    general, other = rows_of(store, replace(layout, is_general=True))
    for name in ("offsets", "X", "y", "remainders"):
        assert joined(numbers, name) == joined(general, name), name
    assert sum(each.n_missing for each in numbers) == sum(each.n_missing for each in general)
    assert own.skipped.count == other.skipped.count
    assert sum(len(each.y) for each in numbers) + own.skipped.count == len(rows) + 1
