"""``stepml data put``: files of this machine become objects of the stack's bucket."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from stepml.cli.errors import LOOKING_EXIT_CODES, BadInputError, LocalMachineError
from stepml.cli.figures import count, size
from stepml.cli.folding import folded
from stepml.cli.machine import is_full, reason_of
from stepml.cli.options import (
    AsJson,
    EndpointUrl,
    Local,
    Profile,
    Region,
    StackName,
    Target,
)
from stepml.cli.output import Output
from stepml.cli.streams import is_endless
from stepml.job.names import DEFAULT_STACK
from stepml.records.errors import UploadRefusedError

if TYPE_CHECKING:
    from stepml.client import Client
    from stepml.client.parcels import Parcel
    from stepml.client.uploads import Sending

STDIN = "-"
_MOST_NAMED = 3


def add_to(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(epilog=f"{LOOKING_EXIT_CODES}\n\nExample: stepml data put rows.csv --local")(put)


def put(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="Files, folders or patterns; - is stdin, with --to."),
    ],
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="PLACE",
            help="The key, or a folder, which ends with a slash. Default: data/ and the name.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace objects that have another content.")
    ] = False,
    local: Local = False,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    region: Region = None,
    stack: StackName = DEFAULT_STACK,
    as_json: AsJson = False,
) -> None:
    """Upload data, as they are, to the stack's bucket; print the uri for a job.

    Folders keep their structure. Hidden files are left out.
    """
    from stepml.client.parcels import data_key, parcel_of

    target, output = Target.chosen(local, endpoint_url, stack, profile, region), Output(as_json)
    with _streams_as_files(paths, to) as found:
        client = target.client()
        with _about("--to"):
            place = None if to is None else data_key(to, client.stack.bucket)
        with _about("PATH"):
            parcel = parcel_of(found, place)
        sent = _sent(client, parcel, output, force=force)
    _tell(client, parcel, sent, output)


@contextmanager
def _about(argument: str) -> Iterator[None]:
    """Name the argument in errors about it."""
    try:
        yield
    except UploadRefusedError as error:
        raise BadInputError(f"{argument}: {error}") from None


@contextmanager
def _streams_as_files(paths: Sequence[str], to: str | None) -> Iterator[list[Path]]:
    """Yield the files and folders of ``paths``; a stream is copied to a file while this lasts."""
    streams = [each for each in paths if each == STDIN or _is_stream(Path(each))]
    if not streams:
        yield [Path(each) for each in paths]
        return
    if len(paths) > 1 or to is None or to.endswith("/"):
        raise BadInputError(
            f"PATH: {streams[0]!r} is a stream, which has no name: put it alone, with --to KEY, "
            "such as --to data/rows.csv"
        )
    with TemporaryDirectory(prefix="stepml-put-") as directory:
        copy = Path(directory) / "stream"
        _copy(streams[0], copy)
        yield [copy]


def _is_stream(path: Path) -> bool:
    return path.is_fifo() or path.is_char_device()


def _copy(stream: str, target: Path) -> None:
    source = sys.stdin.buffer if stream == STDIN else Path(stream).open("rb")  # noqa: SIM115
    with source as data, target.open("wb") as file:
        if is_endless(data):
            raise BadInputError(f"PATH: {stream!r} cannot be read: it has no end")
        try:
            shutil.copyfileobj(data, file)
        except OSError as error:
            if not is_full(error):
                raise
            raise LocalMachineError(
                f"data {stream!r}, a stream, cannot be copied: {reason_of(error)} with TMPDIR"
            ) from None


def _sent(client: Client, parcel: Parcel, output: Output, *, force: bool) -> list[Sending]:
    """Send the files that are not in the bucket yet; return them."""
    from stepml.client.uploads import examined, send_all, to_send

    connection, bucket = client.connection, client.stack.bucket
    with output.working(f"reading {count(len(parcel.files), 'file')}"):
        found = examined(connection, bucket, parcel.files)
    remedy = "--force replaces it, --to PLACE chooses another place"
    missing = to_send(found, bucket, force=force, remedy=remedy)
    with _bar(output, sum(each.content.n_bytes for each in missing)) as on_bytes:
        send_all(connection, bucket, missing, on_bytes)
    return missing


@contextmanager
def _bar(output: Output, total: int) -> Iterator[Callable[[int], object]]:
    """Yield a function that moves a progress bar by some bytes."""
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("uploading"),
        BarColumn(bar_width=30),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    is_shown = output.is_live and total > 0
    with Progress(*columns, console=output.console, transient=True, disable=not is_shown) as bar:
        task = bar.add_task("", total=total)
        yield lambda n_bytes: bar.advance(task, n_bytes)


def _tell(client: Client, parcel: Parcel, sent: Sequence[Sending], output: Output) -> None:
    from stepml.ml.data.hidden_files import note_on_hidden

    uri = f"s3://{client.stack.bucket}/{parcel.place}"
    others = _others(client, parcel)
    n_bytes = sum(each.content.n_bytes for each in sent)
    output.document(
        {
            "uri": uri,
            "sent": [each.key for each in sent],
            "unchanged": sorted({*parcel.files} - {each.key for each in sent}),
            "left_out": list(parcel.left_out),
            "also_there": others,
            "bytes": n_bytes,
        }
    )
    parts = [f"sent {count(len(sent), 'file')}, {size(n_bytes)}"] if sent else []
    if kept := len(parcel.files) - len(sent):
        parts.append(f"{count(kept, 'file')} {'was' if kept == 1 else 'were'} there already")
    _line(output, "; ".join(parts))
    for note in note_on_hidden(parcel.left_out):
        _line(output, note)
    if others:
        _line(
            output,
            f"note: a job with this uri also reads what was there before: {_named(others)}",
        )
    output.line(uri)


def _others(client: Client, parcel: Parcel) -> list[str]:
    """Return the keys of other objects that a job with this uri would read."""
    if not parcel.place.endswith("/"):
        return []
    from stepml.client.catalogues import BucketObjects

    objects = BucketObjects(client.connection, client.stack.bucket).describe_many(parcel.place)
    return [each.key for each in objects if each.key not in parcel.files and each.value_bytes]


def _named(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _line(output: Output, text: str) -> None:
    for line in folded(text):
        output.line(line)
