"""Records of runs that nobody has run, of any size and with any text."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from msgspec import structs

from stepml.job.parts import (
    MOST_RANKS_LISTED,
    QUANTILES,
    FunctionTimes,
    Parts,
    Traffic,
    communication_share,
)
from stepml.job.reports import (
    ClassQuality,
    DatasetFacts,
    EpochReport,
    JobReport,
    JobWarning,
    Preparation,
)
from stepml.job.spec import ResumeFrom
from stepml.records.execution import EpochAttempt, Execution
from stepml.records.failures import Failure
from stepml.reports.choosing import chosen_epochs, chosen_functions
from stepml.reports.run_record import RunRecord
from tests.support.moto_stack import JOB_TEXT, epoch_report, job_report

# Text that a page must not obey; {0} is the address of a server.
HOSTILE = (
    "<script>console.error(1)</script><img src='{0}/a'><b onload=\"x()\">{{{{7*7}}}}\u202e]]>-->"
    "<link rel='stylesheet' href='{0}/b'>"
)
START = datetime(2026, 11, 30, 8, 0, tzinfo=UTC)
EPOCH = timedelta(seconds=2)
_DEPLOYED = {"stepml": "0.1.0", "python": "3.12", "stack": "stepml", "memory_mb": "3008"}


def run_record(
    n_ranks: int = 4, n_epochs: int = 5, text: str = "plain", **changed: Any
) -> RunRecord:
    """Return the record of a run whose names and messages are all ``text``."""
    reports = [_report(epoch, n_ranks, last=epoch == n_epochs) for epoch in range(1, n_epochs + 1)]
    final = _final(reports, text)
    record = RunRecord(
        job_id="measured",
        status="SUCCEEDED",
        started_at=START,
        ended_at=START + (n_epochs + 3) * EPOCH,
        job=json.dumps({**json.loads(JOB_TEXT), "workers": n_ranks}),
        spec=structs.replace(final.spec, workers=n_ranks),
        attempts=[*_failed(text), *(_attempt(each) for each in reports)],
        final=final,
        dataset=final.dataset,
        environment=_DEPLOYED,
        is_local=True,
        functions={
            each.epoch: chosen_functions(_functions(each.epoch == 1, n_ranks), each)
            for each in chosen_epochs(reports)
            if n_ranks > MOST_RANKS_LISTED
        },
    )
    return replace(record, **changed)


def failed_record(text: str = "plain", **changed: Any) -> RunRecord:
    """Return the record of a run that failed in its third epoch."""
    whole = run_record(n_epochs=2, text=text)
    failure = Failure("BadRowError", text, 1, 3, "/stepml/stepml/executor", text)
    last = replace(whole.attempts[-1], epoch=3, status="FAILED", report=None, failure=failure)
    attempts = [*whole.attempts, last]
    assert whole.dataset is not None
    known = {name: getattr(whole.dataset, name) for name in DatasetFacts.__struct_fields__}
    return replace(
        whole,
        status="FAILED",
        final=None,
        dataset=DatasetFacts(**known),
        attempts=attempts,
        failure=failure,
        **changed,
    )


def resumed_record(n_epochs: int, taken: int, **changed: Any) -> RunRecord:
    """Return the record of a run that has taken over epochs of the run ``earlier``."""
    whole = run_record(n_epochs=n_epochs)
    assert whole.final is not None
    assert whole.spec is not None
    preparation_usd = 0.0005  # once more
    history = [
        structs.replace(each, total_cost_usd=each.total_cost_usd + preparation_usd)
        if each.epoch > taken
        else each
        for each in whole.epochs
    ]
    cost_usd = whole.final.cost_usd + preparation_usd
    own = {each.epoch: each for each in history if each.epoch > taken}
    record = replace(
        whole,
        spec=structs.replace(whole.spec, resume_from=ResumeFrom(job="earlier", epoch=taken)),
        attempts=[
            replace(each, report=own[each.epoch])
            for each in whole.attempts
            if each.epoch in own and each.failure is None
        ],
        final=structs.replace(whole.final, history=history, cost_usd=cost_usd),
    )
    return replace(record, **changed)


@cache
def _functions(is_first: bool, n_ranks: int) -> list[FunctionTimes]:
    """Return the functions of an epoch; those of the first one are cold."""
    ranks = [_rank(is_first, rank) for rank in range(n_ranks)]
    merging = Parts(load=0.01, transfer=0.04, merge=0.02)
    mergers = [FunctionTimes("merger", chunk, 1.3, merging) for chunk in range(2)]
    reducing = Parts(load=0.02, compute=0.1, transfer=0.06, other=0.01)
    return [*ranks, *mergers, FunctionTimes("reducer", 0, 1.5, reducing)]


def _rank(is_cold: bool, rank: int) -> FunctionTimes:
    slow = 0.4 if rank == 1 else 0.0
    parts = Parts(
        load=0.05 + 0.01 * (rank % 3),
        compute=0.4 + 0.02 * (rank % 7) + slow,
        encode=0.02,
        wait=0.5 - slow,
        transfer=0.15,
        merge=0.03,
        snapshot=0.02,
        other=0.01,
    )
    start, init = (0.35, 0.25) if is_cold else (0.08, 0.0)
    traffic = {"s3": Traffic(12, 40_000, 120_000)}
    return FunctionTimes("rank", rank, start, parts, is_cold, init, cost_usd=4e-5, traffic=traffic)


def _report(epoch: int, n_ranks: int, *, last: bool) -> EpochReport:
    functions = _functions(epoch == 1, n_ranks)
    ranks = [each.parts for each in functions if each.role == "rank"]
    is_wide = n_ranks > MOST_RANKS_LISTED
    spread = {part: [getattr(ranks[0], part)] * len(QUANTILES) for part in Parts.__struct_fields__}
    return structs.replace(
        epoch_report(epoch, last=last),
        seconds=1.7 + 0.05 * (epoch % 5),
        active_seconds=1.75 * epoch,
        training_loss=0.9 / epoch,
        metrics={"accuracy": 1 - 0.5 / epoch, "f1": 1 - 0.6 / epoch, "rmse": 3.0 / epoch},
        cost_usd=0.0004,
        total_cost_usd=0.0006 + 0.0004 * epoch,
        executor_seconds=[each.seconds for each in ranks],
        stragglers=[1] if epoch % 2 else [],
        called_again=[2] if epoch == 3 else [],
        functions=[] if is_wide else functions,
        quantiles={"start": [functions[0].start] * len(QUANTILES), **spread},
        communication_share=communication_share(ranks),
        costs={"functions": 0.0003, "requests": 0.00004, "states": 0.00006},
    )


def _final(reports: list[EpochReport], text: str) -> JobReport:
    report = job_report("measured", reports)
    quality = [ClassQuality(label, 0.9, 0.8, 0.85, 50) for label in (text, "other")]
    return structs.replace(
        report,
        reason=text,
        cost_usd=reports[-1].total_cost_usd + 0.0001,
        preparation=Preparation(3.0, {"Prepare": 0.0004, "transitions": 0.0002}),
        per_class=quality,
        confusion_matrix=[[40, 10], [5, 45]],
        warnings=[JobWarning(code="odd", text=text)],
        dataset=structs.replace(
            report.dataset,
            rows=10,
            columns=3,
            format="csv",
            label=text,
            classes=[text, "other"],
            notes=[text],
            choices={"stop.max_epochs": 5, "algorithm.start": text},
        ),
    )


def _attempt(report: EpochReport, number: int = 1) -> EpochAttempt:
    begun = START + (report.epoch + 1) * EPOCH
    name = f"measured-e{report.epoch}-r0-t{number - 1}"
    return EpochAttempt(
        execution=Execution(name, f"arn:aws:states:us-east-1:1:execution:stepml-epoch:{name}"),
        epoch=report.epoch,
        number=number,
        redrive=0,
        retry=number - 1,
        status="SUCCEEDED",
        started_at=begun,
        ended_at=begun + timedelta(seconds=report.seconds),
        report=report,
        failure=None,
    )


def _failed(text: str) -> list[EpochAttempt]:
    """Return an attempt at the first epoch before the one that succeeded."""
    before = _attempt(_report(1, 2, last=False))
    failure = Failure("Runtime.ExitError", text, rank=1, epoch=1)
    start, end = START + EPOCH, START + 1.5 * EPOCH
    return [
        replace(
            before, status="FAILED", report=None, failure=failure, started_at=start, ended_at=end
        )
    ]
