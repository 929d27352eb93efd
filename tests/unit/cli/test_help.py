"""Help texts are readable by themselves, and shells complete commands, options and runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from stepml.cli.app import app
from stepml.cli.help_texts import PANELS, whole_lines
from stepml.cli.options import known_runs
from stepml.cli.root import MEANT

ROOT = typer.main.get_command(app)


def walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, child in getattr(command, "commands", {}).items():
        if not child.hidden:
            yield from walk(child, (*path, name))


COMMANDS = list(walk(ROOT))


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def shown(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_names_values_by_their_meaning_and_gives_an_example(path: tuple[str, ...]) -> None:
    text = shown(*path, "-h")
    assert not re.search(r"<(bool|str|int|float|path|list)", text), text
    assert re.search("Example: .*stepml ", " ".join(text.split()))
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_option_and_argument_has_a_sentence(path: tuple[str, ...]) -> None:
    command: Any = ROOT
    for name in path:
        command = command.commands[name]
    for parameter in command.params:
        text = str(parameter.help or "")
        assert text[:1].isupper() or text.startswith(("runs/", "s3://")), (parameter.name, text)
        assert text.endswith("."), (parameter.name, text)


def test_every_command_is_in_a_panel() -> None:
    assert shown("-h") == shown("--help")
    assert {path[0] for path in COMMANDS if path} <= set(PANELS)
    assert "─ Commands ─" not in shown("-h")


def test_only_the_terminal_wraps_sentences() -> None:
    long = "a" * 79
    assert whole_lines(f"One.\n\n{long} b\nc\nd") == f"One.\n\n{long} b c\nd"


def test_runs_here_are_completed_newest_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert known_runs("") == ["latest"]
    for name in ("digits-20260101", "digits-20260102", "other"):
        Path("runs", name).mkdir(parents=True)
    assert known_runs("di") == ["digits-20260102", "digits-20260101"]


def test_a_shell_completes_commands_options_and_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs", "digits-1").mkdir(parents=True)
    assert completed(monkeypatch, "stepml comp") == ["compare"]
    assert completed(monkeypatch, "stepml jobs --lim") == ["--limit"]
    assert completed(monkeypatch, "stepml epochs dig") == ["digits-1"]
    assert completed(monkeypatch, "stepml init digits_k") == ["digits_kmeans"]
    assert completed(monkeypatch, "stepml run x.json --set work") == ["workers="]
    assert completed(monkeypatch, "stepml run x.json --set ex") == ["exchange."]
    assert completed(monkeypatch, "stepml run x.json --set stop.max_e") == ["stop.max_epochs="]
    assert "ps" not in completed(monkeypatch, "stepml ")


def completed(monkeypatch: pytest.MonkeyPatch, line: str) -> list[str]:
    variables = {
        "_STEPML_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(line.count(" ")),
    }
    result = CliRunner().invoke(app, [], env=variables, prog_name="stepml")
    return result.stdout.split()


def test_words_of_other_tools_lead_to_the_command_that_does_it() -> None:
    result = CliRunner().invoke(app, ["list"])
    assert result.exit_code == 2
    assert "No such command 'list'. Did you mean 'jobs'?" in " ".join(result.stderr.split())
    assert {tuple(each.split()) for each in MEANT.values()} <= {*COMMANDS}
    assert not {(each,) for each in MEANT} & {*COMMANDS}
