"""An algorithm for whose numbers the functions have room."""

from __future__ import annotations

import msgspec

from stepml.job.algorithm_checks import suits
from stepml.job.choices import by_preference
from stepml.job.spec import JobSpec
from stepml.ml.algorithms import build_algorithm


def with_room(spec: JobSpec, n_parameters: int, most_bytes: int) -> JobSpec:
    """Return the job with its algorithm, or with the best one that needs less memory.

    The other one exchanges in the same way, because the execution has its shape by then. If none
    is small enough, the job stays as it is.

    Parameters
    ----------
    spec : JobSpec
        With an algorithm that was chosen before the size of the model was known.
    n_parameters : int
        Of the model.
    most_bytes : int
        Memory for them in a function.
    """
    algorithm = build_algorithm(spec)
    if n_parameters <= algorithm.most_parameters(most_bytes):
        return spec
    for other in by_preference(msgspec.structs.replace(spec, algorithm=None)):
        built = build_algorithm(other)
        is_small = n_parameters <= built.most_parameters(most_bytes)
        if is_small and built.way == algorithm.way and suits(other):
            return other
    return spec
