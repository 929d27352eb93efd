"""Kinds of files that are taken for a job by mistake, by their first bytes or lines."""

from __future__ import annotations

import re

# The advice is the job's shape; of data, also the place of their name.
_SHAPE = "a job is a JSON object: {…}"
_OF_DATA = "a job is a JSON object, which names its data in data.uri"

_BINARY: tuple[tuple[bytes, str, str], ...] = (
    (b"PAR1", "it is a Parquet file", _OF_DATA),
    (b"PK\x03\x04", "it is a zip archive, such as npz", _OF_DATA),
    (b"\x93NUMPY", "it is an array of NumPy", _OF_DATA),
    (b"\x89HDF", "it is an HDF5 file", _OF_DATA),
    (b"SQLite format 3", "it is a database of SQLite", _OF_DATA),
    (b"\x00\x00\x08", "it is an array of bytes, as MNIST has them", _OF_DATA),
    (b"\x1f\x8b", "it is compressed by gzip", _SHAPE),
    (b"BZh", "it is compressed by bzip2", _SHAPE),
    (b"\xfd7zXZ", "it is compressed by xz", _SHAPE),
    (b"\x28\xb5\x2f\xfd", "it is compressed by zstd", _SHAPE),
    (b"\x80\x04", "it is a pickle of Python", _SHAPE),
    (b"\x80\x05", "it is a pickle of Python", _SHAPE),
    (b"%PDF", "it is a PDF file", _SHAPE),
    (b"\x89PNG", "it is an image", _SHAPE),
    (b"\xff\xd8\xff", "it is an image", _SHAPE),
    (b"GIF8", "it is an image", _SHAPE),
    (b"\x7fELF", "it is a program", _SHAPE),
)
_SAFETENSORS = re.compile(rb"[\s\S]{6}\x00\x00\{\"")  # the length of its header comes first

# Of the first line that is no comment.
_TEXT: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"<"), "HTML or XML"),
    (re.compile(r"(?:import|from|def|class|async|with) \w|\w+ = (?:dict\(|\{['\"])"), "Python"),
    (re.compile(r"\[\[?[\w.\"-]+\]\]?$|\"?[\w.-]+\"?\s*=\s*\S"), "TOML"),
    (re.compile(r"---$|- \S|[A-Za-z_][\w-]*:(?:\s.*)?$"), "YAML"),
)
_OF_A_JOB = ("TOML", "YAML")  # which the command line also reads
_MARKDOWN = re.compile(r"#{1,6} .*|.*\n(?:=+|-+)$", re.MULTILINE)
_SPARSE_ROW = re.compile(r"[^\s:]+(?:\s+\d+:\S+)+$")
_NAME_OF_FILE = re.compile(r"\S+\.(?:json|ya?ml|toml)$")


def binary_kind(content: bytes) -> str | None:
    """Return the kind of file with this content, and advice, in words; None if it is text."""
    for beginning, kind, advice in _BINARY:
        if content.startswith(beginning):
            return f"{kind}; {advice}"
    if _SAFETENSORS.match(content):
        return f"it is a safetensors file, such as a model; {_SHAPE}"
    return None


def text_kind(text: str) -> str | None:
    """Return the kind of a text, in words; None if it is like JSON, or like nothing."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    bare = [line for line in lines if not line.startswith("#")]
    if lines[0].startswith("#!"):
        return f"it looks like a script; {_SHAPE}"
    if lines[0].startswith(("//", "/*")) or (bare[:1] != lines[:1] and _is_json(bare)):
        return "it begins with a comment, which JSON does not allow"
    for pattern, kind in _TEXT:
        if bare and pattern.match(bare[0]):
            advice = _elsewhere(kind) if kind in _OF_A_JOB else _SHAPE
            return f"it looks like {kind}; {advice}"
    if _is_json(bare):
        return None
    if _MARKDOWN.match("\n".join(lines[:2])):
        return f"it looks like Markdown; {_SHAPE}"
    if rows := _rows_kind(lines):
        return f"it looks like {rows}; {_OF_DATA}"
    if len(lines) == 1 and _NAME_OF_FILE.match(lines[0].strip()):
        return f"it is the name of a file, {lines[0].strip()}, not its content"
    return None


def _elsewhere(kind: str) -> str:
    name = f"FILE.{kind.lower()}"
    return f"stepml run {name} reads it, and stepml check {name} --print writes it as JSON"


def _is_json(lines: list[str]) -> bool:
    return bool(lines) and lines[0].lstrip().startswith(("{", "["))


def _rows_kind(lines: list[str]) -> str | None:
    """Return the name of a format for rows of data."""
    if all(_SPARSE_ROW.match(line) for line in lines[:2]):
        return "sparse rows of data"
    for delimiter, kind in ((",", "CSV"), ("\t", "TSV"), (";", "CSV")):
        counts = {line.count(delimiter) for line in lines[:2]}
        if len(lines) > 1 and len(counts) == 1 and counts != {0}:
            return kind
    return None
