"""``stepml epochs``: the attempts at a job's epochs, and where their time and money went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepml.cli.attempts import (
    attempt_document,
    attempt_row,
    attempts_header,
    reason_lines,
    resumed_job,
)
from stepml.cli.errors import LOOKING_EXIT_CODES, BadInputError
from stepml.cli.look import require_rank
from stepml.cli.options import (
    AsJson,
    EndpointUrl,
    ExecutionName,
    Local,
    Profile,
    Region,
    StackName,
    Target,
)
from stepml.cli.output import Output
from stepml.job.names import DEFAULT_STACK
from stepml.reports.figures import LOCAL_BASIS

if TYPE_CHECKING:
    from stepml.client import EpochAttempt, Run
    from stepml.job.parts import FunctionTimes

Functions = Mapping[int, Sequence["FunctionTimes"]]


def add_to(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command(epilog=f"{LOOKING_EXIT_CODES}\n\nExample: stepml epochs latest --parts --local")(
        epochs
    )


def epochs(
    execution: ExecutionName,
    parts: Annotated[
        bool,
        typer.Option("--parts", help="Show where the time and the money of each epoch went."),
    ] = False,
    epoch: Annotated[
        int | None,
        typer.Option(
            "--epoch",
            min=1,
            metavar="N",
            help="Only this epoch; with --parts, each function of it.",
        ),
    ] = None,
    rank: Annotated[
        int | None,
        typer.Option("--rank", min=0, metavar="N", help="With --parts: only this rank."),
    ] = None,
    csv: Annotated[
        bool,
        typer.Option(
            "--csv", help="Write CSV: a row for each attempt; with --parts, for each function."
        ),
    ] = False,
    local: Local = False,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    region: Region = None,
    stack: StackName = DEFAULT_STACK,
    as_json: AsJson = False,
) -> None:
    """Show the epochs of a job, with every attempt at each."""
    if csv and as_json:
        raise BadInputError("--csv and --json exclude each other; give one of them")
    if rank is not None and not parts:
        raise BadInputError("--rank: goes with --parts")
    run = Target.chosen(local, endpoint_url, stack, profile, region).run(execution)
    if rank is not None:
        require_rank(rank, run.state.job)
    attempts = [each for each in run.epochs if epoch in (None, each.epoch)]
    _require_epoch(attempts, epoch)
    needs_functions = parts and (csv or as_json or epoch is not None or rank is not None)
    functions = _functions(run, attempts, rank) if needs_functions else {}
    output = Output(as_json)
    if csv:
        _write_csv(output, attempts, functions, parts=parts)
        return
    output.document(_document(run, attempts, functions))
    if not attempts:
        output.line(f"{run.name} has no epochs yet")
    elif parts:
        _show_parts(output, attempts, functions)
    else:
        _show_attempts(output, run, attempts, is_all=epoch is None)


def _require_epoch(attempts: Sequence[EpochAttempt], epoch: int | None) -> None:
    if epoch is not None and not attempts:
        raise BadInputError(f"--epoch: this job has no attempt at epoch {epoch} (yet)")


def _functions(
    run: Run, attempts: Sequence[EpochAttempt], rank: int | None
) -> dict[int, list[FunctionTimes]]:
    found = run.functions_by_epoch([each.report for each in attempts if each.report])
    if rank is None:
        return found
    return {
        epoch: [each for each in functions if (each.role, each.index) == ("rank", rank)]
        for epoch, functions in found.items()
    }


def _write_csv(
    output: Output, attempts: Sequence[EpochAttempt], functions: Functions, *, parts: bool
) -> None:
    from stepml.reports.epoch_rows import attempt_rows, csv_text, function_rows

    rows = function_rows(attempts, functions) if parts else attempt_rows(attempts)
    output.line(csv_text(rows).removesuffix("\n"))


def _document(run: Run, attempts: Sequence[EpochAttempt], functions: Functions) -> dict[str, Any]:
    from msgspec import to_builtins

    documents = [attempt_document(each) for each in attempts]
    for attempt, document in zip(attempts, documents, strict=True):
        if attempt.report is not None and attempt.epoch in functions:
            document["functions"] = to_builtins(functions[attempt.epoch])
    return {"job_id": run.name, "epochs": documents}


def _show_parts(output: Output, attempts: Sequence[EpochAttempt], functions: Functions) -> None:
    from stepml.cli.parts import epoch_parts_lines, function_lines

    if not functions:
        for line, style in epoch_parts_lines([each.report for each in attempts if each.report]):
            output.line(line, style)
    for epoch, found in functions.items():
        output.line(f"epoch {epoch}", style="bold")
        for line, style in function_lines(found):
            output.line(line, style)


def _show_attempts(
    output: Output, run: Run, attempts: Sequence[EpochAttempt], *, is_all: bool
) -> None:
    if is_all and (first := min(each.epoch for each in attempts)) > 1:
        output.line(_resumed(run, first - 1))
    output.line(attempts_header(attempts), style="bold")
    for attempt in attempts:
        output.line(attempt_row(attempt))
        for line in reason_lines(attempt):
            output.line(line, style="red")
    if run.connection.is_local:
        output.line(f"cost: {LOCAL_BASIS}")


def _resumed(run: Run, epochs: int) -> str:
    """Return a line on the epochs that a job has taken over from another one."""
    from stepml.reports.taken_over import TakenOver

    source = resumed_job(run.state.job)
    return f"{TakenOver(source, epochs).whose} {source}"
