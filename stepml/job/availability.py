"""What of the job spec works in this version.

The spec is written for the whole product; a choice that does not work yet is refused by name at
the door instead of failing, or being ignored, later. What starts to work is added to a line here.
The services behind the channels are a matter of the deployment: Prepare asks for what it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from stepml.job.channels import CHANNELS
from stepml.job.errors import NotAvailableError
from stepml.job.spec import Algorithm, Model

MODELS = ("logistic_regression", "softmax_regression", "svm", "linear_regression", "kmeans")
ALGORITHMS = ("gradient_averaging", "model_averaging", "admm", "expectation_maximisation")


def refuse_unconfigured(channel: str, configured: Sequence[str]) -> None:
    """Raise `NotAvailableError` if this deployment does not have the service of ``channel``."""
    if channel not in configured:
        raise NotAvailableError(
            f"exchange.channel {channel!r}: this deployment has no {CHANNELS[channel].lacking}; "
            f"available here: {', '.join(configured)}"
        )


def refuse_unavailable_choices(document: Any) -> None:
    """Raise `NotAvailableError` for a model or algorithm that is known but not available.

    Before anything else is said about its fields, which would be of no use.
    """
    for group, known, available in (
        ("model", get_args(Model), MODELS),
        ("algorithm", get_args(Algorithm), ALGORITHMS),
    ):
        chosen = document.get(group) if isinstance(document, dict) else None
        name = chosen.get("name") if isinstance(chosen, dict) else None
        if name in [each.__struct_config__.tag for each in known]:
            _require(group, str(name), available)


def _require(field: str, value: str, available: Sequence[str]) -> None:
    if value not in available:
        raise NotAvailableError(
            f"{field} {value!r} is not available yet; available: {', '.join(available)}"
        )
