"""Words what prevents a connection to a service."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stepml.local_identity import DEFAULT_PORT, is_loopback

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError

LOCAL = "stepml local up, and --local with commands"  # the way to the AWS on this machine


def no_tls(error: BotoCoreError, endpoint_url: str | None) -> str:
    """Return the message for an encrypted connection that failed."""
    reason = " ".join(str(getattr(error, "kwargs", {}).get("error", error)).split())
    hint = "; is it http://?" if endpoint_url is not None else ""
    return f"no encrypted connection to {endpoint_url or 'AWS'}{hint} ({reason[:200]})"


def nothing_answers(error: BotoCoreError, endpoint_url: str | None) -> str:
    """Return the message for an address at which no service answers."""
    url = endpoint_url or getattr(error, "kwargs", {}).get("endpoint_url", "AWS")
    if is_loopback(endpoint_url) and urlsplit(endpoint_url).scheme == "http":
        port = urlsplit(endpoint_url).port
        option = "" if port == DEFAULT_PORT else f" --port {port or 80}"
        return f"nothing answers at {url}; start it with: stepml local up{option}"
    if endpoint_url is not None:
        return f"nothing answers at {url}"
    return f"nothing answers at {url}; to use the AWS on this machine: {LOCAL}"
