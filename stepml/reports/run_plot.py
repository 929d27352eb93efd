"""The picture of one run: its loss, its metrics, and where the time of each epoch went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stepml.job.reports import EpochReport
from stepml.reports.courses import Axis
from stepml.reports.learning_curves import metric_groups
from stepml.reports.run_head import judged_rows
from stepml.reports.run_record import RunRecord
from stepml.reports.scales import scale_of
from stepml.reports.timelines import PARTS, rank_parts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from stepml.reports.self_showing import Plot

WIDTH, HEIGHT = 4.4, 3.4  # inches of a panel
MOST_MARKED = 60  # points of a curve that are marked
MOST_TICKS = 5
LEAST_S = 0.0005  # of a part that is drawn


def run_figure(record: RunRecord, axis: Axis) -> Plot:
    """Return a figure of a run, with panels for the loss, the metrics and the time of ranks.

    Metrics that are shares are in one panel; others are left out. Of a run without epochs, the
    figure has one empty panel.

    Parameters
    ----------
    record : RunRecord
    axis : Axis
        The effort by which the curves are drawn; see `stepml.reports.courses`.
    """
    from stepml.reports.self_showing import Plot

    reports, rows = record.epochs, judged_rows(record)
    shares = next((names for _, names in metric_groups(reports)), [])
    has_parts = any(rank_parts(each) for each in reports)
    n_panels = 1 + bool(shares) + has_parts
    figure = Plot(figsize=(WIDTH * n_panels, HEIGHT), layout="constrained")
    panels = list(figure.subplots(1, n_panels, squeeze=False)[0])
    _draw_loss(panels.pop(0), reports, rows, axis)
    if shares:
        _draw_metrics(panels.pop(0), reports, shares, rows, axis)
    if has_parts:
        _draw_time(panels.pop(0), reports)
    figure.suptitle(f"{record.job_id}: {record.status.lower()}", fontsize="medium")
    return figure


def _draw_loss(panel: Axes, reports: Sequence[EpochReport], rows: str, axis: Axis) -> None:
    efforts = [axis.effort(each) for each in reports]
    losses = [each.loss for each in reports]
    _draw(panel, efforts, losses, rows)
    if rows != "training":
        panel.plot(efforts, [each.training_loss for each in reports], "--", label="training")
    if scale_of(losses, 0.0, 1.0).is_logarithmic:
        panel.set_yscale("log")
    _finish(panel, "loss", axis.title)


def _draw_metrics(
    panel: Axes, reports: Sequence[EpochReport], names: Sequence[str], rows: str, axis: Axis
) -> None:
    for name in names:
        known = [each for each in reports if name in each.metrics]
        _draw(panel, list(map(axis.effort, known)), [each.metrics[name] for each in known], name)
    _finish(panel, f"on the {rows} rows", axis.title)


def _draw_time(panel: Axes, reports: Sequence[EpochReport]) -> None:
    """Draw the seconds of the median rank in each epoch, by part, on top of each other."""
    epochs = [each.epoch for each in reports]
    parts = [rank_parts(each) for each in reports]
    below = [0.0] * len(reports)
    for name in PARTS:
        seconds = [each.get(name, 0.0) for each in parts]
        if max(seconds, default=0.0) >= LEAST_S:
            panel.bar(epochs, seconds, bottom=below, width=0.8, label=name)
            below = [low + more for low, more in zip(below, seconds, strict=True)]
    _finish(panel, "seconds of the median rank", "epoch", has_room=False)


def _draw(panel: Axes, efforts: list[float], values: list[float], name: str) -> None:
    marker = "o" if len(values) <= MOST_MARKED else ""
    panel.plot(efforts, values, marker=marker, markersize=3, label=name)


def _finish(panel: Axes, title: str, x_title: str, *, has_room: bool = True) -> None:
    from matplotlib.ticker import MaxNLocator

    panel.set_title(title, fontsize="medium")
    panel.set_xlabel(x_title)
    panel.grid(alpha=0.3)
    if panel.get_legend_handles_labels()[0]:
        beside: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
        panel.legend(fontsize="small", frameon=False, **({} if has_room else beside))
    panel.xaxis.set_major_locator(
        MaxNLocator(MOST_TICKS, integer=x_title == "epoch", min_n_ticks=1)
    )
