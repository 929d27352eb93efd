"""The text of a job as a person writes it: JSON, YAML or TOML."""

from __future__ import annotations

import json
import re
import tomllib
from datetime import date, time
from pathlib import PurePath
from typing import Any

from stepml.client.text_mistakes import TextMistakeError
from stepml.job.errors import InvalidJobError
from stepml.job.json_text import job_text
from stepml.job.json_values import normalised
from stepml.job.schema import field_names

SUFFIXES = {".json": "JSON", ".yaml": "YAML", ".yml": "YAML", ".toml": "TOML"}
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


def _guessed(text: str) -> str:
    """Return the format of a text without a name; JSON if it is none, as JSON's errors say why."""
    if text.lstrip().startswith("{"):
        return "JSON"
    for kind in ("TOML", "YAML"):
        try:
            document = _PARSERS[kind](text)
        except TextMistakeError:
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
