"""Answers that were cut off: a server has ended while it sent them.

botocore takes what has arrived for the whole, and returns an answer without fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any


def refuse_cut_answers(client: Any) -> None:
    """Let a client of AWS raise `ConnectionClosedError` for an answer that was cut off."""
    client.meta.events.register("before-parse", _refuse_cut)


def _refuse_cut(response_dict: dict[str, Any], operation_model: Any, **_: Any) -> None:
    body = response_dict["body"]
    if not isinstance(body, bytes) or operation_model.http.get("method") == "HEAD":
        return  # a stream counts its bytes itself
    headers = {name.lower(): value for name, value in response_dict["headers"].items()}
    if _is_cut(headers, body, response_dict["status_code"]):
        from botocore.exceptions import ConnectionClosedError

        raise ConnectionClosedError(endpoint_url=f"of {operation_model.service_model.service_name}")


def _is_cut(headers: Mapping[str, str], body: bytes, status: int) -> bool:
    if "content-length" in headers:
        return "content-encoding" not in headers and len(body) < int(headers["content-length"])
    # Python's HTTP takes the end of a cut head for the end of the head.
    return status == HTTPStatus.OK and not body and "transfer-encoding" not in headers
