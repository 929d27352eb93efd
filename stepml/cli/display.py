"""What a person sees while a job runs: where it is, and a row for each epoch."""

from __future__ import annotations

import json
from types import TracebackType
from typing import TYPE_CHECKING, Self

from stepml.cli.figures import main_metric, shown
from stepml.cli.output import Output
from stepml.client import Snapshot
from stepml.job.reports import EpochReport
from stepml.job.spec import Stop

if TYPE_CHECKING:
    from rich.progress import Progress

LINE_COLUMNS = 80
AFTER_TRAINING = "Finalise"


def display_for(output: Output, name: str) -> Display:
    """Return the display that suits ``output``."""
    return LiveDisplay(output, name) if output.is_live else Display(output, name)


class Display:
    """Plain lines: each phase once, each epoch once."""

    def __init__(self, output: Output, name: str) -> None:
        self._output = output
        self._name = name
        self._phase = ""
        self._epochs = 0
        self._failed_attempts = 0

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
        is_after_training = snapshot.phase.state == AFTER_TRAINING
        if not is_after_training:
            self._show_phase(snapshot)
        self._show_epochs(snapshot)
        if is_after_training:
            self._show_phase(snapshot)

    def _show_epochs(self, snapshot: Snapshot) -> None:
        for failure in snapshot.failed_attempts[self._failed_attempts :]:
            # The last failure is not retried: it is what the job ends with.
            if not snapshot.state.ended or snapshot.state.succeeded:
                self._output.line(_shortened(f"       tried again after {failure}"))
                self._failed_attempts += 1
        for report in snapshot.epochs[self._epochs :]:
            if self._epochs == 0:
                self._output.line(header(report), style="bold")
            self._output.line(epoch_row(report))
            self._epochs += 1

    def _show_phase(self, snapshot: Snapshot) -> None:
        phase = str(snapshot.phase)
        if phase != self._phase and not snapshot.state.ended:
            self._output.line(phase)
            self._phase = phase


class LiveDisplay(Display):
    """Rows of epochs that stay, above a bar that moves."""

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
            done, total = len(snapshot.epochs), max_epochs(snapshot.state.job)
            count = f"epoch {done}/{total}" if total else f"epoch {done}"
            description = str(phase)
        else:
            done, total, count, description = phase.done, phase.total, "", str(phase)
        self._bar.update(
            self._task, description=description, completed=done, total=total, count=count
        )


def header(report: EpochReport) -> str:
    """Return the line above the rows of a job, of whose epochs ``report`` is one."""
    return f"{'epoch':>5}  {'loss':>10}  {main_metric(report)[0]:>8}  {'seconds':>7}  note"


def epoch_row(report: EpochReport) -> str:
    """Return one line of at most 80 columns about an epoch."""
    row = (
        f"{report.epoch:>5}  {shown(report.loss, 6):>10}  {main_metric(report)[1]:>8}  "
        f"{report.seconds:>7.2f}  {epoch_note(report)}"
    )
    return row.rstrip()


def epoch_note(report: EpochReport) -> str:
    """Return what is to be said of an epoch: that it was the last, or no better."""
    if report.decision != "continue":
        return report.decision
    if report.epochs_without_improvement:
        return f"no improvement ({report.epochs_without_improvement})"
    return ""


def max_epochs(job: str) -> int | None:
    """Return after how many epochs the job ends at the latest; None if it does not parse."""
    try:
        value = json.loads(job).get("stop", {}).get("max_epochs", Stop().max_epochs)
    except (ValueError, AttributeError):
        return None
    return value if isinstance(value, int) else None


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


def _shortened(line: str) -> str:
    return line if len(line) <= LINE_COLUMNS else line[: LINE_COLUMNS - 1] + "…"
