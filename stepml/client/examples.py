"""The example jobs that come with StepML."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from stepml.job.errors import StepMLError
from stepml.job.suggestions import did_you_mean
from stepml.packaging.sources import resource_root
from stepml.whole_files import write_whole

INDEX = "examples.toml"
JOB = "job.json"  # of an example that has code


class ExampleNotFoundError(StepMLError, LookupError):
    """There is no example of this name."""


class FileTakenError(StepMLError):
    """There is a file already where a job would be written."""


@dataclass(frozen=True, slots=True)
class Example:
    """A job that runs as it is, once its data are in the stack's bucket."""

    name: str
    about: str  # a few words
    files: Mapping[str, Path]  # by their name where it is written; the job is first

    @property
    def job(self) -> dict[str, Any]:
        """Its job."""
        document: dict[str, Any] = json.loads(next(iter(self.files.values())).read_bytes())
        return document

    @property
    def has_code(self) -> bool:
        """Whether it has a network of its own beside the job."""
        return len(self.files) > 1

    @property
    def data_uris(self) -> list[str]:
        """The places of its data in the bucket: for training, and of rows that validate."""
        data = self.job["data"]
        uris = (data["uri"], data.get("validation", {}).get("uri"))
        return [uri for uri in uris if uri is not None]


def examples() -> list[Example]:
    """Return all examples; those to begin with come first."""
    root = resource_root() / "examples"
    about = tomllib.loads((root / INDEX).read_text(encoding="utf-8"))
    return [Example(name, text, dict(_files(root, name))) for name, text in about.items()]


def find_example(name: str) -> Example:
    """Return the example with this name; its file's name or path is one as well.

    Raises
    ------
    ExampleNotFoundError
        There is none.
    """
    found = {each.name: each for each in examples()}
    stem = PurePath(name).name.removesuffix(".json")
    if stem not in found:
        hint = did_you_mean(stem, found) or "; stepml init lists them"
        raise ExampleNotFoundError(f"there is no example {name!r}{hint}")
    return found[stem]


def write_example(example: Example, target: Path | None = None, *, force: bool = False) -> Path:
    """Write an example, and return the path of its job.

    Parameters
    ----------
    target : Path, optional
        The job's file, whose suffix says its format, or the directory of an example with code.
        Default: named like the example, in the current directory.
    force : bool
        Whether files that are there are replaced.

    Raises
    ------
    FileTakenError
        A file is there; nothing was written.
    InvalidJobError
        No format has the suffix.
    OSError
        A file cannot be written.
    """
    place = target or Path(example.name if example.has_code else f"{example.name}.json")
    contents = _contents(example, place)
    write_files(contents, force=force)
    return next(iter(contents))


def write_files(contents: Mapping[Path, bytes], *, force: bool = False) -> None:
    """Write files and their directories; the errors are those of `write_example`."""
    taken = [path for path in contents if path.exists()]
    if taken and not force:
        raise FileTakenError(f"{taken[0]} exists; --force replaces it, FILE is another place")
    for path, content in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)


def _contents(example: Example, place: Path) -> dict[Path, bytes]:
    if example.has_code:
        return {place / name: path.read_bytes() for name, path in example.files.items()}
    (source,) = example.files.values()
    if place.suffix.lower() == source.suffix:
        return {place: source.read_bytes()}  # to the letter
    from stepml.client.job_sources import job_in_format  # which has more formats

    return {place: job_in_format(example.job, place).encode()}


def _files(root: Path, name: str) -> Iterator[tuple[str, Path]]:
    directory = root / name
    if not directory.is_dir():
        yield f"{name}.json", root / f"{name}.json"
        return
    yield JOB, directory / JOB
    code = (path for path in sorted(directory.glob("*.py")))
    yield from ((path.name, path) for path in code)
