"""Pictures of curves, drawn with matplotlib (the extra ``plot``)."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from stepml.reports.comparison import Comparison
from stepml.reports.courses import AXES, course

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (12.0, 4.2)  # inches
DPI = 150
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


def curves_figure(comparison: Comparison) -> Figure:
    """Return a figure of the runs' measure, with a panel for each axis.

    No window is opened, and no state of ``matplotlib.pyplot`` changes.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    panels = figure.subplots(1, len(AXES), sharey=True)
    for panel, axis in zip(panels, AXES, strict=True):
        panel.set_xlabel(axis.title)
        panel.grid(alpha=0.3)
    if comparison.measure is None:
        return figure
    panels[0].set_ylabel(comparison.measure)
    for run in comparison.runs:
        for panel, axis in zip(panels, AXES, strict=True):
            _draw(panel, course(run, comparison.measure, axis), run.job_id)
    if comparison.level is not None:
        for panel in panels:
            panel.axhline(comparison.level, color="grey", linestyle=":", linewidth=1)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=2, frameon=False)
    return figure


def _draw(panel: Axes, points: list[tuple[float, float]], name: str) -> None:
    efforts, values = zip(*points, strict=True) if points else ((), ())
    marker = "o" if len(points) <= MOST_MARKED else ""
    panel.plot(efforts, values, marker=marker, markersize=3, label=name)
