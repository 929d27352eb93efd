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
    """Return a number with so many decimals, or as many as four characters more have room for."""
    if 0 < abs(value) < 10 ** (2 - decimals):
        return f"{value:.3g}"
    for places in range(decimals, -1, -1):
        text = f"{value:.{places}f}"
        if len(text) <= decimals + 4:
            return text
    return f"{value:.{decimals - 2}g}"
