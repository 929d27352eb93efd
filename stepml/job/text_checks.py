"""Checks of the fields that say how text is written."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from stepml.job.errors import InvalidJobError
from stepml.job.format_checks import check_format_of
from stepml.job.formats import FormatFacts
from stepml.job.spec import JobSpec

_Has = Callable[[FormatFacts], bool]


def _is_text(facts: FormatFacts) -> bool:
    return facts.is_text


def _has_text_columns(facts: FormatFacts) -> bool:
    return facts.is_text and facts.label == "column"


_FORMATS_OF: dict[str, _Has] = {
    "delimiter": _has_text_columns,
    "decimal": _has_text_columns,
    "thousands": _has_text_columns,
    "quoted_newlines": _has_text_columns,
    "missing_words": _has_text_columns,
    "encoding": _is_text,
    "comment": _is_text,
}
# They are parts of numbers or of quoted fields, or end lines.
_NO_SEPARATORS = frozenset('0123456789.+-eE"\r\n\0')
_NO_COMMENTS = frozenset('0123456789.+-"\r\n\0 \t')


def _check_delimiter(spec: JobSpec) -> None:
    _require_other("delimiter", spec.data.delimiter, _NO_SEPARATORS)


def _check_comment(spec: JobSpec) -> None:
    _require_other("comment", spec.data.comment, _NO_COMMENTS)


def _require_other(field: str, value: str | None, refused: frozenset[str]) -> None:
    if value is not None and (value in refused or not value.isascii()):
        raise InvalidJobError(
            f"data.{field}: expected one character of ASCII that is no part of a number and no "
            f"quote, such as {'#' if field == 'comment' else ';'!r}, got {value!r}"
        )


def _check_roles(spec: JobSpec) -> None:
    """Refuse one character in two roles; quoted numbers may have the delimiter in them."""
    data = spec.data
    if data.thousands == data.decimal:
        raise InvalidJobError(
            f"data.thousands: expected one that is not that of data.decimal, got {data.thousands!r}"
        )
    if data.comment is not None and data.comment == data.delimiter:
        raise InvalidJobError(
            f"data.comment: expected one that is not that of data.delimiter, got {data.comment!r}"
        )


TEXT_CHECKS: tuple[Callable[[JobSpec], Any], ...] = (
    *(partial(check_format_of, field, has_it) for field, has_it in _FORMATS_OF.items()),
    _check_delimiter,
    _check_comment,
    _check_roles,
)
