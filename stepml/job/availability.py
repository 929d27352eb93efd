"""What of the job spec works in this version.

The spec is written for the whole product; a choice that does not work yet is refused by name at
the door instead of failing, or being ignored, later. What starts to work is added to a line here.
The services behind the channels are a matter of the deployment: Prepare asks for what it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, get_args

from stepml.job.errors import InvalidJobError, NotAvailableError
from stepml.job.spec import Algorithm, JobSpec, Model

FORMATS = ("csv", "tsv", "libsvm")
MODELS = ("logistic_regression",)
ALGORITHMS = ("gradient_averaging", "model_averaging")
CHANNELS = ("s3", "redis", "memcached", "dynamodb")
PATTERNS = {  # by algorithm
    "gradient_averaging": ("reduce", "reduce_scatter", "async"),
    "model_averaging": ("reduce", "reduce_scatter"),
}
COMPRESSIONS = ("none", "float16")
BAD_ROW_RULES = ("fail",)
WORKERS = 40  # one Inline Map
# An execution's history ends at 25,000 events; an epoch adds 8, partitioning and retries the rest.
MAX_EPOCHS = 2500
# What a deployment lacks whose stack was made without the service of a channel.
_SERVICES = {
    "redis": "Redis (its stack's parameter RedisUrl is empty)",
    "memcached": "Memcached (its stack's parameter MemcachedUrl is empty)",
    "dynamodb": "DynamoDB table (its functions have no STEPML_DYNAMODB_TABLE)",
}


def refuse_unavailable(spec: JobSpec) -> None:
    """Raise `NotAvailableError` for the first choice of ``spec`` that this version lacks."""
    _require("data.format", spec.data.format, FORMATS)
    _require("data.on_bad_row", spec.data.on_bad_row, BAD_ROW_RULES)
    _require("exchange.channel", spec.exchange.channel, CHANNELS)
    algorithm, pattern = tag(spec.algorithm), spec.exchange.pattern
    _require("exchange.pattern", pattern, PATTERNS[algorithm], f" with algorithm {algorithm!r}")
    _require("exchange.compression", spec.exchange.compression, COMPRESSIONS)
    if pattern == "async" and spec.exchange.compression != "none":
        raise InvalidJobError(
            "exchange.compression: expected 'none' with exchange.pattern 'async', "
            f"got {spec.exchange.compression!r}"
        )
    for field, number, most in (
        ("workers", spec.workers, WORKERS),
        ("stop.max_epochs", spec.stop.max_epochs, MAX_EPOCHS),
    ):
        if number > most:
            raise NotAvailableError(
                f"{field}: {number} is not available yet; available: 1 to {most}"
            )
    for field, value in (
        ("stop.max_cost_usd", spec.stop.max_cost_usd),
        ("stop.max_seconds", spec.stop.max_seconds),
        ("resume_from", spec.resume_from),
    ):
        if value is not None:
            raise NotAvailableError(
                f"{field} is not available yet (given: {value!r}); leave it out"
            )


def refuse_unconfigured(channel: str, configured: Sequence[str]) -> None:
    """Raise `NotAvailableError` if this deployment does not have the service of ``channel``."""
    if channel not in configured:
        raise NotAvailableError(
            f"exchange.channel {channel!r}: this deployment has no "
            f"{_SERVICES.get(channel, channel)}; available here: {', '.join(configured)}"
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


def tag(choice: object) -> str:
    """Return the name by which a model or an algorithm is chosen in the spec."""
    return str(type(choice).__struct_config__.tag)  # type: ignore[attr-defined]


def _require(field: str, value: str, available: Iterable[str], where: str = "") -> None:
    choices = tuple(available)
    if value not in choices:
        raise NotAvailableError(
            f"{field} {value!r} is not available yet{where}; available: {', '.join(choices)}"
        )
