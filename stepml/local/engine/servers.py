"""The server of a job's channel runs before its execution does."""

from __future__ import annotations

from moto.core.exceptions import JsonRESTError

from stepml.local.caches import Caches
from stepml.local.channel_programs import CacheError


def require_server(caches: Caches, execution_input: str | None) -> None:
    """Start the server that an execution needs.

    Raises
    ------
    JsonRESTError
        ValidationException: the server cannot be used.
    """
    try:
        caches.start_for(execution_input)
    except CacheError as error:
        raise JsonRESTError("ValidationException", str(error)) from error
