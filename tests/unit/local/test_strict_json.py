"""JSON as AWS reads it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepml.local.strict_json import MAX_NESTING, DataError, nesting, strict_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
)  # fmt: skip


@given(VALUES)
def test_every_json_value_is_read(value: object) -> None:
    for is_ascii in (True, False):
        assert strict_json(json.dumps(value, ensure_ascii=is_ascii)) == value


def depth(value: object) -> int:
    inner = (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    )
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


@given(VALUES)
def test_brackets_in_strings_are_no_nesting(value: object) -> None:
    assert nesting(json.dumps(value)) == depth(value)


@pytest.mark.parametrize(
    "text", ["NaN", "[-Infinity]", "1e999", r'"\ud800"', "", "{", "1 2", "'a'"]
)
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(DataError):
        strict_json(text)


def test_nesting_is_limited() -> None:
    deepest = "[" * MAX_NESTING + "]" * MAX_NESTING
    with pytest.raises(DataError, match="1001 levels of nesting; the maximum is 1000"):
        strict_json(f"[{deepest}]")
    with pytest.raises(DataError, match="200000 levels"):
        strict_json('{"a":' * 200_000)
