"""Checks the address of services before a library does, whose errors name no option."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from stepml.records.errors import InvalidArgumentError

_HOST = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*\.?")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[0-9A-Za-z._~-]+)?")


def checked_endpoint(endpoint_url: str) -> str:
    """Return ``endpoint_url`` without a slash at its end, or raise `InvalidArgumentError`."""
    reason = _mistake(endpoint_url)
    if reason:
        raise InvalidArgumentError(
            f"endpoint: expected http://… or https://…, got {endpoint_url!r} ({reason})"
        )
    return endpoint_url.rstrip("/")


def _mistake(url: str) -> str:
    """Return the mistake in ``url``, or an empty string."""
    if re.search(r"\s|[^\x21-\x7e]", url):
        return "it has a character that no URL has"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        reason = str(error)
        return reason[:1].lower() + reason[1:]
    if not url.lower().startswith(("http://", "https://")):
        return f"did you mean http://{url}?" if "://" not in url else "the scheme is another"
    if port == 0:
        return "port 0 cannot be connected to"
    if parts.username is not None or parts.query or parts.fragment or "?" in url or "#" in url:
        return "only host, port and path may follow the scheme"
    return _mistake_in_host(parts.hostname or "")


def _mistake_in_host(host: str) -> str:
    if not host:
        return "the host is missing"
    if _IPV6.fullmatch(host) or (_HOST.fullmatch(host) and len(host) <= 255):
        return ""
    return f"the host {host!r} is no name of letters, digits, '-' and '.'"
