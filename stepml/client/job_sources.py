"""The text of a job as a person writes it: JSON, YAML or TOML."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date, time
from pathlib import Path, PurePath
from typing import Any

from stepml.client.text_mistakes import TextMistakeError
from stepml.job.errors import InvalidJobError
from stepml.job.json_text import job_text
from stepml.job.json_values import normalised
from stepml.job.schema import field_names
from stepml.job.spec import JobSpec
from stepml.job.written import object_json

SUFFIXES = {".json": "JSON", ".yaml": "YAML", ".yml": "YAML", ".toml": "TOML"}
_MOST_GUESSED = 2**18  # characters: a longer text is no job
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_TOML_PLACE = re.compile(r" \(at line (\d+), column (\d+)\)$")


def job_json(content: bytes, file: str = "") -> str:
    """Return a job as JSON text, which may still have any mistake that `parse_job` finds.

    Parameters
    ----------
    content : bytes
        JSON, YAML or TOML: as the suffix of ``file`` says, or else as it begins.
    file : str
        Its file, for messages.

    Raises
    ------
    InvalidJobError
        The text is not in the format of its name. JSON is returned as it is, right or wrong.
    """
    text = job_text(content, file)
    named = SUFFIXES.get(PurePath(file).suffix.lower())
    kind = _guessed(text) if named in (None, "JSON") else named
    if named == "JSON" != kind:
        other = PurePath(file).with_suffix(f".{kind.lower()}")
        raise InvalidJobError(f"the job is not JSON: {file!r}: it is {kind}; name it {other.name}")
    return text if kind == "JSON" else json.dumps(_parsed(text, kind, file))


def given_job(job: JobSpec | Mapping[str, Any] | str | bytes | PurePath) -> tuple[str, str]:
    """Return a job as JSON text, and a stem for the name of its run.

    Parameters
    ----------
    job : JobSpec, mapping, path, str or bytes
        The job, or its file, or its text.

    Raises
    ------
    InvalidJobError
        There is no such file, or it is no job.
    """
    if isinstance(job, JobSpec | Mapping):
        return object_json(job), "job"
    if isinstance(job, bytes):
        return job_json(job), "job"
    if not isinstance(job, str | PurePath):
        raise InvalidJobError(
            "the job: expected a stepml.Job, a mapping, the path of a file or a text, "
            f"got {type(job).__name__}"
        )
    if isinstance(job, str) and not _is_name_of_file(job):
        return job_json(job.encode()), "job"
    path = Path(job)
    try:
        return job_json(path.read_bytes(), path.name), path.stem
    except OSError as error:
        raise InvalidJobError(f"the job {str(job)!r} cannot be read: {error.strerror}") from None


def _is_name_of_file(text: str) -> bool:
    """Return whether a text names a file: it has no sign that every job has."""
    if text and not any(sign in text for sign in "\n{:="):
        return True
    return "\n" not in text and PurePath(text).suffix.lower() in SUFFIXES


def _guessed(text: str) -> str:
    """Return the format of a text without a name; JSON if it is none, as JSON's errors say why."""
    if text.lstrip().startswith("{") or len(text) > _MOST_GUESSED:
        return "JSON"
    for kind in ("TOML", "YAML"):
        try:
            document = _PARSERS[kind](text)
        except (TextMistakeError, RecursionError):
            continue
        if isinstance(document, dict) and not set(document).isdisjoint(field_names((), {}) or ()):
            return kind
    return "JSON"


def _parsed(text: str, kind: str, file: str) -> Any:
    try:
        document = _PARSERS[kind](text)
    except TextMistakeError as mistake:
        raise mistake.in_job(text, kind, file) from None
    except RecursionError:
        raise InvalidJobError("the job: values are nested too deeply") from None
    if document in (None, {}):
        raise TextMistakeError("it is empty").in_job(text, kind, file)
    return normalised(document)


def _from_yaml(text: str) -> Any:
    from stepml.client.yaml_jobs import yaml_document  # which most jobs do not need

    return yaml_document(text)


def _from_toml(text: str) -> Any:
    try:
        return _plain(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        reason, place = str(error), _TOML_PLACE.search(str(error))
        reason = _TOML_PLACE.sub("", reason[:1].lower() + reason[1:])
        raise TextMistakeError(reason, *map(int, place.groups() if place else ())) from None
    except ValueError:
        raise TextMistakeError("a number has too many digits") from None


def _plain(value: Any) -> Any:
    """Return a value of TOML with text for dates and times, which JSON lacks."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.isoformat() if isinstance(value, date | time) else value


_PARSERS = {"YAML": _from_yaml, "TOML": _from_toml}


def job_in_format(job: Mapping[str, Any], file: PurePath) -> str:
    """Return the text of a job in the format of a file's name.

    Raises
    ------
    InvalidJobError
        The name is that of no format.
    """
    kind = SUFFIXES.get(file.suffix.lower())
    if kind is None:
        raise InvalidJobError(
            f"the job's file: expected a name that ends in {', '.join(SUFFIXES)}, got {str(file)!r}"
        )
    return _WRITERS[kind](job)


def _to_json(job: Mapping[str, Any]) -> str:
    return json.dumps(job, indent=2) + "\n"


def _to_yaml(job: Mapping[str, Any]) -> str:
    import yaml

    return str(yaml.safe_dump(dict(job), sort_keys=False, allow_unicode=True))


def _to_toml(job: Mapping[str, Any]) -> str:
    """Return a job as TOML: its values, then a table for each group."""
    groups = {name: value for name, value in job.items() if isinstance(value, dict)}
    rest = {name: value for name, value in job.items() if name not in groups}
    parts = [_toml_lines(rest), *(f"[{name}]\n{_toml_lines(groups[name])}" for name in groups)]
    return "\n".join(filter(None, parts))


def _toml_lines(group: Mapping[str, Any]) -> str:
    return "".join(f"{pair}\n" for pair in _toml_pairs(group))


def _toml_pairs(group: Mapping[str, Any]) -> Iterator[str]:
    # TOML has no null; in a job, an absent field is the same.
    given = {name: value for name, value in group.items() if value is not None}
    yield from (f"{_toml_key(name)} = {_toml_value(each)}" for name, each in given.items())


def _toml_key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _quoted(name)


def _toml_value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(_toml_pairs(value)) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    return _quoted(value)


def _quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


_WRITERS = {"JSON": _to_json, "YAML": _to_yaml, "TOML": _to_toml}
