"""``stepml init``: lists the examples, and writes one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from stepml.cli.errors import BadInputError
from stepml.cli.options import AsJson, local_flag, name_or_index
from stepml.cli.output import Output
from stepml.job.names import stem_of

if TYPE_CHECKING:
    from stepml.client.examples import Example

EXIT_CODES = "Exit codes: 0 done, 2 bad input, 3 the file cannot be written."


def add_to(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(epilog=f"{EXIT_CODES}\n\nExample: stepml init digits_logistic")(init)


def known_examples(incomplete: str) -> list[str]:
    """Return the names of examples, for shells."""
    from stepml.client.examples import examples

    return [each.name for each in examples() if each.name.startswith(incomplete)]


def init(
    example: Annotated[
        str | None,
        typer.Argument(
            metavar="EXAMPLE",
            help="The example; without one, and without --data, all are listed.",
            autocompletion=known_examples,
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="The file to write: .json, .yaml or .toml. Default: EXAMPLE.json.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="PATH",
            help="Write a job for this file or folder: stepml init --data rows.csv job.json.",
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            metavar="NAME_OR_INDEX",
            help="With --data: the column to predict. Default: the last one.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="With --data: another field of the job's data, such as missing=zero.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a job to start from: an example, or one for your own data.

    Without arguments, the examples are listed.
    """
    output = Output(as_json)
    if data is not None:
        if file is not None:
            raise BadInputError(
                f"--data: EXAMPLE {example!r} has data of its own; give one of them"
            )
        path = None if example is None else Path(example)
        _write_first_job(data, label, settings or [], path, force, output)
        return
    if label is not None:
        raise BadInputError("--label: goes with --data")
    if settings:
        raise BadInputError("--set: goes with --data")
    from stepml.client.examples import examples

    if example is None:
        _list(examples(), output)
    else:
        _write_example(example, file, force, output)


def _write_example(name: str, file: Path | None, force: bool, output: Output) -> None:
    from stepml.client.examples import ExampleNotFoundError, find_example, write_example

    try:
        example = find_example(name)
    except ExampleNotFoundError as error:
        is_data = Path(name).exists()
        hint = f"; for data of your own: stepml init --data {quote(name)}" if is_data else ""
        raise BadInputError(f"{error}{hint}") from None
    with _refusing_taken_files():
        path = write_example(example, file, force=force)
    _tell({"example": example.name}, path, example.about, list(_commands(example, path)), output)


def _write_first_job(
    data: Path,
    label: str | None,
    settings: Sequence[str],
    file: Path | None,
    force: bool,
    output: Output,
) -> None:
    from stepml.cli.data_lines import data_lines
    from stepml.cli.data_settings import data_fields
    from stepml.client.data_places import local_place
    from stepml.client.examples import write_files
    from stepml.client.first_jobs import first_job
    from stepml.client.job_sources import job_in_format

    if not data.exists():
        raise BadInputError(f"--data: {str(data)!r} cannot be read: No such file or directory")
    fields = data_fields(settings)
    with (
        output.working("reading the first rows"),
        local_place(data).in_its_words({"data.label": "--label"}),
    ):
        found = first_job(data, None if label is None else name_or_index(label), fields)
    path = file or Path(f"{stem_of(data.name.partition('.')[0])}.json")
    text = job_in_format(found.job, path)
    with _refusing_taken_files():
        write_files({path: text.encode()}, force=force)
    for line in data_lines(found.facts):
        output.line(line)
    model = found.job["model"]["name"].replace("_", " ")
    commands = [
        f"stepml data put {quote(str(data))}{local_flag()}",
        f"stepml run {quote(str(path))}{local_flag()}",
    ]
    _tell({"data": found.job["data"]["uri"]}, path, model, commands, output)


@contextmanager
def _refusing_taken_files() -> Iterator[None]:
    from stepml.client.examples import FileTakenError

    try:
        yield
    except FileTakenError as error:
        raise BadInputError(str(error)) from None


def _tell(
    more: Mapping[str, str], path: Path, about: str, commands: Sequence[str], output: Output
) -> None:
    output.document({**more, "job": str(path), "next": commands})
    output.line(f"wrote {path}: {about}")
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
    local = local_flag()
    if dataset is None:
        yield from (f"stepml data put DIRECTORY --to {uri}{local}" for uri in example.data_uris)
    else:
        yield f"stepml data get {dataset} --upload{local}"
    code = f" --code {quote(str(path.parent))}" if example.has_code else ""
    yield f"stepml run {quote(str(path))}{code}{local}"
