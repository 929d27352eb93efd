"""Step Functions: moto's ASL interpreter, changed at the seams of this package.

`programs` (parsing, names of errors, the end of a history), `executions` (start, stop, end), `maps`
(Inline Maps), `nested` (child executions), `tasks` (functions), `api` (what is told and refused).
"""

from __future__ import annotations

from stepml.local.caches import Caches
from stepml.local.engine import api, executions, maps, nested, programs
from stepml.local.engine.tasks import task_seams
from stepml.local.lambda_api import LambdaApi
from stepml.local.seams import Seams


def engine_seams(functions: LambdaApi, caches: Caches) -> list[Seams]:
    """Return the seams of the engine; Task states run in ``functions``, and use ``caches``."""
    return [
        programs.seams,
        executions.seams,
        maps.seams,
        nested.seams,
        api.seams,
        api.start_seams(caches),
        task_seams(functions),
    ]
