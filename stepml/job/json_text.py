"""Decodes the text of a job, and explains mistakes in its JSON."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from stepml.job.errors import InvalidJobError

MOST_JOB_BYTES = 2**20  # of a file; a job has at most 262,144, UTF-32 four a character
MAX_SHOWN = 60

_BINARY = {
    b"PAR1": "a Parquet file",
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "compressed by gzip",
    b"%PDF": "a PDF file",
    b"\x89PNG": "an image",
}
_QUOTES = "'’‘“”„«»"  # typed by people and word processors
_YAML_LINE = re.compile(r"(?:---|[A-Za-z_][\w-]*:(?:\s.*)?)")
_PYTHON_WORDS = {"True": "true", "False": "false", "None": "null"}
_WORD = re.compile(r"[^\W\d]\w*")


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
    for beginning, kind in _BINARY.items():
        if job.startswith(beginning):
            raise _not_json(f"it is {kind}", file)
    encoding = json.detect_encoding(job)
    try:
        return job.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        place = f"byte {error.start + 1} is 0x{job[error.start]:02x}"
        expected = encoding.removesuffix("-sig").upper()
        reason = f"it is not encoded as {expected}: {place}; save it as UTF-8"
        raise _not_json(reason, file) from None


def json_document(text: str, file: str = "") -> Any:
    """Return the JSON value in ``text``, or raise `InvalidJobError`."""
    try:
        return json.loads(
            text.removeprefix("\ufeff"),
            object_pairs_hook=_without_repeats,
            parse_constant=lambda name: _refuse_constant(name, file),
        )
    except json.JSONDecodeError as error:
        raise _not_json(_explained(error), file) from None
    except RecursionError:
        raise InvalidJobError("the job: values are nested too deeply") from None
    except ValueError as error:  # Python limits the digits of an integer
        if isinstance(error, InvalidJobError):
            raise
        raise InvalidJobError("the job: a number has too many digits") from None


def _not_json(reason: str, file: str) -> InvalidJobError:
    return InvalidJobError(f"the job is not JSON: {f'{file!r}: ' if file else ''}{reason}")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        repeated = sorted(json.dumps(name)[1:-1] for name, count in counts.items() if count > 1)
        raise InvalidJobError(f"the job has a field twice: {', '.join(repeated)}")
    return found


def _refuse_constant(name: str, file: str) -> None:
    raise _not_json(f"{name} is not a JSON number", file)


def _explained(error: json.JSONDecodeError) -> str:
    """Return the mistake, its place and its line."""
    text = error.doc
    if not text.strip():
        return "it is empty"
    if not text.lstrip().startswith(("{", "[")) and (kind := _other_format(text)):
        return f"it looks like {kind}; a job is a JSON object: {{…}}"
    reason = _reason(text, error.pos) or error.msg[:1].lower() + error.msg[1:]
    line = text.splitlines()[error.lineno - 1].strip() if error.pos < len(text) else ""
    shown = f": {_cut(line)}" if line else ""
    return f"{reason}: line {error.lineno} column {error.colno}{shown}"


def _other_format(text: str) -> str | None:
    first = text.lstrip().splitlines()[0].rstrip()
    if first.startswith(("# ", "## ")) or first == "#":
        return "Markdown, or begins with a comment"
    if _YAML_LINE.fullmatch(first):
        return "YAML"
    if first.startswith("<"):
        return "HTML or XML"
    if first.startswith(("//", "/*")):
        return "JSON with comments, which JSON does not allow"
    if "," in first and "\n" in text:
        return "CSV"
    return None


def _reason(text: str, at: int) -> str | None:
    """Return the mistake at the position ``at`` in words; None if Python's are as good."""
    rest, before = text[at:].lstrip(), text[:at].rstrip()
    if rest.startswith(",") and rest[1:].lstrip().startswith(("}", "]")):  # from Python 3.13
        return "there is a comma after the last element"
    if before.endswith(",") and rest.startswith(("}", "]")):
        return "there is a comma after the last element"
    if not rest:
        return "the text ends too early; a bracket or a quote is not closed"
    if rest.startswith(("//", "/*", "#")):
        return "JSON has no comments"
    if rest[0] in _QUOTES:
        return f'strings need straight double quotes ("), not {rest[0]}'
    if word := _WORD.match(rest):
        return _reason_of_word(word[0], rest, text[:at].rstrip())
    return None


def _reason_of_word(word: str, rest: str, before: str) -> str | None:
    if word in _PYTHON_WORDS:
        return f"write {_PYTHON_WORDS[word]}, not {word}"
    if rest[len(word) :].lstrip().startswith(":") and before.endswith(("{", ",")):
        return f'names need double quotes: "{word}"'
    return None


def _cut(line: str) -> str:
    return line if len(line) <= MAX_SHOWN else f"{line[: MAX_SHOWN - 1]}…"
