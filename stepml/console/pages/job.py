"""One job: how far it is, how it learns, where time and money go, and why an attempt failed."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui

from stepml.client.job_watch import JobLook
from stepml.console.addresses import JOB, JOBS, job_address, number_in
from stepml.console.board import Board
from stepml.console.calm import Calm
from stepml.console.executions_board import executions_feed
from stepml.console.frame import frame
from stepml.console.jobs_board import JobNow, functions_feed, job_feed
from stepml.console.live import Place, live
from stepml.console.widgets.chronology import Chronology
from stepml.console.widgets.epochs_table import EpochsTable, FailedAttempts
from stepml.console.widgets.job_actions import JobActions
from stepml.console.widgets.job_costs import JobCosts
from stepml.console.widgets.job_graph import JobGraph
from stepml.console.widgets.job_head import JobHead
from stepml.console.widgets.job_learning import JobLearning
from stepml.console.widgets.job_settings import JobSettings
from stepml.console.widgets.part import Part
from stepml.console.widgets.tags import Tag, link, push_address, replace_address
from stepml.console.widgets.timeline import EpochChooser, EpochTimes, Timeline
from stepml.console.widgets.trail import Choice
from stepml.job.parts import FunctionTimes
from stepml.job.reports import EpochReport
from stepml.reports.phases import phase_rows

Show = Callable[[JobNow], object]
ORDER = {"sort", "page"}  # of a table: Back leaves the page instead of turning its pages
PARTS = {  # of the page, each with its address in it
    "states": "States",
    "learning": "Learning",
    "time": "Time of the ranks",
    "epochs": "Epochs",
    "costs": "Cost and time",
    "job": "The job",
}


# The parts come after the page: the browser has looked for the one of the address in vain.
TO_THE_PART = (
    "setTimeout(() => document.getElementById(location.hash.slice(1))?.scrollIntoView(), 300)"
)


class Chosen:
    """A person's choices on the page of a job; they are in its address."""

    def __init__(self, job: str, **settings: str) -> None:
        self._job, self._settings = job, settings

    def __getitem__(self, name: str) -> str:
        return self._settings.get(name, "")

    def number(self, name: str) -> int | None:
        """Return a setting that is a number from 1 on; None if it is none."""
        return number_in(self[name]) or None

    def address(self, **changes: str | int | None) -> str:
        """Return the address of the page with other choices."""
        return job_address(self._job, **{**self._settings, **changes})

    def choose(self, **changes: str | int | None) -> None:
        """Change choices, and the address with them; Back leads to those before."""
        show = replace_address if changes.keys() <= ORDER else push_address
        show(self.address(**changes))
        self._settings |= {name: str(value or "") for name, value in changes.items()}


def register(board: Board) -> None:
    """Serve the view."""

    @ui.page(JOB)
    def view(
        name: str,
        epoch: str = "",
        sort: str = "",
        page: str = "",
        state: str = "",
        visit: str = "",
        call: str = "",
        execution: str = "",
    ) -> None:
        of_graph = {"state": state, "visit": visit, "call": call, "execution": execution}
        chosen = Chosen(name, epoch=epoch, sort=sort, page=page, **of_graph)
        with frame(board, name, JOBS):
            live(job_feed(board, name), f"the job {name}", JobView(board, chosen).show)


