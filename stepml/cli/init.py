"""``stepml init``: lists the examples, and writes one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stepml.cli.errors import BadInputError
from stepml.cli.options import AsJson
from stepml.cli.output import Output

if TYPE_CHECKING:
    from stepml.client.examples import Example

EXIT_CODES = "Exit codes: 0 done, 2 bad input, 3 the file cannot be written."


def add_to(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(epilog=f"{EXIT_CODES}\n\nExample: stepml init digits_logistic")(init)


def init(
    example: Annotated[
        str | None,
        typer.Argument(metavar="EXAMPLE", help="The example; without one, all are listed."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="The file to write: .json, .yaml or .toml. Default: EXAMPLE.json.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the example jobs, or write one to start from."""
    from stepml.client.examples import (
        ExampleNotFoundError,
        FileTakenError,
        examples,
        find_example,
        write_example,
    )

    output = Output(as_json)
    if example is None:
        _list(examples(), output)
        return
    try:
        found = find_example(example)
        path = write_example(found, file, force=force)
    except (ExampleNotFoundError, FileTakenError) as error:
        raise BadInputError(str(error)) from None
    commands = list(_commands(found, path))
    output.document({"example": found.name, "job": str(path), "next": commands})
    output.line(f"wrote {path}: {found.about}")
    for command in commands:
        output.line(f"  {command}")


def _list(found: list[Example], output: Output) -> None:
    output.document(
        {
            "examples": [
                {"name": each.name, "about": each.about, "data": each.data_uris} for each in found
            ]
        }
    )
    width = max(len(each.name) for each in found)
    for each in found:
        output.line(f"{each.name:<{width}}  {each.about}")
    output.line("write one with: stepml init EXAMPLE")


def _commands(example: Example, path: Path) -> Iterator[str]:
    """Yield the commands that train an example on this machine."""
    from stepml.datasets import DATASETS

    dataset = next(
        (each.name for each in DATASETS.values() if each.key == example.data_uris[0]), None
    )
    if dataset is None:
        yield from (f"stepml data put DIRECTORY --to {uri} --local" for uri in example.data_uris)
    else:
        yield f"stepml data get {dataset} --upload --local"
    code = f" --code {path.parent}" if example.has_code else ""
    yield f"stepml run {path}{code} --local"
