"""Addresses of AWS's console."""

from __future__ import annotations

from stepml.deployment.artefacts import Place

_GOVERNMENT = "aws-us-gov"
_CONSOLES = {"aws": "console.aws.amazon.com", "aws-cn": "console.amazonaws.cn"}


def state_machine_url(place: Place, arn: str) -> str:
    """Return the address of a state machine in the console."""
    console = _console(place.partition, place.region)
    return f"{console}/states/home?region={place.region}#/statemachines/view/{arn}"


def execution_url(arn: str) -> str:
    """Return the address of an execution of a state machine in the console."""
    _, partition, _, region, *_ = arn.split(":")
    console = _console(partition, region)
    return f"{console}/states/home?region={region}#/v2/executions/details/{arn}"


def _console(partition: str, region: str) -> str:
    if partition == _GOVERNMENT:  # one host for all regions
        return "https://console.amazonaws-us-gov.com"
    host = _CONSOLES.get(partition, _CONSOLES["aws"])
    return f"https://{region}.{host}"
