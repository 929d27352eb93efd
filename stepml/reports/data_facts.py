"""A job's understanding of its data, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stepml.job.formats import FORMATS
from stepml.job.reports import MOST_LISTED
from stepml.job.spec_base import Label, label_shown, label_text
from stepml.reports.figures import count

if TYPE_CHECKING:
    from stepml.job.reports import DatasetFacts

_MOST_CLASSES = 6
_MOST_NAMED = 8
_FEW = 4
# The treatments of missing values, as the job names them.
_FILLS = {
    "fail": "an error",
    "zero": "0",
    "mean": "the mean",
    "median": "the median",
    "most_frequent": "the most frequent value",
    "level": "a level of their own",
}


def data_facts(facts: DatasetFacts) -> list[tuple[str, str]]:
    """Return the job's understanding of its data, as names and texts; notes and choices last."""
    parts = [_table(facts), _label(facts), _missing(facts)]
    found = [("data", "; ".join(filter(None, parts))), *_columns(facts)]
    found += [("note", note) for note in facts.notes]
    return [*found, ("chosen", _choices(facts))] if facts.choices else found


def value_text(value: bool | float | str | list[int]) -> str:
    """Return the value of a field of a job as the job has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _columns(facts: DatasetFacts) -> list[tuple[str, str]]:
    """Return facts about the columns of a table that is not of numbers alone."""
    if not facts.kinds:
        return []
    kinds = ", ".join(_columns_of(number, kind) for kind, number in facts.kinds.items())
    found = [("features", f"{kinds}: {count(facts.features, 'feature')} of the model")]
    if facts.levels:
        texts = [f"{name} {number or 'hashed'}" for name, number in facts.levels.items()]
        found.append(("levels", _some(texts)))
    if facts.fills:
        texts = [f"{_FILLS.get(fill, fill)} ({_few(names)})" for fill, names in facts.fills.items()]
        found.append(("missing values become", ", ".join(texts)))
    if facts.left_out:
        found.append(("left out", _some(facts.left_out)))
    return found


def _columns_of(number: int, kind: str) -> str:
    return (
        "1 category"
        if (number, kind) == (1, "category")
        else (f"{number} categories" if kind == "category" else count(number, kind))
    )


def _few(columns: Sequence[str]) -> str:
    if len(columns) <= _FEW:
        return ", ".join(columns)
    more = " or more" if len(columns) == MOST_LISTED else ""
    return f"{count(len(columns), 'column')}{more}"


def _some(texts: Sequence[str]) -> str:
    more, at_least = len(texts) - _MOST_NAMED, "at least " * (len(texts) == MOST_LISTED)
    return ", ".join(texts[:_MOST_NAMED]) + (f" and {at_least}{more} more" if more > 0 else "")


def _choices(facts: DatasetFacts) -> str:
    texts = (
        f"{path.rpartition('.')[2]} {value_text(each)}" for path, each in facts.choices.items()
    )
    return ", ".join(texts).replace("name ", "algorithm ", 1)


def _table(facts: DatasetFacts) -> str:
    rows = f"{facts.rows:,} row{'' if facts.rows == 1 else 's'}"
    columns = [count(facts.columns, "column")] if facts.columns else []
    header = {None: "", True: ", header", False: ", no header"}[facts.header]
    objects = f", {facts.objects} objects" if facts.objects > 1 else ""
    return f"{', '.join([rows, *columns])} ({facts.format}{header}{objects})"


def _label(facts: DatasetFacts) -> str:
    if not facts.label:
        return "no label, all columns are features" if facts.columns else "no label"
    is_column = FORMATS[facts.format].label == "column"
    where = f"label {facts.label!r}" if is_column else facts.label
    if not facts.is_learnt:
        return f"{where}, not learnt"
    if facts.classes:
        return f"{where}, {_classes(facts.classes)}"
    return f"{where}, {_range(facts.label_range)}"


def _range(ends: list[float]) -> str:
    short = list(map(_number, ends))
    # Ends that differ are shown with all the digits that this takes.
    return " to ".join(short if len(set(short)) == len(set(ends)) else map(label_text, ends))


def _classes(classes: list[Label]) -> str:
    if len(classes) <= _MOST_CLASSES:
        return f"classes {', '.join(map(label_shown, classes))}"
    return f"{len(classes)} classes, {label_shown(classes[0])} to {label_shown(classes[-1])}"


def _number(label: float) -> str:
    return label_text(label) if label.is_integer() else f"{label:.6g}"


def _missing(facts: DatasetFacts) -> str:
    # The levels of a category may have one for missing values, which is filled in with nothing.
    number, noun = facts.missing_values, "number" if facts.kinds else "value"
    none = "no number missing" if facts.kinds else "none missing"
    return f"{count(number, noun)} missing" if number else none
