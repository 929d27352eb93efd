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


def cost(usd: float) -> str:
    """Return US dollars in eight characters, with six decimals or as many as there is room for."""
    for places in range(6, -1, -1):
        text = f"{usd:.{places}f}"
        if len(text) <= 8:
            return text
    return f"{usd:.2g}"


def count(number: int, noun: str) -> str:
    """Return ``number`` and its noun, in the plural if need be."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def shortened(text: str, columns: int) -> str:
    """Return ``text``, cut off if it is longer than so many columns."""
    return text if len(text) <= columns else f"{text[: columns - 1].rstrip()}…"
