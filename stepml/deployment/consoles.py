"""Addresses of AWS's console."""

from __future__ import annotations

from stepml.deployment.artefacts import Place

_GOVERNMENT = "aws-us-gov"
_CONSOLES = {"aws": "console.aws.amazon.com", "aws-cn": "console.amazonaws.cn"}


def state_machine_url(place: Place, arn: str) -> str:
    """Return the address of a state machine in the console."""
    return f"{_console(place)}/states/home?region={place.region}#/statemachines/view/{arn}"


def _console(place: Place) -> str:
    if place.partition == _GOVERNMENT:  # one host for all regions
        return "https://console.amazonaws-us-gov.com"
    host = _CONSOLES.get(place.partition, _CONSOLES["aws"])
    return f"https://{place.region}.{host}"
