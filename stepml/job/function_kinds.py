"""The kinds of functions that a deployment may lack: one record each, read by all other modules.

A kind has a library that is too large for the package of the plain functions, which have no kind.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from stepml.job.errors import NotAvailableError
from stepml.job.model_base import ModelSpec
from stepml.job.spec import JobSpec
from stepml.job.spec_base import tag


@dataclass(frozen=True, slots=True)
class FunctionKind:
    """A kind of functions that are container images on AWS."""

    name: str  # of models, and the suffix of its functions
    library: str  # its module, and the extra of pyproject.toml that installs it
    modules: tuple[str, ...]  # of ours that load it, at a cold start
    parameter: str  # of templates/template.yaml, with the image's URI; empty: no such functions


_ALL = (
    FunctionKind(
        "torch",
        library="torch",
        modules=("stepml.ml.neural.bound", "stepml.ml.neural.networks"),
        parameter="TorchImageUri",
    ),
)
OWN_CODE_PARAMETER = "OwnCode"  # of templates/template.yaml: on or off
FUNCTION_KINDS = {kind.name: kind for kind in _ALL}


def refuse_missing_functions(model: ModelSpec, present: Collection[str]) -> None:
    """Raise `NotAvailableError` if this deployment lacks the functions of ``model``.

    Parameters
    ----------
    model : ModelSpec
    present : collection of str
        The kinds that the deployment has.
    """
    kind = FUNCTION_KINDS.get(model.function_kind)
    if kind is None or kind.name in present:
        return
    from stepml.job.installing import install_command  # loads much

    raise NotAvailableError(
        f"model {tag(model)!r} needs functions with {kind.library}, and this deployment has none "
        f"(its stack's parameter {kind.parameter} is empty). On one machine: "
        f"{install_command(kind.library)}; stepml local up. On AWS: build the image and give the "
        "stack its URI, as docs/aws_settings.md says"
    )


def refuse_own_code(spec: JobSpec, *, is_allowed: bool) -> None:
    """Raise `NotAvailableError` if a job brings code to a deployment that runs none."""
    if spec.needs_code and not is_allowed:
        raise NotAvailableError(
            f"{spec.code_fields[0]}: this deployment runs no code of jobs (its stack's parameter "
            f"{OWN_CODE_PARAMETER} is off)"
        )
