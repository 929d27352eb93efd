"""Words on stopping and retrying a job: what it will do, and what it has done."""

from __future__ import annotations

from stepml.records.retry_plan import Retried, RetryPlan, StopPlan
from stepml.reports.figures import count, epochs_text

KEPT = "its functions end at their next batch or wait; finished epochs are kept"


def already_ended(job: str, status: str) -> str:
    """Return a line on a stop of a job that had ended."""
    return f"{job} has already ended: {status}; nothing was changed"


def retried_lines(job: str, retried: Retried) -> list[str]:
    """Return lines that say how the run named ``job`` was resumed."""
    if retried.epoch is None:
        return ["retried; all its epochs are finished, the model is written"]
    if retried.how == "redriven":
        note = "; finished epochs are not trained again" if retried.epoch > 1 else ""
        return [f"retried from epoch {retried.epoch}{note}"]
    if retried.how == "resumed":
        before = f"the epochs before it are those of {job}"
    else:
        before = f"with the job of {job}"
    return [
        f"{retried.execution.name}: a new execution, from epoch {retried.epoch} on",
        f"  {before}",
        f"  why a new one: {retried.reason}",
    ]


def retry_sentences(plan: RetryPlan) -> list[str]:
    """Return sentences on what a retry will do."""
    return [*_execution(plan), *_training(plan), *_beside(plan)]


def stop_sentences(plan: StopPlan) -> list[str]:
    """Return sentences on what a stop will do."""
    if not plan.is_running:
        return [f"{plan.job} has already ended: {plan.status}; nothing will be changed."]
    kept = _kept(plan.finished) if plan.finished else "No epoch has finished yet."
    return [
        "Its executions end at once, its functions at their next batch or wait.",
        f"{kept} What the job has done since then is done again when it is resumed.",
    ]


def _kept(finished: int) -> str:
    return f"{count(finished, 'finished epoch')} {'is' if finished == 1 else 'are'} kept."


def _execution(plan: RetryPlan) -> list[str]:
    if plan.how == "redriven":
        return ["Step Functions resumes the execution, under its name."]
    return [f"A new execution starts: {plan.name}.", f"Why a new one: {plan.reason}."]


def _training(plan: RetryPlan) -> list[str]:
    if plan.epoch is None:
        return ["All its epochs are finished; only the model is written."]
    if not plan.kept:
        return ["It trains from epoch 1 on.", *_again(plan)]
    whose = "" if plan.source == plan.name else f" of {plan.source}"
    before = f"{epochs_text(1, plan.kept)}{whose} {_is(plan.kept)} not trained again"
    return [f"It trains from epoch {plan.epoch} on; {before}.", *_again(plan)]


def _again(plan: RetryPlan) -> list[str]:
    if not plan.again:
        return []
    first = plan.kept + 1
    which = epochs_text(first, first + plan.again - 1)
    own = f"{plan.job} keeps its own results"
    return [f"{which.capitalize()} {_is(plan.again)} trained once more; {own}."]


def _beside(plan: RetryPlan) -> list[str]:
    return [f"{plan.job} is running, and goes on: both cost money."] if plan.is_running else []


def _is(count: int) -> str:
    return "is" if count == 1 else "are"
