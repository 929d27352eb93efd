"""Mistakes of the console's server are lines, with tracebacks only for those who ask."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from stepml.console.log_lines import TRACEBACK_VARIABLE, log_as_lines


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    root, own = logging.getLogger(), logging.getLogger("stepml.console")
    handlers, level = root.handlers[:], own.level
    yield
    root.handlers[:] = handlers
    own.setLevel(level)


def fail() -> None:
    try:
        int("first\nsecond")
    except ValueError:
        logging.getLogger("uvicorn.error").exception("Exception in %s", "the application")


def test_a_mistake_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TRACEBACK_VARIABLE, raising=False)
    log_as_lines()
    fail()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("uvicorn.error: Exception in the application: ValueError: invalid lit")


def test_the_end_of_open_tabs_is_no_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    log_as_lines()
    logging.getLogger("uvicorn.error").error(
        "Cancel %s running task(s), timeout graceful shutdown exceeded", 3
    )
    assert capsys.readouterr().err == ""


def test_who_asks_gets_the_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TRACEBACK_VARIABLE, "1")
    log_as_lines()
    fail()
    assert "Traceback (most recent call last)" in capsys.readouterr().err
