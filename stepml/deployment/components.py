"""The stacks of a deployment: the main one, and those that give it more channels."""

from __future__ import annotations

NETWORK, CACHE, SERVER, MAIN = "network", "cache", "ps", "main"
# In the order in which they are made: each uses outputs of earlier ones.
COMPONENTS = (NETWORK, CACHE, SERVER, MAIN)


def stack_name(stack: str, component: str) -> str:
    """Return the name of a component's stack; ``stack`` is that of the main one."""
    return stack if component == MAIN else f"{stack}-{component}"
