"""Items of tables as a local AWS that lasts writes them."""

from __future__ import annotations

from typing import Any

import pytest

from stepml.local.keeping.kept_items import _BYTES, _read, _written


@pytest.mark.parametrize(
    "item",
    [
        {"b": {"B": b"\0\xff"}, "set": {"BS": [b"", b"1"]}, "list": {"L": [{"B": b"x"}]}},
        {_BYTES: {"S": "x"}, "map": {"M": {_BYTES: {"B": b"x"}}}},
        {"n": {"N": "1e100"}, "null": {"NULL": True}, "text": {"S": "\ud800 é"}},
    ],
)
def test_an_item_is_read_as_it_was(item: dict[str, Any]) -> None:
    assert _read(_written(item)) == item
