"""Makes help readable: in panels by purpose, without types that say nothing, in whole lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from inspect import cleandoc
from typing import Any

import typer
from typer.core import TyperArgument, TyperOption

from stepml.cli.folding import COLUMNS

HELP_NAMES = ["-h", "--help"]
TRAIN, LOOK, USE, PLACES = (
    "Train",
    "Look at runs",
    "Use models",
    "Data, deployments and servers",
)
PANELS: Mapping[str, str] = {
    **dict.fromkeys(("init", "check", "run", "watch", "stop", "retry", "study", "schema"), TRAIN),
    **dict.fromkeys(("jobs", "epochs", "logs", "report", "compare", "console"), LOOK),
    **dict.fromkeys(("predict", "export"), USE),
    **dict.fromkeys(("data", "local", "deploy", "destroy", "doctor", "server"), PLACES),
}


def tidy(root: Any) -> None:
    """Prepare the help of ``root`` and of all commands below it."""
    for name, command in _children(root).items():
        command.rich_help_panel = PANELS.get(name)
    root.commands = dict(sorted(_children(root).items(), key=lambda each: _place(each[0])))
    for command in _tree(root):
        command.help = whole_lines(command.help or "")
        context = typer.Context(command, help_option_names=HELP_NAMES)
        for parameter in command.get_params(context):
            _hide_type(parameter)


def whole_lines(text: str) -> str:
    """Return a help text whose sentences the terminal wraps, and not our source as well.

    A line that is too long for a terminal goes on in the next one; others are lines of their own.
    """
    joined: list[str] = []
    goes_on = False
    for line in cleandoc(text).split("\n"):
        if goes_on and line:
            joined[-1] += f" {line}"
        else:
            joined.append(line)
        goes_on = len(line) > COLUMNS
    return "\n".join(joined)


def _place(name: str) -> int:
    """Return the place of a command in the help; later ones have no panel yet."""
    names = list(PANELS)
    return names.index(name) if name in names else len(names)


def _hide_type(parameter: Any) -> None:
    if isinstance(parameter, TyperOption) and parameter.is_flag:
        parameter.metavar = ""
    elif isinstance(parameter, TyperArgument):
        # The name of an argument says what it is; the library has no setting for this.
        parameter.__dict__["display_type_rich"] = lambda ctx: ""


def _children(command: Any) -> dict[str, Any]:
    return getattr(command, "commands", {})


def _tree(command: Any) -> Iterator[Any]:
    yield command
    for child in _children(command).values():
        yield from _tree(child)
