"""The reference of the command line, made from the commands themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer

from documentation.markdown import code, from_docstring, table
from stepml.cli.app import app
from stepml.cli.options import WHERE

HEAD = """# Every command

`stepml COMMAND --help` prints the same in the terminal. [The exit codes](../failures.md#exit-codes)
are common to all commands. `stepml --install-completion` makes your shell complete commands,
options and the names of runs.
"""
SHARED = """
## Where commands look

Commands that speak with AWS have these options. They are not repeated below.

"""
SHARED_OF = "run"  # a command that has them all


def commands_page() -> str:
    """Return the page with every command, its arguments and its options."""
    root = typer.main.get_command(app)
    shared = [each for each in _commands(root)[SHARED_OF].params if _is_shared(each)]
    parts = [HEAD, SHARED + _parameters(shared), *_sections(root, "stepml")]
    return "\n".join(parts)


def command_names() -> list[str]:
    """Return the commands as one types them, such as "stepml data put"."""
    return list(_walk(typer.main.get_command(app), "stepml"))


def _sections(group: Any, name: str) -> Iterator[str]:
    for path, command in _walk(group, name).items():
        if path != name:
            yield _section(path, command)


def _walk(command: Any, name: str) -> dict[str, Any]:
    found = {name: command}
    for each, sub in _commands(command).items():
        if not sub.hidden:
            found |= _walk(sub, f"{name} {each}")
    return found


def _commands(command: Any) -> dict[str, Any]:
    return dict(getattr(command, "commands", {}))


def _section(path: str, command: Any) -> str:
    level = "##" if path.count(" ") == 1 else "###"
    own = [each for each in command.params if not _is_shared(each) and not each.hidden]
    usage = " ".join([path, *(_argument(each) for each in own if _is_argument(each))])
    parts = [f"{level} {path}\n"]
    parts += [f"{from_docstring(_plain(each))}\n" for each in (command.help or "").split("\n\n")]
    if not _commands(command) or command.invoke_without_command:
        parts += [f"```text\n{usage} [OPTIONS]\n```\n", _parameters(own)]
    if example := re.search(r"Example: (.*)", command.epilog or "", re.DOTALL):
        parts.append(f"```sh\n{' '.join(example[1].split())}\n```\n")
    return "\n".join(parts)


def _parameters(parameters: list[Any]) -> str:
    rows = [[_name(each), _default(each), from_docstring(each.help or "")] for each in parameters]
    return table(["", "default", ""], rows) if rows else ""


def _name(parameter: Any) -> str:
    if _is_argument(parameter):
        return code(_argument(parameter))
    flags = " ".join(map(code, [*parameter.opts, *parameter.secondary_opts]))
    return flags if parameter.is_flag else f"{flags} {code(_value(parameter))}"


def _value(parameter: Any) -> str:
    choices = getattr(parameter.type_descriptor.annotation, "__members__", None)
    if choices:
        return "|".join(str(each.value) for each in choices.values())
    return str(parameter.metavar or parameter.type_descriptor.annotation.__name__.upper())


def _argument(parameter: Any) -> str:
    name = str(parameter.metavar or parameter.name.upper()).strip("{}[]")
    shown = f"{name}..." if parameter.nargs != 1 and not name.endswith("...") else name
    return shown if parameter.required else f"[{shown}]"


def _default(parameter: Any) -> str:
    value = parameter.default
    if parameter.required:
        return "required"
    if callable(value) or value is None or value is False or value in ([], ()):
        return ""
    return code(getattr(value, "value", value))


def _is_shared(parameter: Any) -> bool:
    return getattr(parameter, "rich_help_panel", None) == WHERE


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _plain(text: str) -> str:
    """Return a help text without the markup of terminals."""
    return re.sub(r"\[/?(?:bold|dim|italic|green|red|yellow|cyan)\]", "", text.replace("\b", ""))
