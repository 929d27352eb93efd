"""A job's understanding of its data, and its warnings, in lines of 80 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepml.cli.folding import folded
from stepml.reports.data_facts import data_facts

if TYPE_CHECKING:
    from stepml.job.reports import DatasetFacts, JobWarning


def data_lines(facts: DatasetFacts) -> list[str]:
    """Return the job's understanding of its data, with notes and warnings, as lines of text."""
    texts = [f"{name}: {text}" for name, text in data_facts(facts)]
    texts += map(warning_line, facts.warnings)
    return [line for text in texts for line in folded(text)]


def warning_line(warning: JobWarning) -> str:
    """Return a line of any length."""
    return f"warning: {warning.text}"