class JobView:
    """The page of a job: its head changes at each reading, the rest when there are news.

    Parameters
    ----------
    board : Board
    chosen : Chosen
    calm : Calm, optional
        Says when charts are drawn.
    """

    def __init__(self, board: Board, chosen: Chosen, calm: Calm | None = None) -> None:
        self._board, self._chosen = board, chosen
        self._calm = calm or Calm()
        self._shown: JobLook | None = None
        self._heads: list[Show] = []
        self._parts: list[Show] = []
        self._charts: list[Show] = []

    def show(self, now: JobNow) -> None:
        """Show the job as it is now."""
        if self._shown is None:
            self._heads, self._parts, self._charts = self._build(now)
            ui.run_javascript(TO_THE_PART)
        for show in self._heads:  # the time so far
            show(now)
        if now.look is not self._shown:
            self._shown = now.look
            for show in self._parts:
                show(now)
        if self._calm.is_due(now.look):
            for show in self._charts:
                show(now)

    def _build(self, now: JobNow) -> tuple[list[Show], list[Show], list[Show]]:
        with Part("div"):
            head = JobHead(now.name)
            actions = JobActions(self._board, now.name)
        sections = _Sections()
        failed = FailedAttempts(now.name)
        with sections["states"]:
            graph = self._graph(now)
            Chronology(executions_feed(self._board, now.arn), self._state_address)
        with sections["learning"]:
            learning = JobLearning(now.name)
        with sections["time"]:
            times = EpochTimes(now.name)
            timeline = _TimelineSection(self._board, now.name, self._chosen)
        chosen = self._chosen
        with sections["epochs"]:
            page = chosen.number("page") or 1
            epochs = EpochsTable(now.name, chosen["sort"], page, chosen.choose)
        with sections["costs"]:
            costs = JobCosts()
        with sections["job"]:
            settings = JobSettings(now.arn)
        parts: list[Show] = [
            sections.show,
            lambda now: failed.show(now.record),
            lambda now: graph.show(now.record.attempts),
            lambda now: epochs.show(now.record),
            lambda now: settings.show(now.record),
        ]
        charts: list[Show] = [
            learning.show,
            lambda now: times.show(now.look.epochs),
            timeline.show,
            lambda now: costs.show(now.record),
        ]
        return [head.show, actions.show], parts, charts

    def _graph(self, now: JobNow) -> JobGraph:
        chosen = self._chosen
        asked = {name: chosen[name] for name in Choice().settings}
        return JobGraph(
            self._board,
            now.name,
            now.arn,
            self._state_address,
            Choice.parsed(**asked),
            lambda choice: chosen.choose(**choice.settings),
        )

    def _state_address(self, choice: Choice) -> str:
        return self._chosen.address(**choice.settings)


class _Sections:
    """The parts of the page with their headings, and links to them; some may be left out."""

    def __init__(self) -> None:
        with Tag("nav", classes="contents", aria_label="Parts of this page"):
            self._links = {key: link(title, f"#{key}") for key, title in PARTS.items()}
        self._parts: dict[str, Part] = {}

    def __getitem__(self, key: str) -> Part:
        """Return the place of a part, which is made the first time."""
        if key not in self._parts:
            self._parts[key] = Part("section", aria_labelledby=key)
            with self._parts[key]:
                Tag("h2", PARTS[key], id=key)
        return self._parts[key]

    def show(self, now: JobNow) -> None:
        """Leave out what a job that has ended will never have."""
        empty = set() if now.record.is_running else empty_parts(now)
        for key, part in self._parts.items():
            for each in (part, self._links[key]):
                each.set_visibility(key not in empty)


def empty_parts(now: JobNow) -> set[str]:
    """Return the parts of the page for which a job has nothing so far."""
    record = now.record
    has = {
        "learning": bool(now.look.epochs),
        "time": bool(record.epochs),
        "epochs": bool(record.attempts),
        "costs": bool(record.epochs or phase_rows(record)),
    }
    return {key for key, there in has.items() if not there}


class _TimelineSection:
    """The timeline of an epoch that a person chooses, or of the newest one."""

    def __init__(self, board: Board, job: str, chosen: Chosen) -> None:
        self._board, self._job, self._choices = board, job, chosen
        self._chooser = EpochChooser(chosen.number("epoch"), self._choose)
        self._none = Tag("p", "No epoch has ended yet.", "soft")
        self._timeline: Timeline | None = None
        self._place: Place[list[FunctionTimes]] = Place(self._draw)
        self._reports: dict[int, EpochReport] = {}
        self._shown: EpochReport | None = None

    def show(self, now: JobNow) -> None:
        self._reports = {each.epoch: each for each in now.record.epochs}
        newest = max(self._reports, default=0)
        self._none.set_visibility(not newest)
        self._chooser.show(newest)
        self._follow()

    def _choose(self, epoch: int | None) -> None:
        self._choices.choose(epoch=epoch)
        self._follow()

    def _follow(self) -> None:
        report = self._reports.get(self._chooser.epoch)
        if report is None or (self._shown is not None and report.epoch == self._shown.epoch):
            return
        self._shown = report
        feed = functions_feed(self._board, self._job, report.epoch)
        self._place.follow(feed, f"the functions of epoch {report.epoch}")

    def _draw(self, functions: list[FunctionTimes]) -> None:
        if self._shown is not None:
            self._timeline = self._timeline or Timeline(self._job)
            self._timeline.show(self._shown, functions)
