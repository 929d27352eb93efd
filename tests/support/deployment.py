"""Deploys templates into a running local AWS."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from stepml.client.connection import connect_local
from stepml.deployment.artefacts import Place
from stepml.deployment.deploying import Deployer
from stepml.job.names import DEFAULT_STACK
from stepml.local_identity import ACCOUNT_ID, REGION


def deployer(endpoint_url: str) -> Deployer:
    """Return a deployer for the local AWS at ``endpoint_url``."""
    return Deployer.with_own_files(connect_local(endpoint_url), Place(ACCOUNT_ID, REGION))


def deploy(
    endpoint_url: str,
    template_path: Path,
    *,
    stack_name: str = DEFAULT_STACK,
    parameters: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Deploy a template as ``stepml local up`` does, and return the stack's outputs."""
    stack = deployer(endpoint_url).deploy(template_path, stack_name, parameters or {})
    return dict(stack.outputs)


def delete(endpoint_url: str, *, stack_name: str = DEFAULT_STACK) -> None:
    """Delete a stack, if there is one."""
    stacks = deployer(endpoint_url).stacks
    stack = stacks.find(stack_name)
    if stack is not None:
        stacks.delete(stack)
