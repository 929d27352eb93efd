"""Formats the quality of classes and decisions for people; see `stepml.reports.figures` too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stepml.cli.folding import folded
from stepml.job.spec_base import label_shown, label_text
from stepml.reports.figures import cost as cost
from stepml.reports.figures import count as count
from stepml.reports.figures import duration as duration
from stepml.reports.figures import finished as finished
from stepml.reports.figures import main_metric as main_metric
from stepml.reports.figures import on_its_own as on_its_own
from stepml.reports.figures import shortened as shortened
from stepml.reports.figures import shown as shown
from stepml.reports.figures import size as size

if TYPE_CHECKING:
    from stepml.job.reports import ClassQuality

MOST_CLASSES_SHOWN = 20
_UNBROKEN = "\N{NO-BREAK SPACE}"


def accuracy_lines(per_class: Sequence[ClassQuality]) -> list[str]:
    """Return lines with the accuracy of each class, which is its recall; none of two or many."""
    if not 2 < len(per_class) <= MOST_CLASSES_SHOWN:
        return []
    shares = (f"{label_shown(each.label)}:{_UNBROKEN}{each.recall:.4f}" for each in per_class)
    lines = folded(f"  per-class accuracy: {', '.join(shares)}")
    return [line.replace(_UNBROKEN, " ") for line in lines]


def class_lines(per_class: Sequence[ClassQuality]) -> list[str]:
    """Return a table of the quality of each class, with a header."""
    width = max(5, *(len(label_text(each.label)) for each in per_class))
    shares = ("precision", "recall", "f1")
    lines = [f"{'class':>{width}}  {'  '.join(f'{name:>9}' for name in shares)}  {'rows':>9}"]
    for each in per_class:
        values = "  ".join(f"{getattr(each, name):9.4f}" for name in shares)
        lines.append(f"{label_text(each.label):>{width}}  {values}  {each.support:9,}")
    return lines
