"""Findings on a stack: its state, and the version that deployed it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stepml.deployment.records import StackState
from stepml.deployment.stacks import DONE

VERSION_TAG = "stepml:version"
_SETTLED = DONE | {"UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE"}

Verdict = Literal["ok", "note", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A thing that was examined."""

    subject: str
    verdict: Verdict
    words: str


def status_of(stack: StackState, subject: str) -> Finding:
    """Return whether a stack is whole and at rest."""
    verdict: Verdict = "ok" if stack.status in _SETTLED else "problem"
    return Finding(subject, verdict, f"{stack.name} is {stack.status}")


def version_of(stack: StackState, client: str, subject: str) -> Finding:
    """Return whether a stack was deployed by the version ``client``."""
    deployed = stack.tags.get(VERSION_TAG)
    if deployed == client:
        return Finding(subject, "ok", f"{deployed}, as this client")
    if deployed is None:
        words = f"{stack.name} does not say which version it is: run stepml deploy"
    else:
        words = f"{stack.name} has {deployed}, this client is {client}: run stepml deploy"
    return Finding(subject, "note", words)
