"""Deployed functions, results of invocations, and the state of environments."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Function:
    """A deployed function."""

    name: str  # "stepml-executor"
    arn: str
    handler: str  # "lambdas.executor.handler"
    task_root: Path  # its unpacked code; __pycache__ is written there
    environment: Mapping[str, str]  # the function's own variables
    timeout_s: int
    memory_mb: int
    code_sha256: str  # identifies the code, in any directory
    role_arn: str = ""  # whose permissions it has
    log_group: str = ""  # of its output
    version: str = "$LATEST"

    @property
    def configuration(self) -> Hashable:
        """The settings of a warm environment; only an equal function can reuse it."""
        return (
            self.name,
            self.code_sha256,
            frozenset(self.environment.items()),
            self.handler,
            self.timeout_s,
            self.memory_mb,
            self.role_arn,
            self.log_group,
            self.version,
        )


@dataclass(frozen=True, slots=True)
class Invocation:
    """The result of an invocation."""

    request_id: str
    payload: bytes  # the result's JSON, or Lambda's error object
    error: str | None  # None, or "Unhandled": the X-Amz-Function-Error header
    log_tail: bytes  # the last 4 KB of this invocation's log


IsWanted = Callable[[], bool]  # False: nobody waits for the result any more


def always() -> bool:
    """Return True: somebody waits for the result."""
    return True


def access_key(role_arn: str) -> str:
    """Return the access key of the functions with a role, in the form of AWS's temporary keys."""
    digest = hashlib.sha256(role_arn.encode()).digest()
    return f"ASIA{base64.b32encode(digest).decode()[:16]}"


EnvironmentState = Literal["starting", "busy", "idle"]


@dataclass(frozen=True, slots=True)
class EnvironmentStatus:
    """One execution environment, for people."""

    function: str  # the function's name
    pid: int | None  # None until its process has started
    state: EnvironmentState
    invocations: int  # so far, with the current one
