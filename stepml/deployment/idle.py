"""Prices of what costs money by the hour, whether or not jobs run, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stepml.deployment.components import MEMCACHED, NODE_TYPES, REDIS
from stepml.job.channels import PARAMETER_SERVER
from stepml.job.prices import (
    DISK_GB_MONTH_USD,
    ENDPOINT_USD,
    HOURS_A_MONTH,
    INSTANCE_USD,
    MEMCACHED_FACTOR,
    NODE_USD,
    SECRET_MONTH_USD,
)

DISK_GB = 30  # of the parameter server's VM


def idle_lines(channels: Iterable[str], parameters: Mapping[str, str]) -> list[str]:
    """Return a line for each server, with its price a month, and one with their sum.

    Parameters
    ----------
    channels : iterable of str
    parameters : mapping
        Node types, and InstanceType.
    """
    months = {each: monthly_usd(each, parameters) for each in channels}
    lines = [
        f"{_NOUNS[each]} on {type_of(each, parameters)}: {_a_month(usd)}"
        for each, usd in months.items()
    ]
    known = [usd for usd in months.values() if usd is not None]
    if len(months) > 1 and len(known) == len(months):
        lines.append(f"together {_a_month(sum(known))}, whether or not jobs run")
    return lines


def hourly_usd(channels: Iterable[str], parameters: Mapping[str, str]) -> float:
    """Return the price of an hour of all servers whose price is known."""
    known = (monthly_usd(each, parameters) for each in channels)
    return sum(usd for usd in known if usd is not None) / HOURS_A_MONTH


def monthly_usd(channel: str, parameters: Mapping[str, str]) -> float | None:
    """Return the price of a channel's server a month, in us-east-1; None if it is not known."""
    kind = type_of(channel, parameters)
    if channel == PARAMETER_SERVER:
        hourly = INSTANCE_USD.get(kind)
        fixed = DISK_GB * DISK_GB_MONTH_USD + SECRET_MONTH_USD
        return None if hourly is None else HOURS_A_MONTH * (hourly + ENDPOINT_USD) + fixed
    node = NODE_USD.get(kind)
    if node is None:
        return None
    factor, secret = (1.0, SECRET_MONTH_USD) if channel == REDIS else (MEMCACHED_FACTOR, 0.0)
    return HOURS_A_MONTH * node * factor + secret


def type_of(channel: str, parameters: Mapping[str, str]) -> str:
    """Return the type of a channel's server: ``cache.t4g.small``, ``c7i.large``."""
    return parameters[NODE_TYPES.get(channel, "InstanceType")]


def _a_month(usd: float | None) -> str:
    return "its price is not known here" if usd is None else f"${usd:.0f} a month"


_NOUNS = {REDIS: "Redis", MEMCACHED: "Memcached", PARAMETER_SERVER: "parameter server"}
