"""The prices of machines beside functions: the servers of channels, and the baselines' VMs."""

from __future__ import annotations

from stepml.deployment.components import NODE_TYPES
from stepml.deployment.idle import hourly_usd
from stepml.deployment.parameters import DEFAULT_NODE_TYPE
from stepml.job.channels import PARAMETER_SERVER
from stepml.job.prices import INSTANCE_USD

# Until a machine works: Jiang et al., SIGMOD 2021, table 6, for ten of them.
BOOT_S = 132.0

_TYPES = {**dict.fromkeys(NODE_TYPES.values(), DEFAULT_NODE_TYPE), "InstanceType": "c7i.large"}
_HOUR_S = 3600
_LEAST_S = 60  # that EC2 charges for each start of a machine
# Machines for baselines, with their processors, the smallest one first.
_MACHINES = ((2, "c7i.large"), (4, "c7i.xlarge"))


def server_usd(channel: str, seconds: float) -> float:
    """Return the price of the server of a channel while a job runs.

    It is of the type that ``stepml deploy`` makes; 0 for a channel without a server.
    """
    has_server = channel in NODE_TYPES or channel == PARAMETER_SERVER
    return hourly_usd([channel], _TYPES) * seconds / _HOUR_S if has_server else 0.0


def vm_usd(processes: int, seconds: float) -> float:
    """Return the price of machines with a processor for each process."""
    n_cpus, machine = next((each for each in _MACHINES if each[0] >= processes), _MACHINES[-1])
    n_machines = -(-processes // n_cpus)
    return n_machines * INSTANCE_USD[machine] * max(_LEAST_S, seconds) / _HOUR_S
