"""Fields of forms: a mistake in a text has its line."""

from __future__ import annotations

import pytest

from stepml.console.widgets.field import line_of


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{\n  "data": {},\n  "workerz": 4\n}', 3),
        ('{"workerz": 4}', 1),
        ('{"data": {}, "workerz": 4}', 1),
        ("data: {}\nworkerz: 4", 2),
        ("a = 1\n'workerz' = 4", 2),
        ('{"a": "workerz: 1"}', None),
        ("workerzz: 1", None),
        ("", None),
    ],
)
def test_the_line_of_a_field_is_that_where_it_is_given(text: str, line: int | None) -> None:
    assert line_of("workerz", text) == line


def test_nothing_is_in_no_line() -> None:
    assert line_of("", ": 1") is None
