"""Lambda's execution environments as processes of this machine.

Functions run through AWS's own runtime client (``awslambdaric``) against a Runtime API that is
served here, one process an environment, so cold and warm starts, time-outs, crashes and limits are
met on a laptop as they are on AWS.
"""

from stepml.local.functions.errors import RequestTooLargeError, TooManyRequestsError
from stepml.local.functions.function import EnvironmentStatus, Function, Invocation
from stepml.local.functions.logs import LogEvent, WriteLogs
from stepml.local.functions.pool import FunctionPool

__all__ = [
    "EnvironmentStatus",
    "Function",
    "FunctionPool",
    "Invocation",
    "LogEvent",
    "RequestTooLargeError",
    "TooManyRequestsError",
    "WriteLogs",
]
