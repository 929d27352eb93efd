"""A new job: a form made of the schema of jobs, and the same job as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from nicegui import ui

from stepml.console.addresses import NEW, job_address, new_address
from stepml.console.apart import apart
from stepml.console.board import Board
from stepml.console.feeds import Feed
from stepml.console.frame import frame
from stepml.console.job_check import findings_before_start, is_right
from stepml.console.job_draft import NAME, TEXT, Draft, Mistake
from stepml.console.job_fields import Field, Path
from stepml.console.live import live
from stepml.console.places import Places, places_feed
from stepml.console.widgets.field import FieldView, TextView
from stepml.console.widgets.findings import FindingsView
from stepml.console.widgets.job_form import Context, JobFields
from stepml.console.widgets.mistakes import MistakeList
from stepml.console.widgets.tags import Tag, button, replace_address
from stepml.job.errors import InvalidJobError, StepMLError
from stepml.job.names import new_name
from stepml.records.errors import RunNameTakenError

if TYPE_CHECKING:
    from stepml.client.job_findings import JobFindings

NAME_FIELD = Field(
    NAME,
    "letters, digits, - and _; the job's page and its results have this name",
    "the model and the time",
    (),
    is_closed=False,
    is_required=False,
    options=({"type": "string"},),
)


def register(board: Board) -> None:
    """Serve the view."""

    @ui.page(NEW)
    def view(like: str = "", uri: str = "", job: str = "", name: str = "") -> None:
        draft = Draft(name=name)
        draft.read(job)
        if uri and not job:
            draft.document = {"data": {"uri": uri}}
        with frame(board, "New job", NEW):
            if like and not job:
                form: NewJob | None = None

                def show(text: str) -> None:
                    nonlocal form
                    if form is None:  # it does not change, but may be read again
                        draft.read(text)
                        form = NewJob(board, draft)

                Tag("p", f"Filled as {like} was started.", "soft")
                live(started_feed(board, like), f"the job {like}", show)
            else:
                NewJob(board, draft)


def started_feed(board: Board, name: str) -> Feed[str]:
    """Return the feed of the text with which a job was started."""
    return board.feed(("started", name), lambda: board.client.find(name).state.job, lambda _: None)


class NewJob:
    """The form of a new job.

    Parameters
    ----------
    board : Board
    draft : Draft
        The job at first.
    """

    def __init__(self, board: Board, draft: Draft) -> None:
        self._board, self._draft = board, draft
        self._touched: set[Path] = set()
        self._shows_all = bool(draft.document) or draft.unreadable is not None
        self._is_busy = False
        self._changes = 0
        self._name = ""  # of a start whose answer may have been lost
        self._seen: Sequence[Mistake] = ()  # in the data, or by AWS
        self._places: Places | None = None
        with Tag("form", classes="new-job", novalidate=True) as form:
            self._mistakes = MistakeList()
            with Tag("div", classes="beside"):
                self._run_name = FieldView(NAME_FIELD, draft.name, self._rename)
                with Tag("div", classes="actions"):
                    # No key in a field starts a job, which costs money.
                    self._start_button = button("Start", self._start, "main")
                    button("Check with data", self._check)
                self._said = Tag("p", classes="notice", role="status")
                self._said.set_visibility(False)
                self._findings = FindingsView()
                self._text = TextView(
                    "The same job as JSON",
                    "JSON; YAML or TOML may be pasted",
                    self._read,
                    self._type,
                )
            with Tag("div", classes="parts"):
                self._lists = {key: Tag("datalist") for key in ("data", "code")}
                self._fields = JobFields(Context(draft, self._put, self._suggestions()))
        form.on("submit.prevent", js_handler="() => {}")
        self._show()
        form.client.on_delete(places_feed(board).follow(lambda reading: self._know(reading.value)))

    def _suggestions(self) -> dict[Path, str]:
        data, code = self._lists["data"].html_id, self._lists["code"].html_id
        return {("data", "uri"): data, ("data", "validation", "uri"): data, ("code",): code}

    def _know(self, places: Places | None) -> None:
        if places in (None, self._places) or self._start_button.is_deleted:
            return
        self._places = places
        self._draft.stack = places.stack
        for key, names in (("data", places.data), ("code", places.code)):
            self._lists[key].clear()
            with self._lists[key]:
                for name in names:
                    Tag("option", value=name)
        self._blame()

    def _put(self, field: Field, text: str) -> None:
        self._draft.put(field, text)
        self._touched.add(field.path)
        self._changed()

    def _rename(self, text: str) -> None:
        self._draft.name = text.strip()
        self._touched.add(NAME)
        self._changed()

    def _read(self, text: str) -> None:
        self._draft.read(text)
        self._shows_all = bool(text.strip())
        self._changed()

    def _type(self, text: str) -> None:
        """Take a text that a person is still writing, and leave it as it is."""
        self._draft.read(text)
        self._shows_all = bool(text.strip())
        self._changed(is_written=True)

    def _changed(self, *, is_written: bool = False) -> None:
        self._changes += 1
        self._name, self._seen = "", ()
        if not self._is_busy:
            self._say("")
        self._findings.clear()
        self._show(is_written=is_written)
        replace_address(new_address(job=self._draft.in_address, name=self._draft.name))

    def _show(self, *, is_written: bool = False) -> None:
        self._fields.show()
        if not is_written:
            self._text.show(self._draft.text)
        self._blame()

    def _blame(self) -> list[Mistake]:
        """Show the mistakes that a person can know of; return all."""
        known = self._draft.mistakes()
        found = [*known, *(each for each in self._seen if each not in known)]
        if found and self._findings.praises:  # before the stack was known, or the job was started
            self._findings.clear()
        shown = [each for each in found if self._shows_all or each.path in self._touched]
        self._fields.blame(shown)
        self._run_name.blame([each.at_field for each in shown if each.path == NAME])
        self._text.blame([self._text.placed(each.text) for each in shown if each.path == TEXT])
        self._mistakes.show([(each.text, self._target(each)) for each in shown])
        return found

    def _target(self, mistake: Mistake) -> Tag:
        if mistake.path == NAME:
            return self._run_name.control
        return self._fields.target(mistake.path) or self._text.control

    def _is_refused(self, seen: Sequence[Mistake] = ()) -> bool:
        self._shows_all, self._seen = True, seen
        found = self._blame()
        if found:
            self._mistakes.focus()
        return bool(found)

    async def _start(self) -> None:
        if self._is_busy or self._is_refused():
            return
        with self._busy("Checking the job and its data …"):
            try:
                if await self._is_found_right():
                    self._go_on("Starting …")
                    await self._begin()
            except InvalidJobError as error:
                self._is_refused(self._draft.placed(error.mistakes or [str(error)]))
            except RunNameTakenError as error:
                self._is_refused([Mistake(NAME, str(error))])
            except StepMLError as error:
                self._say(f"{error}. Start does it again; the job begins only once.", bad=True)

    async def _is_found_right(self) -> bool:
        """Return whether the job may start: a check finds no mistake, or cannot be made."""
        if self._name:  # it was right, but the answer to its start was lost
            return True
        before = self._changes
        found = await findings_before_start(self._board.client, self._draft.to_check)
        if self._changes != before:
            self._say("The job was changed while it was checked: it has not started.", bad=True)
        elif found is not None and not is_right(found):
            self._show_found(found)
        else:
            return True
        return False

    async def _begin(self) -> None:
        self._name = self._name or self._draft.name or new_name(self._stem())
        await apart(partial(self._board.client.run, self._draft.text, self._name))
        self._board.refresh("jobs")
        ui.navigate.to(job_address(self._name))

    async def _check(self) -> None:
        if self._is_busy or (self._draft.unreadable is not None and self._is_refused()):
            return
        with self._busy("Checking …"):
            before = self._changes
            try:
                found = await apart(partial(self._board.client.check, self._draft.to_check))
            except StepMLError as error:
                self._say(str(error), bad=True)
            else:
                if self._changes == before:  # else it is about an earlier state
                    self._show_found(found)

    def _show_found(self, found: JobFindings) -> None:
        self._findings.show(found)
        is_refused = self._is_refused(self._draft.placed(found.mistakes))
        if not is_refused and not is_right(found):
            self._say("It does not start with a warning, as the job is strict.", bad=True)

    def _stem(self) -> str:
        return str(self._draft.value(("model", "name")) or "job")

    @contextmanager
    def _busy(self, what: str) -> Iterator[None]:
        self._is_busy = True
        self._go_on(what)
        try:
            yield
        finally:
            self._is_busy = False
            if self._said.text == self._doing:
                self._say("")

    def _go_on(self, what: str) -> None:
        self._doing = what
        self._say(what)

    def _say(self, text: str, *, bad: bool = False) -> None:
        self._said.say(text)
        self._said.dress("notice is-failed" if bad else "notice")
        self._said.set_visibility(bool(text))
