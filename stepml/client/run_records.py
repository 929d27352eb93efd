"""Reads the records of runs from the stack, and finds runs by their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from stepml.client.run_facts import RunFacts
from stepml.job.errors import InvalidJobError
from stepml.job.names import LATEST
from stepml.job.parse import parse_job
from stepml.job.parts import FunctionTimes
from stepml.job.reports import DatasetFacts, EpochReport, JobReport
from stepml.job.spec import JobSpec
from stepml.records.errors import AccessError, ExecutionNotFoundError
from stepml.records.execution import EpochAttempt, ExecutionState
from stepml.records.failures import Failure
from stepml.reports.choosing import chosen_epochs, chosen_functions
from stepml.reports.run_record import RunNotFoundError, RunRecord


def record_of(run: RunFacts, final: JobReport | None = None) -> RunRecord:
    """Return the record of a job of a stack.

    Parameters
    ----------
    run : RunFacts
    final : JobReport, optional
        Its final report, if that is known already.

    Raises
    ------
    ExecutionNotFoundError
        There is no such job.
    ReportUnreadableError
        A report is damaged, or of another version of StepML.
    """
    state = run.state
    if final is None and state.ended:
        final = run.result
    record = record_at(
        run,
        state,
        final,
        spec=None if final is not None else planned_at(run, state),
        attempts=run.attempts_at(state, final),
        dataset=None if final is not None else run.dataset,
        failure=run.failure_of(state),
    )
    return replace(record, functions=_functions(run, record.epochs))


def record_at(
    run: RunFacts,
    state: ExecutionState,
    final: JobReport | None,
    *,
    spec: JobSpec | None,
    attempts: list[EpochAttempt],
    dataset: DatasetFacts | None,
    failure: Failure | None,
) -> RunRecord:
    """Return a record of what has been read of a job; a final report has ``spec`` and data."""
    return RunRecord(
        job_id=run.name,
        status=state.status,
        started_at=state.started_at,
        ended_at=state.ended_at,
        job=state.job,
        spec=spec if final is None else final.spec,
        attempts=attempts,
        final=final,
        dataset=dataset if final is None else final.dataset,
        failure=failure,
        environment=_environment(run, final),
        is_local=run.connection.is_local,
    )


def find_run(
    place: str, named: Callable[[str], RunFacts], results: Path = Path("runs")
) -> RunRecord:
    """Return a run by the directory of its results, its name, its ARN, or ``latest``.

    Parameters
    ----------
    place : str
    named : callable
        Returns the run of the stack with a name; only called for what is not here.
    results : Path
        The directory with the results of runs. A run with a model there is not looked up in the
        stack; one without may have gone on.

    Raises
    ------
    RunNotFoundError
        The directory has no results of a run.
    ExecutionNotFoundError
        The stack has no such run.
    AccessError
        It is not here, and the stack cannot be used.
    """
    if _is_directory(Path(place)):
        return RunRecord.of_directory(Path(place))
    here = None if place == LATEST else _downloaded(results / place)
    if here is not None and here.final is not None:
        return here
    try:
        return record_of(named(place))
    except (AccessError, ExecutionNotFoundError) as error:
        if here is not None:
            return here
        error.args = (f"there is no directory {place!r}, and {error}",)
        raise


def _is_directory(path: Path) -> bool:
    """Return whether there is such a directory; a name may be longer than those of files."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _downloaded(directory: Path) -> RunRecord | None:
    if not _is_directory(directory):
        return None
    try:
        return RunRecord.of_directory(directory)
    except RunNotFoundError:
        return None


def planned_at(run: RunFacts, state: ExecutionState) -> JobSpec | None:
    """Return a job with what has been chosen so far, or as it was started; None: it is invalid."""
    spec = run.planned
    if spec is None:
        with suppress(InvalidJobError):
            spec = parse_job(state.job).in_bucket(run.stack.bucket)
    return spec


def _functions(run: RunFacts, reports: Sequence[EpochReport]) -> dict[int, list[FunctionTimes]]:
    wanted = [each for each in chosen_epochs(reports) if each.quantiles and not each.functions]
    found = run.functions_by_epoch(wanted)
    return {each.epoch: chosen_functions(found[each.epoch], each) for each in wanted}


def _environment(run: RunFacts, final: JobReport | None) -> dict[str, str]:
    known: Mapping[str, str] = {} if final is None else {**final.versions, **final.kernels}
    region = run.connection.session.region_name
    memory = run.stack.parameters.get("ExecutorMemory", "")
    return {
        **known,
        "stack": run.stack.name,
        **({"region": region} if region and not run.connection.is_local else {}),
        **({"memory_mb": memory} if memory else {}),
    }
