"""Shows a running job: its phase, and a row for each epoch."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from stepml.cli.data_lines import data_lines
from stepml.cli.event_lines import EventLines
from stepml.cli.figures import cost, count, finished, main_metric, shortened, shown
from stepml.cli.output import Output
from stepml.client import Execution, Failure, Snapshot
from stepml.client.function_waits import wait_text
from stepml.job.reports import EpochReport
from stepml.reports.epoch_limits import most_epochs

if TYPE_CHECKING:
    from rich.progress import Progress

LINE_COLUMNS = 80
INDENT = " " * 7  # as wide as the number of an epoch
AFTER_TRAINING = "Finalise"
MAX_NAMED_RANKS = 3


def display_for(output: Output, execution: Execution) -> Display | EventLines:
    """Return a display for ``output``: a live one for terminals, lines of JSON for programs."""
    if output.as_json:
        return EventLines(output, execution)
    kind = LiveDisplay if output.is_live else Display
    return kind(output, execution.name)


class Display:
    """Plain lines: each phase once, each epoch once."""

    def __init__(self, output: Output, name: str) -> None:
        self._output = output
        self._name = name
        self._phase = ""
        self._epochs = 0
        self._retries = 0
        self._has_shown_data = False
        self._is_waiting = False

    def __enter__(self) -> Self:
        self._output.line(self._name)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    def show(self, snapshot: Snapshot) -> None:
        """Show what is new in ``snapshot``."""
        self._show_wait(snapshot)
        is_after_training = snapshot.phase.state == AFTER_TRAINING
        if not is_after_training:
            self._show_phase(snapshot)
        self._show_data(snapshot)
        self._show_epochs(snapshot)
        if is_after_training:
            self._show_phase(snapshot)

    def _show_wait(self, snapshot: Snapshot) -> None:
        is_waiting = snapshot.waits_beside is not None
        if is_waiting and not self._is_waiting:
            self._output.line(wait_text(snapshot.waits_beside or ()))
        elif self._is_waiting and not is_waiting and not snapshot.state.ended:
            self._output.line("no longer waiting for functions")
        self._is_waiting = is_waiting

    def _show_data(self, snapshot: Snapshot) -> None:
        # Older plans do not describe their data.
        if snapshot.dataset is None or not snapshot.dataset.rows or self._has_shown_data:
            return
        for line in data_lines(snapshot.dataset):
            self._output.line(line)
        self._has_shown_data = True

    def _show_epochs(self, snapshot: Snapshot) -> None:
        retried = snapshot.failed_attempts
        for report in snapshot.epochs[self._epochs :]:
            self._show_retries(retried, report.epoch)
            if self._epochs == 0:
                self._output.line(header(report), style="bold")
            self._output.line(epoch_row(report))
            self._epochs += 1
        self._show_retries(retried, self._epochs + 1)

    def _show_retries(self, retried: Sequence[Failure], epoch: int) -> None:
        """Show the failed attempts at ``epoch`` and at earlier ones."""
        while self._retries < len(retried):
            failure = retried[self._retries]
            if failure.epoch is not None and failure.epoch > epoch:
                return
            number = "an epoch" if failure.epoch is None else f"epoch {failure.epoch}"
            for line in below_row(f"{number} is retried after {failure.with_rank}", 2):
                self._output.line(line)
            self._retries += 1

    def _show_phase(self, snapshot: Snapshot) -> None:
        phase = str(snapshot.phase)
        if phase != self._phase and not snapshot.state.ended:
            self._output.line(phase)
            self._phase = phase


class LiveDisplay(Display):
    """Rows of epochs above a progress bar."""

    def __enter__(self) -> Self:
        super().__enter__()
        self._bar = _bar(self._output)
        self._task = self._bar.add_task("starting", total=None, count="")
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def _show_phase(self, snapshot: Snapshot) -> None:
        phase = snapshot.phase
        if phase.has_epochs:
            done, total = len(snapshot.epochs), most_epochs(snapshot.state.job, snapshot.dataset)
            count = f"epoch {done}/{total}" if total else f"epoch {done}"
            description = str(phase)
        else:
            done, total, count, description = phase.done, phase.total, "", str(phase)
        self._bar.update(
            self._task, description=description, completed=done, total=total, count=count
        )


def header(report: EpochReport) -> str:
    """Return the table header for the epochs of a job; ``report`` is that of any epoch."""
    metric = main_metric(report)[0]
    head = f"{'epoch':>5}  {'loss':>10}  {metric:>8}  {'seconds':>7}  {'cost $':>8}"
    return f"{head}  {'comm':>4}  note"


def epoch_row(report: EpochReport) -> str:
    """Return the table row of an epoch, at most 80 columns wide."""
    row = (
        f"{report.epoch:>5}  {shown(report.loss, 6):>10}  {main_metric(report)[1]:>8}  "
        f"{report.seconds:>7.2f}  {cost(report.cost_usd):>8}  {_communication(report):>4}  "
        f"{epoch_note(report)}"
    )
    return shortened(row.rstrip(), LINE_COLUMNS)


def _communication(report: EpochReport) -> str:
    """Return the share of communication in the time of all ranks; empty if it is unknown."""
    share = report.communication_share
    return "" if share is None else f"{share:.0%}"


def epoch_note(report: EpochReport) -> str:
    """Return the note on an epoch: its decision, no improvement, delayed ranks."""
    notes: list[str] = []
    if report.decision != "continue":
        notes.append(finished(report.decision))
    elif report.epochs_without_improvement:
        notes.append(f"no improvement ({report.epochs_without_improvement})")
    return ", ".join([*notes, *rank_notes(report)])


def rank_notes(report: EpochReport) -> list[str]:
    """Return notes on ranks: those that delayed the epoch, and the number of lost updates."""
    about = {"slow": report.stragglers, "again": report.called_again}
    notes = [f"{what}: {_named(ranks)}" for what, ranks in about.items() if ranks]
    if report.lost_updates:
        notes.append(f"{count(report.lost_updates, 'update')} lost")
    return notes


def _named(ranks: Sequence[int]) -> str:
    if len(ranks) > MAX_NAMED_RANKS:
        return f"{len(ranks)} ranks"
    return ", ".join(map(str, ranks))


def below_row(text: str, lines: int) -> list[str]:
    """Return ``text`` as at most ``lines`` lines, indented for the place below an epoch's row."""
    return textwrap.wrap(
        text,
        LINE_COLUMNS,
        initial_indent=INDENT,
        subsequent_indent=f"{INDENT}  ",
        max_lines=lines,
        placeholder=" …",
    )


def _bar(output: Output) -> Progress:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
        console=output.console,
        transient=True,
    )
