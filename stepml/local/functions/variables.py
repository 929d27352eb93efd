"""The environment variables of a function's process, as in Lambda."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stepml.local.functions.function import Function, access_key
from stepml.local_identity import NO_CONFIGURATION

# Variables that the interpreter may need to start; no others of the server are passed on.
INHERITED = ("PATH", "LD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True)
class Account:
    """The account, region and endpoint for the functions' AWS clients."""

    endpoint_url: str  # of the local AWS
    region: str
    account_id: str
    more_variables: Callable[[], Mapping[str, str]] = dict  # for each new process


def process_variables(
    function: Function, account: Account, *, api_address: str, log_stream: str
) -> dict[str, str]:
    """Return all variables of a process of ``function``; reserved ones replace its own."""
    return {
        **_defaults(account),
        **function.environment,
        **_reserved(function, account, api_address, log_stream),
    }


def _defaults(account: Account) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {
        **inherited,
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        # Not the user's home: ~/.aws must not redirect a function's calls.
        "HOME": tempfile.gettempdir(),
        "AWS_ENDPOINT_URL": account.endpoint_url,
        **NO_CONFIGURATION,
        **account.more_variables(),
    }


def _reserved(
    function: Function, account: Account, api_address: str, log_stream: str
) -> dict[str, str]:
    return {
        "AWS_LAMBDA_RUNTIME_API": api_address,
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_FUNCTION_VERSION": function.version,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": function.log_group,
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
        "AWS_REGION": account.region,
        "AWS_DEFAULT_REGION": account.region,
        "AWS_ACCESS_KEY_ID": access_key(function.role_arn) if function.role_arn else "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_SESSION_TOKEN": "test",
        "LAMBDA_TASK_ROOT": str(function.task_root),
        "PYTHONPATH": str(function.task_root),
        "_HANDLER": function.handler,
    }
