"""The channels through which ranks exchange: one record each, read by all other modules.

A new storage service is a record here and a module in ``storage/``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from stepml.job.errors import NotAvailableError
from stepml.job.prices import DYNAMODB_TARIFF, S3_TARIFF, Tariff

DURABLE = "s3"  # the channel that is the durable store itself
PARAMETER_SERVER = "parameter_server"

Pattern = Literal["reduce", "reduce_scatter", "async"]
PATTERNS: tuple[Pattern, ...] = ("reduce", "reduce_scatter", "async")


@dataclass(frozen=True, slots=True)
class Channel:
    """A service through which ranks exchange."""

    name: str  # in exchange.channel
    service: str  # for messages
    variable: str  # environment variable with the service's address; empty: no such channel
    parameter: str | None = None  # of templates/template.yaml, with the address
    opener: str | None = None  # module:function that opens a storage; None: it is no storage
    patterns: tuple[Pattern, ...] = PATTERNS
    tariff: Tariff | None = None  # of its requests; None: they are free
    merges: bool = False  # the service itself merges the contributions

    @property
    def lacking(self) -> str:
        """Description of the missing service, with the reason."""
        if self.parameter is None:
            return f"{self.service} (its functions have no {self.variable})"
        return f"{self.service} (its stack's parameter {self.parameter} is empty)"


_ALL = (
    Channel(
        DURABLE,
        service="S3 bucket",
        variable="STEPML_BUCKET",
        opener="storage.s3:open_storage",
        tariff=S3_TARIFF,
    ),
    Channel(
        "redis",
        service="Redis",
        variable="STEPML_REDIS_URL",
        parameter="RedisUrl",
        opener="storage.redis:open_storage",
    ),
    Channel(
        "memcached",
        service="Memcached",
        variable="STEPML_MEMCACHED_URL",
        parameter="MemcachedUrl",
        opener="storage.memcached:open_storage",
    ),
    Channel(
        "dynamodb",
        service="DynamoDB table",
        variable="STEPML_DYNAMODB_TABLE",
        opener="storage.dynamodb:open_storage",
        tariff=DYNAMODB_TARIFF,
    ),
    Channel(
        PARAMETER_SERVER,
        service="parameter server",
        variable="STEPML_PARAMETER_SERVER_URL",
        parameter="ParameterServerUrl",
        patterns=("reduce", "async"),
        merges=True,
    ),
)
CHANNELS = {channel.name: channel for channel in _ALL}

if TYPE_CHECKING:
    ChannelName = str
else:  # the choices of exchange.channel, for the parser and the schema
    ChannelName = Literal[tuple(CHANNELS)]


def configured_channels(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the names of the channels whose services this deployment has."""
    return tuple(name for name, each in CHANNELS.items() if environment.get(each.variable))


def channels_of_stack(parameters: Mapping[str, str]) -> list[str]:
    """Return the channels of a stack with these parameters."""
    return [
        name
        for name, channel in CHANNELS.items()
        if channel.parameter is None or parameters.get(channel.parameter)
    ]


def refuse_unconfigured(channel: str, configured: Sequence[str]) -> None:
    """Raise `NotAvailableError` if this deployment does not have the service of ``channel``."""
    if channel not in configured:
        raise NotAvailableError(
            f"exchange.channel {channel!r}: this deployment has no {CHANNELS[channel].lacking}; "
            f"available here: {', '.join(configured)}"
        )
