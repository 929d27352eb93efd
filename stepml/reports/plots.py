"""Pictures of curves, drawn with matplotlib (the extra ``plot``)."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from math import ceil
from typing import TYPE_CHECKING

from stepml.reports.comparison import Comparison
from stepml.reports.courses import AXES, EPOCH, Axis, course
from stepml.reports.run_record import RunRecord
from stepml.reports.scales import scale_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from stepml.reports.self_showing import Plot

WIDTH, HEIGHT = 12.0, 3.8  # inches, beside the names of runs
NAMES_A_LINE, LINE_HEIGHT = 2, 0.24
DPI = 150
MOST_TICKS = 5
COLOURS = 10  # of matplotlib, before they begin again
MOST_MARKED = 60  # points of a curve that are marked


def curves_picture(comparison: Comparison, format: str = "png") -> bytes:  # noqa: A002
    """Return a picture of the runs' measure by epoch, second and dollar.

    Parameters
    ----------
    comparison : Comparison
    format : str
        One of matplotlib's formats: png, svg or pdf.
    """
    picture = BytesIO()
    curves_figure(comparison).savefig(picture, format=format, dpi=DPI)
    return picture.getvalue()


def curves_figure(comparison: Comparison) -> Plot:
    """Return a figure of the runs' measure, with a panel for each axis.

    No window is opened, and no state of ``matplotlib.pyplot`` changes. As in charts of pages, a few
    values that are much larger than the others make the scale logarithmic.
    """
    from matplotlib.ticker import MaxNLocator

    from stepml.reports.self_showing import Plot

    lines = ceil(len(comparison.runs) / NAMES_A_LINE)
    figure = Plot(figsize=(WIDTH, HEIGHT + LINE_HEIGHT * lines), layout="constrained")
    panels = figure.subplots(1, len(AXES), sharey=True)
    for panel, axis in zip(panels, AXES, strict=True):
        panel.set_xlabel(axis.title)
        panel.xaxis.set_major_locator(MaxNLocator(MOST_TICKS, integer=axis is EPOCH, min_n_ticks=1))
        panel.grid(alpha=0.3)
        if comparison.measure is not None:
            _draw_runs(panel, comparison.runs, comparison.measure, axis)
        if comparison.level is not None:
            panel.axhline(comparison.level, color="grey", linestyle=":", linewidth=1)
    panels[0].set_ylabel(comparison.measure or "")
    handles, names = panels[0].get_legend_handles_labels()
    if names:
        figure.legend(handles, names, loc="outside upper center", ncols=NAMES_A_LINE, frameon=False)
    return figure


def _draw_runs(panel: Axes, runs: Sequence[RunRecord], measure: str, axis: Axis) -> None:
    values: list[float] = []
    for index, run in enumerate(runs):
        points = course(run, measure, axis)
        efforts, reached = zip(*points, strict=True) if points else ((), ())
        values += reached
        marker = "o" if len(points) <= MOST_MARKED else ""
        style = "--" if index // COLOURS % 2 else "-"
        panel.plot(efforts, reached, style, marker=marker, markersize=3, label=run.job_id)
    if scale_of(values, 0.0, 1.0).is_logarithmic:
        panel.set_yscale("log")
