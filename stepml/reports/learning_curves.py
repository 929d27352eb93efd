"""Curves of a run by epoch: loss, metrics, and the share of communication."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from markupsafe import Markup

from stepml.job.measures import MEASURES
from stepml.job.reports import EpochReport
from stepml.reports.charts import Series, line_chart

MOST_LINES = 6  # in a chart of metrics
MOST_METRICS = 12


def learning_curves(reports: Sequence[EpochReport], rows: str = "validation") -> list[Markup]:
    """Return a chart of the loss, and charts of the metrics on the ``rows`` of that name.

    One epoch has no curves.
    """
    if len(reports) < 2:
        return []
    charts = [line_chart(title, lines, "epoch") for title, lines in learning_lines(reports, rows)]
    return [chart for chart in charts if chart]


def learning_lines(
    reports: Sequence[EpochReport], rows: str = "validation"
) -> list[tuple[str, list[Series]]]:
    """Return the title and the lines of each chart of `learning_curves`."""
    loss = [Series(rows, _points(reports, lambda each: each.loss))]
    if rows != "training":
        training = _points(reports, lambda each: each.training_loss)
        loss.append(Series("training", training, is_dashed=True))
    metrics = [
        (f"{title}, {rows} rows", [Series(name, metric_points(reports, name)) for name in names])
        for title, names in metric_groups(reports)
    ]
    return [("Loss", loss), *metrics]


def metric_points(reports: Sequence[EpochReport], name: str) -> list[tuple[float, float]]:
    """Return the values of a metric by epoch, where there are any."""
    return [(float(each.epoch), each.metrics[name]) for each in reports if name in each.metrics]


def communication_curve(reports: Sequence[EpochReport]) -> Markup:
    """Return a chart of the share of communication by epoch; empty for fewer than two epochs."""
    points = [
        (float(each.epoch), 100 * each.communication_share)
        for each in reports
        if each.communication_share is not None
    ]
    if len(points) < 2:
        return Markup()
    title = "Share of communication in the ranks' time"
    return line_chart(title, [Series("communication", points)], "epoch", "%", from_zero=True)


def _points(
    reports: Sequence[EpochReport], value: Callable[[EpochReport], float]
) -> list[tuple[float, float]]:
    return [(float(each.epoch), value(each)) for each in reports]


def metric_groups(reports: Sequence[EpochReport]) -> Iterator[tuple[str, list[str]]]:
    """Yield the title and the metrics of each chart: shares together, others alone."""
    names = list(dict.fromkeys(name for each in reports for name in each.metrics))[:MOST_METRICS]
    shares = [name for name in names if _is_share(reports, name)]
    for start in range(0, len(shares), MOST_LINES):
        group = shares[start : start + MOST_LINES]
        yield ("Metrics" if len(group) > 1 else group[0]), group
    for name in names:
        if name not in shares and not is_loss(reports, name):
            yield name, [name]


def _is_share(reports: Sequence[EpochReport], name: str) -> bool:
    is_good_when_large = MEASURES.get(name, False)
    return is_good_when_large and all(0 <= y <= 1 for _, y in metric_points(reports, name))


def is_loss(reports: Sequence[EpochReport], name: str) -> bool:
    """Return whether a metric is the loss under another name."""
    return all(name in each.metrics and each.metrics[name] == each.loss for each in reports)
