"""Refuses requests of web pages: a browser on this machine reaches the local AWS as well.

The local AWS checks no signatures and runs the code of functions, so a page of any site could run
programs here. A page of another site gives itself away by headers that only browsers send. A page
whose own name has been pointed at this machine (DNS rebinding) gives itself away by that name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Any

# Names by which clients of AWS reach a server on this machine, buckets before them included.
_HOSTS = re.compile(
    r"((.+\.)?(localhost|127\.0\.0\.1|amazonaws\.com(\.cn)?)|\[::1\])(:\d+)?", re.IGNORECASE
)


def refusal(environ: Mapping[str, Any]) -> tuple[HTTPStatus, str] | None:
    """Return the status and the words with which a request is refused, or None.

    Parameters
    ----------
    environ : mapping
        The request, as in WSGI.
    """
    host = environ.get("HTTP_HOST", "")
    if host and not _is_own(host):
        return HTTPStatus.MISDIRECTED_REQUEST, f"Host: expected this machine's, got {host!r}"
    # "none" is a person who has typed the address.
    if "HTTP_ORIGIN" in environ or environ.get("HTTP_SEC_FETCH_SITE", "none") != "none":
        return HTTPStatus.FORBIDDEN, "the local AWS answers programs, not web pages"
    return None


@lru_cache(maxsize=1024)
def _is_own(host: str) -> bool:
    return _HOSTS.fullmatch(host) is not None
