"""Asks a local AWS for its status."""

from __future__ import annotations

import json
import urllib.request
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError

from stepml.local.identity import STATUS_PATH, endpoint_url


class NoAnswerError(Exception):
    """Something listens on the port, but does not answer in time, or not to the end."""


def ask(port: int, timeout_s: float) -> dict[str, Any] | None:
    """Return the status of the local AWS on ``port``.

    None if there is none: nothing listens, or another program answers.

    Raises
    ------
    NoAnswerError
        The program on ``port`` does not answer completely, so it may or may not be a local AWS.
    """
    url = f"{endpoint_url(port)}{STATUS_PATH}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=timeout_s) as response:
            answer = json.load(response)
    except (HTTPError, ValueError):
        return None
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)  # URLError wraps the original error
        if isinstance(reason, ConnectionRefusedError):
            return None
        raise NoAnswerError(str(reason)) from error
    return answer if isinstance(answer, dict) and "pid" in answer else None
