"""Formats losses, metrics, costs and sizes for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stepml.job.reports import EpochReport

LOCAL_BASIS = "AWS list prices × local seconds"  # of costs on the local AWS, where nobody pays


def main_metric(report: EpochReport) -> tuple[str, str]:
    """Return the name and value of the metric by which the job judges, or of its first one.

    They are empty strings if there is none.
    """
    name = report.measure if report.measure in report.metrics else next(iter(report.metrics), "")
    return name, shown(report.metrics[name], 4) if name else ""


def shown(value: float, decimals: int) -> str:
    """Format a number with ``decimals`` decimals, fewer if it needs too many characters."""
    if 0 < abs(value) < 10 ** (2 - decimals):
        return f"{value:.3g}"
    for places in range(decimals, -1, -1):
        text = f"{value:.{places}f}"
        if len(text) <= decimals + 4:
            return text
    return f"{value:.{decimals - 2}g}"


def on_its_own(value: float, decimals: int) -> str:
    """Format a number for a line of its own: as `shown`, but very large ones with six digits."""
    text = shown(value, decimals)
    return f"{value:.6g}" if "e+" in text else text


def finished(decision: str) -> str:
    """Return the decision of a report in words: a person has stopped nothing."""
    return "finished" if decision == "stopped" else decision


def cost(usd: float) -> str:
    """Format US dollars in eight characters, with at most six decimals."""
    for places in range(6, -1, -1):
        text = f"{usd:.{places}f}"
        if len(text) <= 8:
            return text
    return f"{usd:.2g}"


def count(number: int, noun: str) -> str:
    """Return ``number`` and ``noun``, in the plural unless the number is 1."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def epochs_text(first: int, last: int) -> str:
    """Return the epochs from ``first`` to ``last`` in words: ``epochs 1 to 3``."""
    return f"epoch {first}" if first == last else f"epochs {first} to {last}"


def size(n_bytes: int) -> str:
    """Format a number of bytes: ``1.2 MB``."""
    amount, unit = float(n_bytes), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if round(amount, 1) < 1000 or unit == "TB":
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"


def duration(seconds: float) -> str:
    """Format a time in seven characters: ``3.5 s``, ``25 min`` or ``1.5 h``."""
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    if seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def shortened(text: str, columns: int) -> str:
    """Return ``text``, cut off after ``columns`` characters."""
    return text if len(text) <= columns else f"{text[: columns - 1].rstrip()}…"


def shortened_inside(text: str, columns: int) -> str:
    """Return ``text``, without its middle if it is too long: names of files differ at the end."""
    if len(text) <= columns:
        return text
    before = (columns - 1) // 2
    return f"{text[:before]}…{text[len(text) - (columns - 1 - before) :]}"
