"""The file of a study: its parts, each with a job, a grid of fields and baselines."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from stepml.job.conversion import converted
from stepml.job.errors import InvalidJobError
from stepml.job.names import MAX_STEM, stem_of
from stepml.studies.baselines.kinds import BASELINES, Baseline
from stepml.studies.values import merged

_NAME = re.compile(r"[0-9A-Za-z_-]+")
_PLACE = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_MOST_BYTES = 2**20

Grid = dict[str, Annotated[list[Any], Meta(min_length=1)]]


class InvalidStudyError(InvalidJobError):
    """The file of a study is wrong; the message names the file and the field."""


class _Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part as it is in the file; what it leaves out is as in the whole study."""

    title: str = ""
    job: dict[str, Any] = field(default_factory=dict)  # the fields that differ from the study's
    grid: Grid = field(default_factory=dict)
    leave_out: list[dict[str, Any]] = field(default_factory=list)
    baselines: list[Baseline] | None = None
    repeat: Annotated[int, Meta(ge=1, le=100)] | None = None


class StudyFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file of a study."""

    title: str = ""
    job: dict[str, Any] = field(default_factory=dict)
    grid: Grid = field(default_factory=dict)
    leave_out: list[dict[str, Any]] = field(default_factory=list)
    baselines: list[Baseline] = field(default_factory=list)
    repeat: Annotated[int, Meta(ge=1, le=100)] = 1
    at_once: Annotated[int, Meta(ge=1, le=100)] = 1
    parts: dict[str, _Part] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Part:
    """Jobs over one data set, and their baselines."""

    name: str
    title: str
    job: Mapping[str, Any]  # the fields that all cells share
    grid: Mapping[str, list[Any]]  # values by the path of their field
    leave_out: tuple[Mapping[str, Any], ...]  # values by path, of cells that are not wanted
    baselines: tuple[Baseline, ...]
    repeat: int  # runs of each cell, each with a seed of its own


@dataclass(frozen=True, slots=True)
class Study:
    """A study."""

    name: str
    title: str
    parts: tuple[Part, ...]
    at_once: int  # cells that run at the same time


def read_study(path: Path) -> Study:
    """Return the study in a TOML file.

    Raises
    ------
    InvalidStudyError
        The file cannot be read or is not TOML, or a field is unknown, missing, of another type
        or out of its limits.
    """
    try:
        with path.open("rb") as opened:
            content = opened.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InvalidStudyError(f"study {str(path)!r} cannot be read: {error.strerror}") from None
    if len(content) > _MOST_BYTES:
        raise InvalidStudyError(f"{path}: expected a study, in at most {_MOST_BYTES:,} bytes")
    return parse_study(content, stem_of(path.stem), str(path))


def parse_study(content: bytes, name: str, file: str = "the study") -> Study:
    """Return the study that is called ``name``; errors as of `read_study`."""
    try:
        document = tomllib.loads(content.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidStudyError(f"{file} is not TOML: {error}") from None
    try:
        given = converted(document, StudyFile)
    except msgspec.ValidationError as error:
        raise InvalidStudyError(f"{file}: {_explained(str(error), document)}") from None
    parts = given.parts or {name: _Part()}
    return Study(
        name[:MAX_STEM],
        given.title or name,
        tuple(_part(each, given, part, file) for each, part in parts.items()),
        given.at_once,
    )


def _part(name: str, study: StudyFile, part: _Part, file: str) -> Part:
    if not _NAME.fullmatch(name):
        raise InvalidStudyError(
            f"{file}: parts: expected names of letters, digits, '-' and '_', got {name!r}"
        )
    grid = {**study.grid, **part.grid}
    if not grid:
        raise InvalidStudyError(
            f'{file}: grid: expected at least one field with its values, such as "workers" = '
            "[1, 2, 4], got none"
        )
    _refuse_parents(grid, file)
    leave_out = [each for each in study.leave_out if each.keys() <= grid.keys()]
    leave_out += part.leave_out
    _refuse_others(leave_out if study.parts else study.leave_out, grid, file)
    return Part(
        name,
        part.title or name,
        merged(study.job, part.job),
        grid,
        tuple(leave_out),
        tuple(study.baselines if part.baselines is None else part.baselines),
        part.repeat or study.repeat,
    )


def _refuse_parents(grid: Mapping[str, Any], file: str) -> None:
    """Refuse a field beside one of its own fields: one would replace the other's value."""
    for path in grid:
        for other in grid:
            if other.startswith(f"{path}."):
                raise InvalidStudyError(
                    f"{file}: grid: {path!r} and its own field {other!r} exclude each other"
                )


def _refuse_others(leave_out: Sequence[Mapping[str, Any]], grid: Grid, file: str) -> None:
    for path in [path for each in leave_out for path in each if path not in grid]:
        raise InvalidStudyError(
            f"{file}: leave_out: expected fields of the grid ({', '.join(grid)}), got {path!r}"
        )


def _explained(message: str, document: Any) -> str:
    place = _PLACE.search(message)
    path = place["path"] if place else ""
    words = message[: place.start()] if place else message
    if unknown := re.search(r"unknown field `(?P<name>[^`]*)`", words):
        known = _Part if path.startswith("parts") else StudyFile
        names = [each.name for each in msgspec.structs.fields(known)]
        close = difflib.get_close_matches(unknown["name"], names, 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return f"unknown field {unknown['name']!r}; expected some of {', '.join(names)}{hint}"
    if "baselines" in path:
        return f"{path}: expected some of {', '.join(map(repr, BASELINES))}: {words}"
    words = words.replace("Expected", "expected").replace("`", "")
    if "grid[...]" in path:
        return f"{_without_values(document)}: expected a list of values: {words}"
    return f"{path}: {words}" if path else words


def _without_values(document: Mapping[str, Any]) -> str:
    """Return the first field of a grid that has no list of values."""
    grids = {"grid": document.get("grid", {})}
    grids |= {f"parts.{name}.grid": part.get("grid", {}) for name, part in _parts(document)}
    return next(
        f"{where}: {path!r}"
        for where, grid in grids.items()
        for path, values in grid.items()
        if not (isinstance(values, list) and values)
    )


def _parts(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    parts = document.get("parts")
    for name, part in parts.items() if isinstance(parts, Mapping) else ():
        if isinstance(part, Mapping) and isinstance(part.get("grid", {}), Mapping):
            yield name, part
