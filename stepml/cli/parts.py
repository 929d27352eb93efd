"""Shows where the time and the money of epochs went, as lines of 80 columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from stepml.cli.display import LINE_COLUMNS
from stepml.cli.figures import cost, size
from stepml.cli.folding import folded
from stepml.job.parts import FunctionTimes, Parts
from stepml.reports.aligned import aligned
from stepml.reports.epoch_rows import median_parts

if TYPE_CHECKING:
    from stepml.job.reports import EpochReport

_PARTS = Parts.__struct_fields__
# As wide as their names, or as a number of seconds.
_WIDTHS = {name: max(6, len(name)) for name in ("start", *_PARTS)}
_NONE = "-"
_LEAST_S = 0.0005
_ROLES = {"rank": "rank", "merger": "merge", "evaluator": "eval", "reducer": "reduce"}
_EARLIER = "no parts are known: an earlier version of StepML, or a resumed job, trained this"
_OF_MEDIAN = (
    "Seconds of the median rank; comm: the share of communication (encode, wait, transfer, merge) "
    "in the time of all ranks after their start. --epoch N shows each function."
)
_OF_FUNCTION = (
    "start: seconds from the start of the epoch to that of the function (*: in a new sandbox). The "
    "parts of a rank that was called again are sums of its calls, without killed ones."
)


def epoch_parts_lines(reports: Sequence[EpochReport]) -> Iterator[tuple[str, str | None]]:
    """Yield a table with a line for each epoch, the cost by kind, and an explanation, with styles.

    A report of an earlier version has no parts.
    """
    known = [each for each in reports if each.quantiles]
    if not known:
        yield _EARLIER, None
        return
    yield _epoch_line("epoch", list(_WIDTHS), "comm"), "bold"
    for report in known:
        parts = median_parts(report)
        share = report.communication_share
        seconds = [_seconds(parts.get(name, 0.0)) for name in _WIDTHS]
        yield (
            _epoch_line(str(report.epoch), seconds, _NONE if share is None else f"{share:.0%}"),
            None,
        )
    yield "", None
    yield from ((line, None) for line in folded(_costs(known)))
    yield from ((line, None) for line in folded(_OF_MEDIAN))


def function_lines(functions: Sequence[FunctionTimes]) -> Iterator[tuple[str, str | None]]:
    """Yield a table of the times of functions, one of their requests and costs, with styles."""
    if not functions:
        yield _EARLIER, None
        return
    yield _function_line("", list(_WIDTHS)), "bold"
    for each in functions:
        parts = [_seconds(getattr(each.parts, name)) for name in _PARTS]
        start = _seconds(each.start) + ("*" if each.is_cold else "")
        yield _function_line(_name(each), [start, *parts]), None
    yield "", None
    header, *lines = aligned([*_traffic_rows(functions)], range(1, 7), LINE_COLUMNS, [7])
    yield header, "bold"
    yield from ((line, None) for line in lines)
    yield "", None
    yield from ((line, None) for line in folded(_OF_FUNCTION))


def _traffic_rows(functions: Sequence[FunctionTimes]) -> Iterator[Sequence[str]]:
    """Yield a header, and rows: a function has one for each of its services."""
    yield "", "cost $", "calls", "init", "requests", "sent", "received", "to and from"
    for each in functions:
        head = [_name(each), cost(each.cost_usd), str(each.calls), _seconds(each.init)]
        for service, found in each.traffic.items():
            sizes = size(found.sent_bytes), size(found.received_bytes)
            yield *head, str(found.requests), *sizes, service
            head = [""] * len(head)


def _costs(reports: Sequence[EpochReport]) -> str:
    kinds: Counter[str] = Counter()
    for report in reports:
        kinds.update(report.costs)
    total = sum(report.cost_usd for report in reports) or 1.0
    each = ", ".join(f"{kind} $ {cost(usd)} ({usd / total:.0%})" for kind, usd in kinds.items())
    return f"Cost of these epochs: {each}."


def _name(times: FunctionTimes) -> str:
    name = _ROLES[times.role]
    return name if times.role == "reducer" else f"{name} {times.index}"


def _epoch_line(epoch: str, seconds: Sequence[str], share: str) -> str:
    return f"{epoch:>5} {_row(seconds)} {share:>4}"


def _function_line(name: str, seconds: Sequence[str]) -> str:
    return f"{name:<9} {_row(seconds)}"


def _row(cells: Sequence[str]) -> str:
    return " ".join(f"{cell:>{width}}" for cell, width in zip(cells, _WIDTHS.values(), strict=True))


def _seconds(value: float) -> str:
    """Format seconds in six characters."""
    if value < _LEAST_S:
        return _NONE
    decimals = 3 if value < 100 else 2 if value < 1000 else 0
    return f"{value:.{decimals}f}"
