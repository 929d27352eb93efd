"""Several jobs side by side: curves over epochs, seconds and dollars, and tables of facts."""

from __future__ import annotations

import asyncio

from fastapi import Request
from nicegui import ui

from stepml.client.job_list import JobListing
from stepml.console.addresses import COMPARE, JOBS
from stepml.console.apart import apart
from stepml.console.board import Board
from stepml.console.compared import MOST_JOBS, Compared
from stepml.console.defects import defect
from stepml.console.frame import frame
from stepml.console.jobs_board import JobNow, job_feed, jobs_feed
from stepml.console.live import live
from stepml.console.widgets.choices import Select
from stepml.console.widgets.compared_facts import ComparedCurves, ComparedFacts
from stepml.console.widgets.compared_jobs import ComparedJobs
from stepml.console.widgets.facts import Lines
from stepml.console.widgets.notices import Notice
from stepml.console.widgets.tags import Tag, button, download, link, replace_address
from stepml.reports.comparison import Comparison, compare
from stepml.reports.comparison_page import comparison_page
from stepml.reports.comparison_rows import csv_text
from stepml.reports.run_record import RunRecord

NOT_CHOSEN = {"": "choose one"}


def register(board: Board) -> None:
    """Serve the view."""

    @ui.page(COMPARE)
    def view(request: Request) -> None:
        with frame(board, "Compare", COMPARE):
            CompareView(board, Compared.of_query(request.query_params.multi_items()))


class CompareView:
    """The comparison, with the field that adds a job.

    Parameters
    ----------
    board : Board
    chosen : Compared
        What the person has chosen at first.
    """

    def __init__(self, board: Board, chosen: Compared) -> None:
        self._board, self._chosen = board, chosen
        # A job that has not been read has its place, so that others keep their letters.
        self._records = {name: RunRecord(name, "") for name in chosen.names}
        self._task: asyncio.Task[None] | None = None
        self._is_old = False
        self._draw_chooser()
        self._jobs = ComparedJobs(chosen)
        self._notice = Notice()
        with Tag("div") as self._shown:
            self._notes = Lines("note")
            Tag("h2", "Learning")
            self._curves = ComparedCurves(chosen, self._change)
            self._facts = ComparedFacts()
            self._basis = Tag("p", classes="soft small")
            with Tag("p", classes="tools"):
                button("Download as a page", self._download_page)
                button("Download as CSV", self._download_csv)
        self._shown.set_visibility(False)
        for name in chosen.names:
            with self._jobs.place_of(name):
                live(job_feed(board, name), f"the job {name}", self._hear)

    def _draw_chooser(self) -> None:
        names = self._chosen.names
        if len(names) < 2:
            with Tag("p", classes="box"):
                Tag("span", "Add two jobs or more here, or tick them in the ")
                link("list of jobs", JOBS)
                Tag("span", ".")
        if len(names) >= MOST_JOBS:
            Tag("p", f"These are {MOST_JOBS} jobs, the most that are compared.", "soft")
            return
        with Tag("div", classes="tools"):
            self._others = Select("Add a job", NOT_CHOSEN, "", self._add)
        live(jobs_feed(self._board), "the jobs", self._offer)

    def _offer(self, listing: JobListing) -> None:
        names = [each.name for each in listing.jobs if each.name not in self._chosen.names]
        self._others.offer({**NOT_CHOSEN, **{name: name for name in names}})

    def _add(self, name: str) -> None:
        if name:
            ui.navigate.to(self._chosen.with_jobs((*self._chosen.names, name)).address)

    def _change(self, chosen: Compared) -> None:
        self._chosen = chosen
        replace_address(chosen.address)
        self._jobs.change(chosen)

    def _hear(self, now: JobNow) -> None:
        if now.record is self._records[now.name]:
            return
        self._records[now.name] = now.record
        self._jobs.show(now.record)
        self._is_old = True
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._keep_comparing())

    async def _keep_comparing(self) -> None:
        """Compare the jobs as long as there are news; a comparison takes a while."""
        while self._is_old and not self._shown.is_deleted:
            self._is_old = False
            try:
                comparison = await apart(self._compare)
                if not self._shown.is_deleted:
                    self.show(comparison)
            except Exception as error:
                self._notice.failed(str(defect(error)))

    def _compare(self) -> Comparison:
        return compare(list(self._records.values()))

    def show(self, comparison: Comparison) -> None:
        """Show the jobs as they are now."""
        self._shown.set_visibility(True)
        self._notice.clear()
        self._notes.show(comparison.notes)
        self._curves.show(comparison)
        self._facts.show(comparison)
        basis = comparison.cost_basis
        self._basis.say(f"Costs: {basis}." if basis else "")

    async def _download_page(self) -> None:
        page = await apart(lambda: comparison_page(self._compare()))
        download(page, "compare.html", "text/html")

    async def _download_csv(self) -> None:
        text = await apart(lambda: csv_text(self._compare()))
        download(text, "compare.csv", "text/csv")
