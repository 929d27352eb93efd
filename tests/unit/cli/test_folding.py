"""Long lines on a terminal, and elsewhere."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from stepml.cli.folding import folded
from stepml.cli.output import Output

LONG = "BadRowError: " + "the label is text in all of the rows; " * 6 + "end"


class Terminal(io.StringIO):
    """A terminal whose width nobody knows."""

    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch, columns: str | None = None) -> Terminal:
    """Give stderr a terminal; pytest changes it after fixtures."""
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    found = Terminal()
    monkeypatch.setattr(sys, "stderr", found)
    return found


def test_an_error_fits_the_terminal_and_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch, "50")
    Output(as_json=False).error("BadRowError", LONG, ["a hint of many words " * 5])
    lines = terminal.getvalue().splitlines()
    assert 40 < max(map(len, lines)) <= 50
    assert " ".join(map(str.strip, lines)).startswith(f"BadRowError: {LONG} a hint of many")
    assert all(line.startswith("  ") for line in lines[1:])
    hint = next(n for n, line in enumerate(lines) if line.startswith("  a hint"))
    assert lines[hint + 1].startswith("    ")


def test_a_terminal_of_unknown_width_has_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    Output(as_json=False).complaint(LONG)
    assert 70 < max(map(len, terminal.getvalue().splitlines())) <= 80


def test_elsewhere_an_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=False).error("BadRowError", LONG)
    assert capsys.readouterr().err == f"BadRowError: {LONG}\n"


COMMAND = "stepml retry my-run-20261129-181114-ed8 --epoch 12 --local"


def test_a_command_stays_whole() -> None:
    assert folded(f"once the data are there: {COMMAND}; or not", 50) == [
        "once the data are there:",
        f"  {COMMAND};",
        "  or not",
    ]
    assert folded(COMMAND, 20) == [COMMAND]


@pytest.mark.parametrize("quote", ["`", "'"])
def test_words_behind_a_quoted_command_are_folded(quote: str) -> None:
    command = f"{quote}{COMMAND}{quote}"
    lines = folded(f"the local AWS does not answer: {command} ends it and all of its jobs", 60)
    assert lines == [
        "the local AWS does not answer:",
        f"  {command}",
        "  ends it and all of its jobs",
    ]


@pytest.mark.parametrize("text", ["", "  ", "one", "  two words", "x" * 200])
def test_what_fits_or_cannot_be_folded_stays(text: str) -> None:
    assert folded(text) == [text.rstrip()]


def test_a_sentence_among_pairs_is_folded_and_a_path_is_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = Path("runs") / " ".join(["folder"] * 20)
    Output(as_json=False).pairs({"why": " ".join(["because"] * 12), "model": path})
    first, second, third = capsys.readouterr().out.splitlines()
    assert max(len(first), len(second)) <= 80
    assert first.startswith("  why    because")
    assert second.lstrip().startswith("because")
    assert third == f"  model  {path}"
