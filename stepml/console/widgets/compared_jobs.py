"""The jobs that are compared: their letters, status, and a way to compare others."""

from __future__ import annotations

from stepml.console.addresses import job_address
from stepml.console.compared import Compared
from stepml.console.widgets.tags import Tag, link
from stepml.reports.charts import COLOURS
from stepml.reports.letters import run_letters
from stepml.reports.run_record import RunRecord
from stepml.reports.status_words import status_word


class ComparedJobs:
    """A list of the jobs.

    Parameters
    ----------
    chosen : Compared
        With the jobs' names, in the order of their letters.
    """

    def __init__(self, chosen: Compared) -> None:
        self._chosen = chosen
        self._items: dict[str, _Item] = {}
        with Tag("ol", classes="compared", aria_label="Compared jobs"):
            letters = run_letters(len(chosen.names))
            for index, (letter, name) in enumerate(zip(letters, chosen.names, strict=True)):
                self._items[name] = _Item(index, letter, name)
        self.change(chosen)

    def place_of(self, name: str) -> Tag:
        """Return the place for what is to be said of a job."""
        return self._items[name].place

    def show(self, record: RunRecord) -> None:
        """Show the status of a job."""
        self._items[record.job_id].show(record)

    def change(self, chosen: Compared) -> None:
        """Keep to the person's choices in the links of the list."""
        for name, item in self._items.items():
            others = tuple(each for each in chosen.names if each != name)
            item.lead_to(chosen.with_jobs(others).address)


class _Item:
    def __init__(self, index: int, letter: str, name: str) -> None:
        with Tag("li"):
            with Tag("span", classes="letter"):
                Tag("i", classes=f"c{index % COLOURS}")
                Tag("b", letter)
            link(name, job_address(name), "long")
            self._status = Tag("span")
            self._remove = link("remove", "", "small", aria_label=f"Remove {name}")
            self.place = Tag("div")

    def show(self, record: RunRecord) -> None:
        self._status.say(status_word(record.status))
        self._status.classes(replace=f"status {record.status}")

    def lead_to(self, address: str) -> None:
        self._remove.put(href=address)
