"""Tells the requests that may change resources from those that look, or handle data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

# Of operations that change nothing.
_LOOKS = re.compile(
    "(Get|List|Describe|Head|Filter|BatchGet|TransactGet|Query|Scan|Lookup|Estimate|Detect"
    "|Test|Validate|Simulate|Decode|AssumeRole)"
)
# Of operations on what shelves have.
_DATA = frozenset(
    {
        *("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"),
        *("ExecuteStatement", "BatchExecuteStatement", "ExecuteTransaction", "PutLogEvents"),
        *("StartExecution", "StopExecution", "RedriveExecution", "StartSyncExecution"),
        *("SendTaskSuccess", "SendTaskFailure", "SendTaskHeartbeat"),
    }
)
_OF_S3 = re.compile(r"Credential=[^/]+/[^/]+/[^/]+/s3/")
_OF_OBJECT = re.compile(r"/[^/]+/.")
# Of objects, but not among an object's own fields.
_TAGS = "tagging"


def may_change_resources(environ: Mapping[str, Any]) -> bool:
    """Return whether a request may change more than data.

    Parameters
    ----------
    environ : mapping
        The request, as in WSGI, after its answer.
    """
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    if method in ("GET", "HEAD") or path.endswith("/invocations"):
        return False
    if _OF_S3.search(environ.get("HTTP_AUTHORIZATION", "")):
        return _changes_bucket(path, environ)
    operation = _operation(environ)
    return not (operation in _DATA or _LOOKS.match(operation))


def _changes_bucket(path: str, environ: Mapping[str, Any]) -> bool:
    query = environ.get("QUERY_STRING", "")
    if _TAGS in query or "HTTP_X_AMZ_TAGGING" in environ:
        return True
    return not (_OF_OBJECT.match(path) or query.partition("=")[0] == "delete")


def _operation(environ: Mapping[str, Any]) -> str:
    """Return the operation that a request names, or an empty text."""
    target = str(environ.get("HTTP_X_AMZ_TARGET", ""))
    if target:
        return target.rpartition(".")[2]
    body = environ["wsgi.input"]
    text: bytes = body.getvalue() if hasattr(body, "getvalue") else b""
    if not environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        return ""
    return parse_qs(text.decode(errors="replace")).get("Action", [""])[0]
