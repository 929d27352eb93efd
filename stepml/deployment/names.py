"""Checks names before anything is made: CloudFormation would refuse them half-way."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stepml.deployment.artefacts import Place
from stepml.deployment.components import CACHE, NETWORK, REDIS, SERVER, Plan, stack_name
from stepml.packaging.functions import function_names

MAX_FUNCTION, MAX_BUCKET, MAX_USER = 64, 63, 40  # characters, of AWS
_STACK = re.compile(r"[a-z][a-z0-9-]*[a-z0-9]")


def problems(stack: str, place: Place) -> Iterator[str]:
    """Yield the reasons why AWS would refuse names that begin with the stack's."""
    if not _STACK.fullmatch(stack) or "--" in stack:
        yield (
            "--stack: expected small letters, digits and single hyphens, beginning with a letter "
            f"and ending without a hyphen (it becomes the name of a bucket), got {stack!r}"
        )
    for component in (NETWORK, CACHE, SERVER):
        if stack.endswith(f"-{component}"):
            yield (
                f"--stack: expected a name without -{component} at its end, which the stacks of "
                f"servers have, got {stack!r}"
            )
    longest = longest_stack_name(place)
    if len(stack) > longest:
        yield (
            f"--stack: expected at most {longest} characters in {place.region}, as the names of "
            f"its bucket and functions begin with it, got {len(stack)}"
        )


def user_problems(stack: str, plan: Plan) -> Iterator[str]:
    """Yield why ElastiCache would refuse the name of the user of cache.yaml."""
    longest = MAX_USER - len(stack_name("", CACHE)) - len("-functions")
    if REDIS in plan.wanted and len(stack) > longest:
        yield (
            f"--stack: expected at most {longest} characters with redis, as the name of its user "
            f"begins with it, got {len(stack)}"
        )


def longest_stack_name(place: Place) -> int:
    """Return the number of characters that a stack's name may have."""
    suffix = max(map(len, function_names())) + 1
    return min(MAX_FUNCTION - suffix, MAX_BUCKET - len(f"-{place.account}-{place.region}"))
