"""Lambda's execution environments as processes of this machine.

Each environment is one process with AWS's own runtime client (``awslambdaric``), which connects to
a Runtime API in the local AWS. So cold and warm starts, time-outs, crashes and limits are the same
on a laptop as on AWS.
"""

from stepml.local.functions.errors import RequestTooLargeError, TooManyRequestsError
from stepml.local.functions.function import (
    EnvironmentStatus,
    Function,
    Invocation,
    IsWanted,
    access_key,
    always,
)
from stepml.local.functions.logs import LogEvent, WriteLogs
from stepml.local.functions.pool import FunctionPool

__all__ = [
    "EnvironmentStatus",
    "Function",
    "FunctionPool",
    "Invocation",
    "IsWanted",
    "LogEvent",
    "RequestTooLargeError",
    "TooManyRequestsError",
    "WriteLogs",
    "access_key",
    "always",
]
