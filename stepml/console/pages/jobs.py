"""The jobs of the stack, newest first: filtered, sorted, chosen to be compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from fastapi import Request
from nicegui import ui

from stepml.client.arguments import STATUSES
from stepml.client.job_list import JobListing
from stepml.console.addresses import JOBS, NEW, compare_address
from stepml.console.board import Board
from stepml.console.frame import frame
from stepml.console.jobs_board import jobs_feed
from stepml.console.jobs_shown import JobsShown, facts_of
from stepml.console.live import Place
from stepml.console.widgets.choices import Search, Select
from stepml.console.widgets.job_columns import job_columns
from stepml.console.widgets.table import Selection, Table
from stepml.console.widgets.tags import Tag, button, link, replace_address
from stepml.records.execution import RUNNING
from stepml.reports.figures import LOCAL_BASIS, count
from stepml.reports.status_words import status_word

TICK_S = 1.0  # by which the time of running jobs goes on
HINT = "Choose two or more jobs to compare them."


def register(board: Board) -> None:
    """Serve the view."""

    @ui.page(JOBS)
    def view(request: Request) -> None:
        with frame(board, "Jobs", JOBS):
            JobsView(board, JobsShown.of_query(request.query_params))


class JobsView:
    """The list, with the fields that filter it.

    Parameters
    ----------
    board : Board
    shown : JobsShown
        What the person has chosen at first.
    """

    def __init__(self, board: Board, shown: JobsShown) -> None:
        self._board, self._shown = board, shown
        self._listing = JobListing()
        self._draw_filters()
        self._selection = Selection(shown.chosen, self._choose)
        self._place = Place(self.show)
        self._empty = _Empty()
        with Tag("div") as self._list:
            self._count = Tag("p", classes="soft", role="status")
            self._table = Table(
                job_columns(),
                lambda job: job.name,
                "Jobs",
                shown.sort,
                lambda sort: self._change(sort=sort, page=self._shown.page),
                page=shown.page,
                on_turn=lambda page: self._change(page=page),
                selection=self._selection,
            )
            if board.client.connection.is_local:
                Tag("p", f"Cost: {LOCAL_BASIS}.", "soft small")
        self._list.set_visibility(False)
        self._older = button("", lambda: self._change(older=self._shown.older + 1))
        self._older.set_visibility(False)
        self._follow()
        ui.timer(TICK_S, self._tick)

    def _draw_filters(self) -> None:
        shown = self._shown
        with Tag("div", classes="tools", role="search"):
            Search("Search", shown.text, lambda text: self._change(text=text, older=0))
            statuses = {each: status_word(each) for each in STATUSES}
            Select("Status", {"": "all", **statuses}, shown.status, self._setter("status"))
            self._models = Select(
                "Model", _options((), shown.model), shown.model, self._setter("model")
            )
            self._channels = Select(
                "Channel", _options((), shown.channel), shown.channel, self._setter("channel")
            )
            with Tag("p", classes="tools-end"):
                self._hint = Tag("span", HINT, "soft small")
                self._compare = link("", "", "as-button")
                link("New job", NEW, "as-button")
        self._show_chosen()

    def _setter(self, name: str) -> Callable[[str], None]:
        return lambda value: self._change(**{name: value})

    def _change(self, **changes: Any) -> None:
        before, self._shown = self._shown, self._shown.with_(**changes)
        replace_address(self._shown.address)
        self._table.page = self._shown.page
        if before.asked != self._shown.asked:
            self._follow()
        self._draw()

    def _choose(self) -> None:
        chosen = tuple(map(str, self._selection.chosen))
        self._change(chosen=chosen, page=self._shown.page)

    def _show_chosen(self) -> None:
        chosen = self._shown.chosen
        can_compare = len(chosen) > 1
        self._hint.set_visibility(not can_compare and len(self._listing.jobs) > 1)
        self._compare.set_visibility(can_compare)
        self._compare.say(f"Compare {len(chosen)} jobs")
        self._compare.put(href=compare_address(chosen) if can_compare else None)

    def _follow(self) -> None:
        self._place.follow(jobs_feed(self._board, self._shown.asked), "the jobs")

    def show(self, listing: JobListing) -> None:
        """Show the jobs as they are now."""
        self._listing = listing
        self._draw()

    def _tick(self) -> None:
        if any(each.status in RUNNING for each in self._listing.jobs):
            self._draw()

    def _draw(self) -> None:
        listing, shown = self._listing, self._shown
        jobs = shown.of(listing.jobs)
        facts = [facts_of(each) for each in listing.jobs]
        self._models.offer(_options((each["model"] for each in facts), shown.model))
        self._channels.offer(_options((each["channel"] for each in facts), shown.channel))
        self._show_chosen()
        self._list.set_visibility(bool(jobs))
        self._empty.show(listing, bool(jobs), shown)
        self._count.say(_count(len(jobs), listing))
        self._older.set_visibility(listing.is_whole and listing.has_older)
        self._older.say("Search older jobs by name" if shown.text else "Show older jobs")
        self._table.show(jobs)


class _Empty:
    """The text for a person without jobs, or without any that are shown."""

    def __init__(self) -> None:
        with Tag("div", classes="box") as self._none, Tag("p"):
            Tag("span", "There are no jobs yet. Start one: ")
            link("New job", NEW)
            Tag("span", ", or on the command line ")
            Tag("code", "stepml run JOB.json")
        with Tag("div", classes="box") as self._hidden, Tag("p"):
            self._why = Tag("span")
            link("Show all jobs", JOBS)
        for each in (self._none, self._hidden):
            each.set_visibility(False)

    def show(self, listing: JobListing, shows_jobs: bool, shown: JobsShown) -> None:
        has_jobs = bool(listing.jobs)
        self._none.set_visibility(not has_jobs and not shown.is_filtered)
        self._hidden.set_visibility(not shows_jobs and (has_jobs or shown.is_filtered))
        newest = f"None of the newest {count(len(listing.jobs), 'job')}"
        self._why.say(f"{newest if listing.has_older else 'No job'} is like this. ")


def _options(found: Iterable[str], chosen: str) -> dict[str, str]:
    values = sorted({*filter(None, found), *filter(None, [chosen])})
    return {"": "all", **{value: value for value in values}}


def _count(n_shown: int, listing: JobListing) -> str:
    total = len(listing.jobs)
    whole = count(total, "job") if n_shown == total else f"{n_shown} of {count(total, 'job')}"
    more = "; reading more …" if not listing.is_whole else ", the newest" * listing.has_older
    return whole + more
