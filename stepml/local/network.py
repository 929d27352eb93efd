"""The network of a cloud, as figures in a file, for the functions of the local AWS.

Where the bytes wait is the business of `stepml.local.functions.links`.
"""

from __future__ import annotations

import json
import math
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from stepml.job.channels import CHANNELS
from stepml.job.suggestions import did_you_mean

AWS = "aws"  # the name of the file that StepML has
AWS_FILE = Path(__file__).with_name("aws_network.toml")
# Of the functions' processes; `stepml.local.functions.bootstrap` reads it.
NETWORK_VARIABLE = "STEPML_LOCAL_NETWORK"
COLD_START, FUNCTION = "cold_start", "function"
LATENCY, BANDWIDTH, SECONDS = "latency_ms", "bandwidth_mb_s", "seconds"
NOTES = ("source", "date")  # of every table
MOST_LATENCY_MS, MOST_SECONDS = 10_000.0, 60.0
LEAST_BANDWIDTH_MB_S = 0.01


class NetworkError(ValueError):
    """A file with a network has a mistake; the message names it."""


@dataclass(frozen=True, slots=True)
class Service:
    """The way between one function and a service."""

    latency_s: float  # from a request to its answer
    bytes_per_s: float | None  # each way; None: as this machine


@dataclass(frozen=True, slots=True)
class Network:
    """The part of a cloud's network that functions feel.

    Parameters
    ----------
    cold_start_s : float
        The least time of a function's INIT.
    bytes_per_s : float or None
        Of one function over all services, each way.
    services : mapping
        By the names of channels.
    """

    cold_start_s: float
    bytes_per_s: float | None
    services: Mapping[str, Service]

    def variables(self, addresses: Mapping[str, str]) -> dict[str, str]:
        """Return the variable that slows down a function's process.

        Parameters
        ----------
        addresses : mapping
            ``host:port`` of each channel.
        """
        services = {
            addresses[name]: asdict(service)
            for name, service in self.services.items()
            if name in addresses
        }
        document = {"bytes_per_s": self.bytes_per_s, "services": services}
        return {NETWORK_VARIABLE: json.dumps(document)}


def network_path(name: str) -> Path:
    """Return the file of ``aws``, or that with the path ``name``."""
    return AWS_FILE if name == AWS else Path(name).absolute()


def read_network(path: Path) -> Network:
    """Read a file such as ``stepml local network`` prints.

    Raises
    ------
    NetworkError
        It cannot be read, is not TOML, or has an unknown field or a value out of range.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NetworkError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # of TOML, its encoding or a huge number
        raise NetworkError(f"{path} is not TOML: {error}") from error
    try:
        return parse_network(given)
    except ValueError as error:  # or of a number with too many digits to be shown
        raise NetworkError(f"{path}: {error}") from error


def parse_network(given: Mapping[str, Any]) -> Network:
    """Return the network that the tables of a file describe.

    Raises
    ------
    NetworkError
    """
    checks: dict[str, dict[str, Callable[[str, Any], float]]] = {
        COLD_START: {SECONDS: _between(0.0, MOST_SECONDS)},
        FUNCTION: {BANDWIDTH: _between(LEAST_BANDWIDTH_MB_S, math.inf)},
        **dict.fromkeys(CHANNELS, _OF_SERVICE),
    }
    _require_known("", given, checks)
    tables = {name: _table(name, given.get(name, {}), checks[name]) for name in checks}
    return Network(
        cold_start_s=tables[COLD_START].get(SECONDS, 0.0),
        bytes_per_s=_bytes_per_s(tables[FUNCTION]),
        services={
            name: Service(tables[name].get(LATENCY, 0.0) / 1000, _bytes_per_s(tables[name]))
            for name in CHANNELS
            if name in given
        },
    )


def _table(
    name: str, given: Any, checks: Mapping[str, Callable[[str, Any], float]]
) -> dict[str, float]:
    if not isinstance(given, dict):
        raise NetworkError(f"{name} is a table [{name}], got {given!r}")
    _require_known(f"[{name}] ", given, {**checks, **dict.fromkeys(NOTES)})
    for note in NOTES:
        if not isinstance(given.get(note, ""), str | date):
            raise NetworkError(f"{name}.{note} is a text or a date, got {given[note]!r}")
    return {
        field: check(f"{name}.{field}", given[field])
        for field, check in checks.items()
        if field in given
    }


def _require_known(where: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    for name in given:
        if name not in known:
            hint = did_you_mean(name, known) or f"; there are: {', '.join(known)}"
            raise NetworkError(f"{where}{name!r} is unknown{hint}")


def _between(least: float, most: float) -> Callable[[str, Any], float]:
    def check(field: str, value: Any) -> float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not least <= value <= most or value > sys.float_info.max:
            limit = f"at least {least:g}" if math.isinf(most) else f"from {least:g} to {most:g}"
            raise NetworkError(f"{field} is a number {limit}, got {value!r}")
        return float(value)

    return check


_OF_SERVICE = {
    LATENCY: _between(0.0, MOST_LATENCY_MS),
    BANDWIDTH: _between(LEAST_BANDWIDTH_MB_S, math.inf),
}


def _bytes_per_s(table: Mapping[str, float]) -> float | None:
    return table[BANDWIDTH] * 1e6 if BANDWIDTH in table else None
