"""``stepml run --repeat``: one job with several seeds, and the spread of its results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stepml.cli.errors import DOUBTFUL, INTERRUPTED
from stepml.cli.figures import cost, count, main_metric, on_its_own
from stepml.cli.figures import shown as figure
from stepml.cli.following import follow
from stepml.client.repeats import Repeat, Spread, spreads, start_or_find
from stepml.job.reports import total_cost_usd
from stepml.reports.events import started_event

if TYPE_CHECKING:
    from stepml.cli.options import Target
    from stepml.cli.output import Output
    from stepml.client import Client
    from stepml.job.reports import JobReport


@dataclass(frozen=True, slots=True)
class _Ended:
    repeat: Repeat
    code: int  # as an exit code
    report: JobReport | None  # None without a model


def start_all(client: Client, runs: Sequence[Repeat], target: Target, output: Output) -> None:
    """Start all runs at once, and say so."""
    with _resumable(runs, "starts the rest", output):
        for run in runs:
            started = start_or_find(client, run)
            output.json_line(started_event(started.execution))
            output.line(f"started {started.name}")
    output.line(f"watch one with: stepml watch NAME{target.flags}")


def run_all(
    client: Client, runs: Sequence[Repeat], target: Target, out: Path, output: Output
) -> int:
    """Follow one run after the other to its end, show their spread, and return the exit code.

    After a run that fails the others start; after Ctrl-C none does.
    """
    ended: list[_Ended] = []
    with _resumable(runs, "follows all runs again", output):
        for number, run in enumerate(runs, 1):
            output.line(f"run {number} of {len(runs)}, with data.seed {run.seed}", style="bold")
            ended.append(_followed(client, run, target, out, output))
            output.line()
            if ended[-1].code == INTERRUPTED:
                raise KeyboardInterrupt
    _show(ended, output)
    return next((each.code for each in ended if each.code), 0)


@contextmanager
def _resumable(runs: Sequence[Repeat], what: str, output: Output) -> Iterator[None]:
    """Say how to go on after a Ctrl-C, wherever it comes."""
    try:
        yield
    except KeyboardInterrupt:
        base = runs[0].name.removesuffix("-s1")
        output.complaint(f"the same command with --name {base} {what}")
        raise


def _followed(client: Client, repeat: Repeat, target: Target, out: Path, output: Output) -> _Ended:
    run = start_or_find(client, repeat)
    code = follow(run, target, out, output, {"seed": repeat.seed})
    may_have_model = code in (0, DOUBTFUL)
    return _Ended(repeat, code, run.result if may_have_model else None)


def _show(ended: Sequence[_Ended], output: Output) -> None:
    reports = [each.report for each in ended if each.report is not None]
    failed = [each.repeat.name for each in ended if each.report is None]
    found = spreads(reports)
    output.json_line(
        {
            "event": "summary",
            "runs": [{"job_id": each.repeat.name, "seed": each.repeat.seed} for each in ended],
            "failed": failed,
            "mean": {name: each.mean for name, each in found.items()},
            "deviation": {name: each.deviation for name, each in found.items()},
        }
    )
    if failed:
        output.complaint(f"without a model: {', '.join(failed)}")
    _show_runs(ended, output)
    if found:
        output.line(f"mean ± standard deviation of {count(len(reports), 'run')}:")
        output.pairs({_NAMES.get(name, name): shown(name, each) for name, each in found.items()})


def _show_runs(ended: Sequence[_Ended], output: Output) -> None:
    """Write a table with a row for each run."""
    rows, metric = [], "metric"
    for each in ended:
        cells = [each.repeat.name, str(each.repeat.seed)]
        if (report := each.report) is None:
            rows.append([*cells, "", "", "", ""])
            continue
        kept = report.history[(report.model_epoch or report.epochs) - 1]
        metric = main_metric(kept)[0] or metric
        numbers = (str(report.epochs), figure(report.loss, 6), main_metric(kept)[1])
        rows.append([*cells, *numbers, cost(total_cost_usd(report))])
    columns = ("run", "seed", "epochs", "loss", metric, "cost $")
    output.table(columns, rows, numbers=set(columns[1:]))


_NAMES = {"seconds": "time", "cost_usd": "cost"}


def shown(name: str, spread: Spread) -> str:
    """Return mean and deviation of the value ``name``, with the digits that suit it."""
    if name == "cost_usd":
        return f"$ {cost(spread.mean)} ± {cost(spread.deviation)}"
    if name == "seconds":
        return f"{spread.mean:.1f} ± {spread.deviation:.1f} s"
    if name == "epochs":
        return f"{spread.mean:.1f} ± {spread.deviation:.1f}"
    middle = on_its_own(spread.mean, 6 if name == "loss" else 4)
    places = len(middle.partition(".")[2])
    deviation = f"{spread.deviation:.3g}" if "e" in middle else f"{spread.deviation:.{places}f}"
    return f"{middle} ± {deviation}"
