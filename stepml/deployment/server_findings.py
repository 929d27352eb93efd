"""Findings on the servers of a deployment: their stacks, and the secrets that functions have."""

from __future__ import annotations

from collections.abc import Iterator

from stepml.client.connection import Connection
from stepml.deployment.components import CACHE, NETWORK, REDIS, SERVER, stack_name
from stepml.deployment.findings import Finding, status_of, version_of
from stepml.deployment.records import StackState
from stepml.deployment.secrets import Secret, Secrets
from stepml.deployment.stacks import Stacks
from stepml.job.channels import PARAMETER_SERVER

_NOUNS = {NETWORK: "network", CACHE: "caches", SERVER: "server"}
# Parameters of the main stack: the secret's ARN and its version.
_SECRETS = {
    REDIS: ("RedisSecretArn", "RedisSecretVersion"),
    PARAMETER_SERVER: ("ParameterServerSecretArn", "ParameterServerSecretVersion"),
}


def examined_servers(connection: Connection, main: StackState, client: str) -> Iterator[Finding]:
    """Yield a finding for each stack of servers, and for each secret of the deployment.

    Parameters
    ----------
    connection : Connection
    main : StackState
    client : str
        The version of this client.
    """
    stacks, secrets = Stacks(connection), Secrets(connection, main.name)
    for component, noun in _NOUNS.items():
        stack = stacks.find(stack_name(main.name, component))
        if stack is not None:
            state, version = status_of(stack, noun), version_of(stack, client, noun)
            yield version if state.verdict == "ok" and version.verdict != "ok" else state
    for channel, (arn, version_name) in _SECRETS.items():
        if given := main.parameters.get(arn):
            found = secrets.find(channel)
            if found is None or found.arn == given:  # else it is a secret of somebody's own
                deployed = main.parameters.get(version_name, "")
                yield _examined(secrets.name(channel), given, found, deployed)


def _examined(name: str, arn: str, secret: Secret | None, deployed: str) -> Finding:
    if secret is None:
        # The secret of somebody's own has another name.
        is_ours = arn.rpartition(":secret:")[2].startswith(f"{name}-")
        words = f"{name} is gone: run stepml deploy, which makes another one"
        return Finding("secret", "problem" if is_ours else "ok", words if is_ours else arn)
    if secret.is_deleted:
        words = f"{name} is deleted: run stepml deploy, which restores it"
        return Finding("secret", "problem", words)
    if secret.version != deployed:
        words = f"{name} has a newer version than functions have: run stepml deploy"
        return Finding("secret", "problem", words)
    return Finding("secret", "ok", f"{name}, the version that functions have")
