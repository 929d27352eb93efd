"""A job that a person is writing: one document, as fields and as text, and its mistakes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from stepml.client.checking import lacking
from stepml.client.job_sources import job_json
from stepml.client.own_code import with_own_code
from stepml.client.stack import Stack
from stepml.console.job_fields import Field, Path, field_of, grouped
from stepml.console.job_values import value_at, value_of, with_value
from stepml.job.error_lines import note_lines
from stepml.job.errors import InvalidJobError, StepMLError
from stepml.job.job_files import require_small
from stepml.job.json_text import json_document
from stepml.job.json_values import where
from stepml.job.names import check_job_id
from stepml.job.salvage import salvaged

NAME: Path = ("run name",)  # which is not in the job
TEXT: Path = ("the text",)
MOST_IN_ADDRESS = 3_000  # characters of a job


@dataclass(frozen=True, slots=True)
class Mistake:
    """A mistake of a job, or of its name.

    Attributes
    ----------
    path : tuple of str
        The field; `NAME`, or `TEXT` for what no field shows.
    text : str
        With the name of the field.
    """

    path: Path
    text: str

    @property
    def at_field(self) -> str:
        """The text without the name of the field, which stands beside it."""
        return self.text.removeprefix(f"{where(self.path)}: ")


@dataclass(slots=True)
class Draft:
    """A job that is being written.

    Attributes
    ----------
    document : dict
        The job, without fields that have their defaults.
    name : str
        Of the run; empty: one is made.
    unreadable : InvalidJobError or None
        Why the text is no job: ``document`` is that before it.
    unread : str
        The text that is no job.
    stack : Stack or None
        Where it will run, if that is known.
    """

    document: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    unreadable: InvalidJobError | None = None
    unread: str = ""
    stack: Stack | None = None

    @property
    def text(self) -> str:
        """The job as JSON, or the text that is none; empty without any."""
        if self.unreadable is not None:
            return self.unread
        return "" if not self.document else json.dumps(self.document, indent=2, ensure_ascii=False)

    @property
    def in_address(self) -> str | None:
        """The job for the address of the form; None if it is empty or too long."""
        text = json.dumps(self.document, separators=(",", ":"))
        return text if 2 < len(text) <= MOST_IN_ADDRESS else None

    @property
    def to_check(self) -> str:
        """The job as JSON, in which the groups that each job has are present."""
        return json.dumps({"data": {}, "model": {}, **self.document})

    def read(self, text: str) -> None:
        """Take the job from a text in JSON, YAML or TOML."""
        self.unreadable, self.unread = None, ""
        if not text.strip():
            self.document = {}
            return
        try:
            self.document = grouped(_object_in(text))
        except InvalidJobError as error:
            self.unreadable, self.unread = error, text

    def put(self, field: Field, text: str) -> None:
        """Give a field the value that a person means with a text."""
        self.document = with_value(self.document, field.path, value_of(field, text))

    def value(self, path: Path) -> Any:
        """Return the value of a field, or None."""
        return value_at(self.document, path)

    def mistakes(self) -> list[Mistake]:
        """Return all mistakes that can be found without a look at objects and data."""
        if self.unreadable is not None:
            lines = [str(self.unreadable), *note_lines(self.unreadable)]
            return [Mistake(TEXT, "\n".join(lines))]
        return self.placed(dict.fromkeys(self._found()))

    def placed(self, messages: Iterable[str]) -> list[Mistake]:
        """Return messages about the job, each with its field."""
        named = f"{NAME[0]}: "
        return [
            Mistake(NAME if each.startswith(named) else field_of(each, self.document) or TEXT, each)
            for each in messages
        ]

    def _found(self) -> Iterator[str]:
        try:
            text, _ = with_own_code(self.to_check, None)
            spec, mistakes = salvaged(json.loads(text))
        except StepMLError as error:  # of an installed package
            yield str(error)
            return
        yield from mistakes
        if self.name:
            try:
                check_job_id(self.name, 1 if spec is None else spec.stop.most_epochs)
            except InvalidJobError as error:
                yield str(error)
        if spec is not None and self.stack is not None and not mistakes:
            yield from lacking(spec.in_bucket(self.stack.bucket), self.stack)


def _object_in(text: str) -> dict[str, Any]:
    content = text.encode(errors="replace")  # half a surrogate pair is no text
    require_small(content.decode())
    document = json_document(job_json(content))
    if not isinstance(document, dict):
        raise InvalidJobError("the job: expected an object with data and model")
    return document
