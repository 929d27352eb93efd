"""NiceGUI's elements are made without looking at the same methods again and again."""

from __future__ import annotations

import inspect
from types import FunctionType
from typing import Any

import pytest
from nicegui import helpers
from nicegui.helpers import functions

from stepml.console.widgets import quick


class Handlers:
    def without(self) -> None: ...

    def with_one(self, event: object) -> None: ...


def test_methods_are_looked_at_once_and_functions_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[Any] = []

    def counted(func: FunctionType) -> inspect.Signature:
        looks.append(func)
        return inspect.signature(func)

    monkeypatch.setattr(functions, "signature", counted)
    monkeypatch.setattr(helpers, "expects_arguments", functions.expects_arguments)
    quick.remember_methods()

    for _ in range(3):
        assert helpers.expects_arguments(Handlers().with_one)
        assert not helpers.expects_arguments(Handlers().without)
        assert helpers.expects_arguments(lambda event: event)

    assert len(looks) == 2 + 3
