"""The list of jobs as a table of 80 columns, or of a line for each job on a wide terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stepml.cli.figures import shortened
from stepml.client.job_cells import FACTS, FAILED, HEAD, fact_cells, head_cells, metric_name
from stepml.records.execution import RUNNING
from stepml.reports.aligned import GAP, aligned

if TYPE_CHECKING:
    from stepml.client.listing import JobSummary

Line = tuple[str, str]  # a line, and its style

INDENT = "  "
_HEAD_NUMBERS, _FACT_NUMBERS = {2, 3, 4}, {3}
_SHORTENED = (0, 1)  # model and algorithm, if the terminal is too narrow


def job_lines(jobs: Sequence[JobSummary], width: int) -> list[Line]:
    """Return the table of ``jobs`` with a header.

    A job has a line for its name, state and costs, and one for its settings and results; they are
    one if all of them fit. A job that has failed has one more, for its error.
    """
    metric = metric_name(jobs)
    heads = [HEAD, *map(head_cells, jobs)]
    facts = [(*FACTS, metric), *(fact_cells(job, metric) for job in jobs)]
    styles = [("bold", "bold"), *map(_styles, jobs)]
    whole = [(*head, *fact) for head, fact in zip(heads, facts, strict=True)]
    one = aligned(whole, _HEAD_NUMBERS | {len(HEAD) + each for each in _FACT_NUMBERS})
    reasons = [[], *(_reason(job, width) for job in jobs)]
    if max(map(len, one)) <= width:
        return [
            line
            for text, (style, _), reason in zip(one, styles, reasons, strict=True)
            for line in ((text, style), *reason)
        ]
    below = aligned(facts, _FACT_NUMBERS, width - len(INDENT), _SHORTENED)
    return [
        line
        for head, (style, other), fact, reason in zip(
            _head_lines(heads, width), styles, below, reasons, strict=True
        )
        for line in (*((each, style) for each in head), (INDENT + fact, other), *reason)
    ]


def _reason(job: JobSummary, width: int) -> list[Line]:
    """Return a line with the error of a job that has failed, or by whom it was stopped."""
    if not job.why:
        return []
    return [(shortened(f"{INDENT}{job.why}", width), "red" if job.status in FAILED else "")]


def _head_lines(heads: Sequence[Sequence[str]], width: int) -> list[list[str]]:
    """Return the lines on name, state and costs: two for a name that leaves no room."""
    rest = aligned([head[1:] for head in heads], {each - 1 for each in _HEAD_NUMBERS})
    room = width - len(GAP) - max(map(len, rest))
    longest = min(room, max(len(head[0]) for head in heads))
    return [
        [f"{name:<{longest}}{GAP}{more}"]
        if len(name) <= longest
        else [name, f"{'':<{longest}}{GAP}{more}"]
        for (name, *_), more in zip(heads, rest, strict=True)
    ]


def _styles(job: JobSummary) -> tuple[str, str]:
    """Return the styles of the two lines of a job."""
    colour = "red" if job.status in FAILED else "yellow" if job.status in RUNNING else ""
    return f"bold {colour}".strip(), colour
