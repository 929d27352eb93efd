"""Step Functions: moto's ASL interpreter, changed at the seams of this package.

`language` (checks of definitions), `programs` (parsing, names of errors, time-outs), `paths`
(JSONPath), `payloads` (sizes and texts), `history` (its end, 25,000 events), `starting` and
`executions` (start, stop, end), `checkpoints` and `redrive` (resuming after the end), `maps`
(Inline Maps), `nested` (child executions), `tasks` (functions), `revisions` and `versions`
(definitions that change), `validation` and `trials` (definitions and states that are tried), `api`
(answers and refusals), `pages` (lists), `events` (rules for changes of status).
"""

from __future__ import annotations

from stepml.local.caches import Caches
from stepml.local.engine import (
    api,
    checkpoints,
    executions,
    history,
    maps,
    nested,
    paths,
    payloads,
    programs,
    redrive,
    revisions,
    starting,
    trials,
    validation,
    versions,
)
from stepml.local.engine.events import event_seams
from stepml.local.engine.tasks import task_seams
from stepml.local.lambda_api import LambdaApi
from stepml.local.seams import Seams


def engine_seams(functions: LambdaApi, caches: Caches) -> list[Seams]:
    """Return the seams of the engine, whose Task states run in ``functions`` and use ``caches``."""
    return [
        programs.seams,
        paths.seams,
        payloads.seams,
        history.seams,
        checkpoints.seams,
        executions.seams,
        redrive.redrive_seams(caches),
        maps.seams,
        nested.seams,
        revisions.seams,
        api.seams,
        versions.seams,
        validation.seams,
        trials.seams,
        starting.start_seams(caches),
        task_seams(functions),
        event_seams(functions),
    ]
