"""Everything that can be found about a job before it starts: with its stack and its data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec

from stepml.client.catalogues import BucketObjects
from stepml.client.checking import concurrency_of, lacking, unreadable
from stepml.client.connection import Connection
from stepml.client.data_places import DataPlace, bucket_place, local_place
from stepml.client.own_code import require_entry_points, with_own_code
from stepml.client.stack import Stack
from stepml.job.error_lines import note_lines
from stepml.job.errors import InvalidJobError, StepMLError
from stepml.job.job_files import require_small
from stepml.job.json_text import json_document
from stepml.job.places import is_absolute
from stepml.job.reports import DatasetFacts, JobWarning
from stepml.job.salvage import salvaged
from stepml.job.spec import JobSpec
from stepml.ml.job_trial import try_job
from stepml.records.errors import AccessError

_NO_BUCKET, _FORBIDDEN = "data.uri: there is no bucket", "data.uri: the functions may not read"


class Place(Protocol):
    """The place where a job would run, such as a `Client`."""

    connection: Connection

    @property
    def stack(self) -> Stack:
        """The deployed stack."""
        ...


@dataclass(slots=True)
class JobFindings:
    """The findings about a job."""

    mistakes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # lines that show the place of a mistake
    unchecked: list[str] = field(default_factory=list)  # with the reason
    facts: DatasetFacts | None = None
    share: float = 0.0  # of the data's bytes that were read
    is_strict: bool = False

    @property
    def warnings(self) -> list[JobWarning]:
        """The doubts about the data."""
        return [] if self.facts is None else self.facts.warnings

    def add(self, mistakes: Sequence[str]) -> None:
        """Add mistakes that are not known yet."""
        self.mistakes += [each for each in mistakes if each not in self.mistakes]

    def refuse(self, error: InvalidJobError) -> None:
        """Add the mistakes of a text that is no job."""
        self.add(error.mistakes or [str(error)])
        self.notes = note_lines(error)


def findings_in(
    text: str,
    open_place: Callable[[], Place],
    data: Path | None = None,
    code: Path | None = None,
    file: str = "",
) -> JobFindings:
    """Return everything that is found about a job.

    Parameters
    ----------
    text : str
        The job as JSON.
    open_place : callable
        Returns the place where it would run; not called if ``data`` is given.
    data : Path, optional
        The data on this machine, instead of ``data.uri``.
    code : Path, optional
        The code of ``model.entry_point``.
    file : str
        The job's file, for messages.

    Raises
    ------
    AccessError
        The place cannot be reached, and no mistake is found without it.
    """
    found = JobFindings()
    try:
        require_small(text)
        text, packed = with_own_code(text, code, file)
        document = json_document(text, file)
    except InvalidJobError as error:
        found.refuse(error)
        return found
    given = data or _file_named_by(document)
    spec, mistakes = salvaged(document)
    found.add(mistakes)
    if spec is None and given is not None:
        spec = salvaged(_with_uri(document, f"data/{given.name}"))[0]
    if spec is None:
        found.unchecked.append("the data, as too little of the job is right")
        return found
    found.is_strict = spec.strict
    if packed is not None:
        _require_entry(found, spec, packed)
    if given is None:
        _check_there(found, spec, open_place(), is_code_here=packed is not None)
    else:
        _check_here(found, spec, local_place(given), is_asked=data is not None)
    return found


def _file_named_by(document: Any) -> Path | None:
    """Return the file or folder of this machine that ``data.uri`` names by mistake, if any."""
    data = document.get("data") if isinstance(document, dict) else None
    uri = data.get("uri") if isinstance(data, dict) else None
    if not isinstance(uri, str) or not uri.startswith((".", "/", "~")):
        return None
    path = Path(uri).expanduser()
    return path if path.exists() else None


def _with_uri(document: Any, uri: str) -> Any:
    return {**document, "data": {**document["data"], "uri": uri}}


def _require_entry(found: JobFindings, spec: JobSpec, packed: Any) -> None:
    try:
        require_entry_points(packed, spec)
    except StepMLError as error:
        found.add([str(error)])


def _check_here(found: JobFindings, spec: JobSpec, place: DataPlace, *, is_asked: bool) -> None:
    """Check the job on data of this machine."""
    asked = msgspec.structs.replace(spec.data, uri=place.uri)
    if asked.validation is not None and asked.validation.uri is not None:
        found.unchecked.append("data.validation.uri, which is not on this machine")
        asked = msgspec.structs.replace(asked, validation=None)
    if is_asked:
        found.unchecked.append("the stack, as --data needs none")
    _try(found, msgspec.structs.replace(spec, data=asked), place, None)


def _check_there(found: JobFindings, spec: JobSpec, place: Place, *, is_code_here: bool) -> None:
    """Check the job against its stack, and on its data."""
    try:
        stack = place.stack
    except AccessError as error:
        if not found.mistakes:
            raise
        found.unchecked.append(f"the stack and the data: {error}")
        return
    whole = spec.in_bucket(stack.bucket)
    found.add(list(lacking(whole, stack)))
    named = msgspec.structs.replace(whole, code=None) if is_code_here else whole
    found.add(list(unreadable(named, stack, lambda name: BucketObjects(place.connection, name))))
    data = bucket_place(place.connection, whole.data.uri, stack.bucket)
    is_readable = not any(each.startswith(_FORBIDDEN) for each in found.mistakes)
    _try(found, whole, data, concurrency_of(stack))
    if is_readable:  # by the functions
        _allow(found, whole.data.uri)
    if any(each.startswith(_NO_BUCKET) for each in found.mistakes):  # so nobody may read there
        found.mistakes = [each for each in found.mistakes if not each.startswith(_FORBIDDEN)]
    found.mistakes = [_with_hint(each, spec.data.uri) for each in found.mistakes]


def _allow(found: JobFindings, uri: str) -> None:
    """Take it for no mistake that only this person may not read the data."""
    mistakes = [each for each in found.mistakes if not each.startswith(_FORBIDDEN)]
    if len(mistakes) < len(found.mistakes):
        found.unchecked.append(f"the data: your credentials do not allow to read {uri}")
    found.mistakes = mistakes


def _try(found: JobFindings, spec: JobSpec, place: DataPlace, concurrency: int | None) -> None:
    tried = try_job(spec, place.catalogue, place.own_bucket, concurrency)
    found.add([place.worded(each) for each in tried.mistakes])
    found.facts, found.share = tried.facts, tried.share
    if tried.facts is not None:
        notes = [place.worded(each) for each in tried.facts.notes]
        found.facts = msgspec.structs.replace(tried.facts, notes=notes)


def _with_hint(mistake: str, uri: str) -> str:
    """Return a mistake with the remedy if the data lie on this machine, not in the bucket."""
    is_absent = mistake.startswith("data.uri: nothing lies at")
    if not is_absent or is_absolute(uri) or not Path(uri).exists():
        return mistake
    there = mistake.partition(";")[0]
    return f"{there}; it is on this machine: stepml data put {uri} uploads it, and prints its uri"
