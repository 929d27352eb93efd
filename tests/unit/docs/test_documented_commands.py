"""Every command in the documentation exists, with its options; how the shown output is compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

from stepml.cli.app import app
from tests.support.documentation import PAGES, blocks_of, commands_of, missing

COMMANDS = [
    (page, words)
    for page in PAGES
    for block in blocks_of(page)
    for words in commands_of(block.text)
]


@pytest.mark.parametrize(
    ("page", "words"), COMMANDS, ids=lambda each: each.stem if isinstance(each, Path) else None
)
def test_a_documented_command_exists(page: Path, words: list[str]) -> None:
    assert defect(words) is None, f"{page.name}: stepml {' '.join(words)}: {defect(words)}"


def defect(words: list[str]) -> str | None:
    """Return the part of a documented command that the command line lacks, or None."""
    command: Any = typer.main.get_command(app)
    options = {"--version"}
    for word in words:
        if word.startswith("-") and word != "-":
            passes_on = command.context_settings.get("ignore_unknown_options")
            if word.partition("=")[0] not in options and not passes_on:
                return f"no option {word}"
        elif word in getattr(command, "commands", {}):
            command = command.commands[word]
            names = [each.opts + each.secondary_opts for each in command.params]
            options = {"--help", "-h", *(name for each in names for name in each)}
        elif hasattr(command, "commands") and not command.invoke_without_command and word.islower():
            return f"no command {word}"
    return None


def test_defects_are_found() -> None:
    assert defect(["run", "job.json", "--name", "x"]) is None
    assert defect(["run", "job.json", "--nane", "x"]) == "no option --nane"
    assert defect(["data", "upload"]) == "no command upload"


def test_commands_are_found_in_blocks() -> None:
    text = """stepml run a.json --name x \\
      --detach   # comment
    for rate in 1 2; do
      stepml run "b c" --set r=$rate; stepml jobs
    done
    head -2 rows.csv | stepml predict m - > out
    python - <<'EOF'
    stepml nothing
EOF
    """
    assert list(commands_of(text)) == [
        ["run", "a.json", "--name", "x", "--detach"],
        ["run", "b c", "--set", "r=$rate"],
        ["jobs"],
        ["predict", "m", "-"],
    ]


def test_output_is_compared_loosely() -> None:
    printed = "training\n  1  0.52  1.5 s\nwriting   the\nmodel\n"
    assert missing("…\n1 0.61 2.5 s\n…\nwriting the model", printed) is None
    assert missing("training 1 #", "training\nepoch") is not None
    assert missing("b … a", "a b") is not None
