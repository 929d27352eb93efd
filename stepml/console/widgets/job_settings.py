"""The settings of a job, given and chosen, and the places of its work and results."""

from __future__ import annotations

from stepml.console.widgets.facts import Fact, Facts, Lines
from stepml.console.widgets.tags import Tag
from stepml.deployment.consoles import execution_url
from stepml.reports.run_page import job_values
from stepml.reports.run_record import RunRecord


class JobSettings:
    """The settings of a job, its data, its results and its place, as its report has them.

    Parameters
    ----------
    arn : str
        Of the job's execution.
    """

    def __init__(self, arn: str) -> None:
        self._arn = arn
        with Tag("div", classes="columns"):
            self._settings = _Group("Settings")
            self._chosen = _Group("Chosen by StepML")
            self._data = _Group("Data")
            self._results = _Group("Results")
            self._place = _Group("Where it runs")
        self._notes = Lines("note")
        with Tag("p"):
            self._link = Tag("a", "The execution in AWS's console", rel="noreferrer")

    def show(self, record: RunRecord) -> None:
        """Show what a job is."""
        values = job_values(record)
        self._settings.show(values["settings"])
        self._chosen.show(values["choices"])
        self._data.show(values["data"])
        self._results.show(_results(record))
        self._place.show([("execution", self._arn), *values["environment"]])
        self._notes.show(values["notes"])
        self._link.set_visibility(not record.is_local)
        self._link.put(href=execution_url(self._arn))


class _Group:
    """Facts below a heading; nothing without any."""

    def __init__(self, title: str) -> None:
        with Tag("div") as self._box:
            Tag("h3", title)
            self._facts = Facts(title)

    def show(self, facts: list[Fact]) -> None:
        self._box.set_visibility(bool(facts))
        self._facts.show(facts)


def _results(record: RunRecord) -> list[Fact]:
    final = record.final
    if final is None:
        return []
    found = [("model", final.model_uri), ("report", final.report_uri)]
    return [*found, ("history", final.history_uri)]
