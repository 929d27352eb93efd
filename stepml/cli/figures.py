"""Losses and metrics as a person reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stepml.job.reports import EpochReport, JobReport


def main_metric(report: EpochReport | JobReport) -> tuple[str, str]:
    """Return the first of a report's metrics, which says most, and its value; "" if none."""
    for name, value in report.metrics.items():
        return name, shown(value, 4)
    return "", ""


def shown(value: float, decimals: int) -> str:
    """Return a number with so many decimals, a large one with as many digits."""
    return f"{value:.{decimals}f}" if abs(value) < 1000 else f"{value:.{decimals}g}"
