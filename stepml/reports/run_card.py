"""A run as a card for notebooks: its status, a bar, the last epochs and curves; and as text."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from stepml.records.failures import Failure
from stepml.reports.epoch_table import NOTE, epoch_columns
from stepml.reports.learning_curves import learning_curves
from stepml.reports.run_head import place_of
from stepml.reports.run_progress import RunProgress
from stepml.reports.svg import EMPTY, element, joined
from stepml.reports.tables import Table, TableRow

MOST_EPOCHS = 10  # in the table
MOST_CURVES = 2  # the loss and the metrics that are shares
MOST_RETRIED = 3
SEPARATOR = " · "


def run_card(progress: RunProgress) -> Markup:
    """Return the elements of a card; `stepml.reports.fragments.fragment` adds its styles."""
    return joined(
        _head(progress), _bar(progress), _line(progress), *_notes(progress), _body(progress)
    )


def run_text(progress: RunProgress) -> str:
    """Return the card as lines of text."""
    lines = [f"{progress.job_id}: {progress.status}", *_said(progress)]
    lines += [f"retried after {each.with_rank}" for each in progress.retried[-MOST_RETRIED:]]
    if progress.failure is not None:
        lines += [progress.failure.with_rank, f"next: {', '.join(next_calls(progress.failure))}"]
    lines += progress.notes
    return "\n".join([*lines, *([_table(progress).text()] if progress.epochs else [])])


def next_calls(failure: Failure) -> list[str]:
    """Return the calls on a run that help after its failure."""
    of_rank = "" if failure.rank is None else f"rank={failure.rank}"
    return [f"run.logs({of_rank})", *([] if failure.needs_change else ["run.retry()"])]


def retried_text(failure: Failure) -> str:
    """Return that an attempt at an epoch failed, and was repeated."""
    epoch = "an epoch" if failure.epoch is None else f"epoch {failure.epoch}"
    return f"{epoch} was retried after {failure.with_rank}"


def _head(progress: RunProgress) -> Markup:
    return element(
        "p",
        element("span", progress.job_id, class_="name"),
        " ",
        element("span", f"● {progress.status}", class_=f"status {progress.colour}"),
        " ",
        element("span", progress.job, class_="soft"),
    )


def _bar(progress: RunProgress) -> Markup:
    share = progress.share or 0.0
    filled = element("i", style=f"width:{100 * share:.1f}%")
    return element(
        "div",
        filled,
        class_="bar" if progress.is_running else f"bar {progress.colour}",
        role="progressbar",
        aria_valuenow=round(100 * share),
        aria_valuemax=100,
        aria_label=f"{progress.job_id}: {progress.status}",
    )


def _said(progress: RunProgress) -> list[str]:
    """Return the phase, the figures and the reason of the end as a line, if there are any."""
    words = SEPARATOR.join(filter(None, [progress.phase, *progress.figures, progress.reason]))
    return [words] if words else []


def _line(progress: RunProgress) -> Markup:
    return joined(*(element("p", text, class_="soft") for text in _said(progress)))


def _notes(progress: RunProgress) -> Iterator[Markup]:
    for failure in progress.retried[-MOST_RETRIED:]:
        yield element("p", retried_text(failure), class_="note")
    for text in progress.notes:
        yield element("p", text, class_="note")
    if progress.failure is not None:
        yield _failure(progress.failure)


def _failure(failure: Failure) -> Markup:
    where = place_of(failure)
    calls = (element("code", call) for call in next_calls(failure))
    return element(
        "div",
        element("p", element("strong", failure.error, class_="bad"), f": {failure.message}"),
        element("p", where, class_="soft") if where else EMPTY,
        element("p", "next: ", Markup(", ").join(calls)),
        class_="box failed",
    )


def _body(progress: RunProgress) -> Markup:
    if not progress.epochs:
        return EMPTY
    curves = learning_curves(progress.epochs, progress.rows)[:MOST_CURVES]
    charts = element("div", *curves, class_="charts") if curves else EMPTY
    return element("div", _table(progress).html(), charts, class_="side")


def _table(progress: RunProgress) -> Table:
    columns = epoch_columns(progress.epochs)
    last = progress.epochs[-MOST_EPOCHS:]
    rows = [TableRow([cell(each) for cell in columns.values()]) for each in last]
    return Table(list(columns), rows, frozenset({NOTE}))
