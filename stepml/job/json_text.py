"""Decodes the text of a job, and refuses text that is not JSON."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from typing import Any

from stepml.job.errors import InvalidJobError
from stepml.job.file_kinds import binary_kind, text_kind
from stepml.job.json_mistakes import Mistake, constant_mistake, mistake_of

MOST_JOB_BYTES = 2**20  # of a file; a job has at most 262,144, UTF-32 four a character
SHOWN_COLUMNS = 74  # of the line with a mistake


def job_text(job: bytes, file: str = "") -> str:
    """Return the text in ``job``, encoded as UTF-8, UTF-16 or UTF-32, without a byte order mark.

    Parameters
    ----------
    job : bytes
    file : str
        Its file, for messages.

    Raises
    ------
    InvalidJobError
        It is binary, or in another encoding.
    """
    if kind := binary_kind(job):
        raise _not_json(kind, file)
    encoding = json.detect_encoding(job)
    try:
        return job.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        place = f"byte {error.start + 1} is 0x{job[error.start]:02x}"
        expected = encoding.removesuffix("-sig").upper()
        reason = f"it is not encoded as {expected}: {place}; save it as UTF-8"
        raise _not_json(reason, file) from None


def json_document(text: str, file: str = "") -> Any:
    """Return the JSON value in ``text``.

    Raises
    ------
    InvalidJobError
        It is not JSON. The error's note is the line of the mistake, with a caret below the place.
    """
    text = text.removeprefix("\ufeff")
    try:
        return json.loads(
            text,
            object_pairs_hook=_without_repeats,
            parse_constant=lambda name: _refuse(constant_mistake(text, name), text, file),
        )
    except json.JSONDecodeError as error:
        if not text.strip():
            raise _not_json("it is empty", file) from None
        if kind := text_kind(text):
            raise _not_json(kind, file) from None
        _refuse(mistake_of(error), text, file)
    except RecursionError:
        raise InvalidJobError("the job: values are nested too deeply") from None
    except ValueError as error:  # Python limits the digits of an integer
        if isinstance(error, InvalidJobError):
            raise
        raise InvalidJobError("the job: a number has too many digits") from None


def _not_json(reason: str, file: str) -> InvalidJobError:
    return InvalidJobError(f"the job is not JSON: {f'{file!r}: ' if file else ''}{reason}")


def _refuse(mistake: Mistake, text: str, file: str) -> Any:
    line = text.count("\n", 0, mistake.at) + 1
    column = mistake.at - text.rfind("\n", 0, mistake.at)
    error = _not_json(f"line {line}, column {column}: {mistake.words}", file)
    error.add_note("\n".join(excerpt(text.split("\n")[line - 1], column - 1)))
    raise error from None


def excerpt(line: str, at: int) -> tuple[str, str]:
    """Return a line of text, cut to `SHOWN_COLUMNS`, and a line with a caret below ``at``."""
    line = "".join(each if each.isprintable() else " " for each in line).rstrip()
    begin = len(line) - len(line.lstrip())
    if len(line) - begin > SHOWN_COLUMNS and at - begin > SHOWN_COLUMNS * 2 // 3:
        begin = at - SHOWN_COLUMNS * 2 // 3
    end = begin + SHOWN_COLUMNS
    before, after = line[begin:at], line[at:end]
    if line[:begin].strip():
        before = f"…{before[1:]}"
    if line[end:]:
        after = f"{after[:-1]}…"
    width = sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in before)
    return f"{before}{after}", f"{' ' * width}^"


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        repeated = sorted(json.dumps(name)[1:-1] for name, count in counts.items() if count > 1)
        raise InvalidJobError(f"the job has a field twice: {', '.join(repeated)}")
    return found
