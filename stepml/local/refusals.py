"""Answers to requests that the local AWS cannot serve, in the form that each client expects."""

from __future__ import annotations

import json
import logging
from typing import Protocol, cast
from xml.sax.saxutils import escape

from flask import Flask, Response, request
from moto.core.request import Request
from moto.core.responses import boto3_service_name
from moto.core.routing import get_service_router
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

logger = logging.getLogger(__name__)

REFUSED = 400  # clients do not repeat such a request
FAILED = 500
PAGE = "docs/local_aws.md"

# Sub-resources that moto overlooks: it would change or return the bucket or object itself.
_OVERLOOKED = frozenset(
    {
        "abac",
        "analytics",
        "annotation",
        "intelligent-tiering",
        "metadataAnnotationTable",
        "metadataConfiguration",
        "metadataInventoryTable",
        "metadataJournalTable",
        "metadataTable",
        "metrics",
        "renameObject",
        "requestPayment",
        "session",
        "torrent",
    }
)
# Others that it has for some requests: method, whether the request is for an object, name.
_OVERLOOKED_FOR = frozenset(
    {("DELETE", False, "inventory"), ("GET", True, "retention"), ("PUT", True, "encryption")}
)


class Form(Protocol):
    """Writes an error in the protocol of a service."""

    def __call__(self, code: str, message: str, status: int) -> Response: ...


def answer_errors(application: Flask, service: str) -> None:
    """Let ``application``, one service of moto, answer errors as AWS does, not as a page."""

    @application.errorhandler(Exception)
    def answer(error: Exception) -> Response | HTTPException:
        if isinstance(error, (NotImplementedError, NotFound, MethodNotAllowed)):
            return lacking(service)
        if isinstance(error, HTTPException):
            return error  # an error of the service itself
        logger.error("%s: %s failed", service, _operation(service), exc_info=error)
        return _form(service)("InternalFailure", f"{type(error).__name__}: {error}", FAILED)

    @application.before_request
    def refuse_overlooked() -> Response | None:
        return lacking(service) if service == "s3" and _is_overlooked() else None

    @application.after_request
    def name_the_operation(response: Response) -> Response:
        # moto's answer if no operation has this path.
        if service != "s3" and response.status_code == NotFound.code and not response.data:
            return lacking(service)
        return response


def unknown_service() -> Flask:
    """Return an application that refuses every request, as there is no such service."""
    application = Flask("unknown")
    application.before_request(lambda: lacking(_signing_name()))
    return application


def _is_overlooked() -> bool:
    if not request.query_string:
        return request.path == "/WriteGetObjectResponse"
    names = set(request.args)
    is_object = "/" in request.path.strip("/")
    return not names.isdisjoint(_OVERLOOKED) or any(
        (request.method, is_object, name) in _OVERLOOKED_FOR for name in names
    )


def _signing_name() -> str:
    """Return the service that the request was signed for."""
    scope = request.headers.get("Authorization", "").partition("Credential=")[2].split("/")
    return scope[3] if len(scope) > 3 else "this service"


def lacking(service: str) -> Response:
    """Return the answer to the present request, whose operation the local AWS does not have."""
    form = _form(service)
    message = (
        f"the local AWS does not have {_operation(service)} of {_name(service)}; "
        f"see {PAGE} for the operations that it has"
    )
    return form(_LACKING.get(form, "UnknownOperationException"), message, REFUSED)


def _name(service: str) -> str:
    return str(boto3_service_name.get(service, service))


def _operation(service: str) -> str:
    target = request.headers.get("X-Amz-Target", "")
    if target:
        return target.rpartition(".")[2]
    if "Action" in request.values:
        return str(request.values["Action"])
    try:
        operation, _ = get_service_router(_name(service)).match(
            cast(Request, request)  # moto's applications have this class of requests
        )
    except Exception:  # no such service or operation
        return f"{request.method} {request.path}"
    return str(operation.name)


def _form(service: str) -> Form:
    if "Smithy-Protocol" in request.headers:
        return _cbor
    if service in {"s3", "s3control"}:
        return _s3
    if request.mimetype == "application/x-www-form-urlencoded":
        return _ec2 if service == "ec2" else _query
    return _query if service in {"route53", "cloudfront"} else _json


def _json(code: str, message: str, status: int) -> Response:
    body = json.dumps({"__type": code, "message": message})
    return Response(
        body, status, {"x-amzn-ErrorType": code}, content_type="application/x-amz-json-1.0"
    )


def _s3(code: str, message: str, status: int) -> Response:
    return _xml(f"<Error>{_fields(code, message)}</Error>", status)


def _query(code: str, message: str, status: int) -> Response:
    error = f"<Error><Type>Sender</Type>{_fields(code, message)}</Error>"
    return _xml(f"<ErrorResponse>{error}<RequestId/></ErrorResponse>", status)


def _ec2(code: str, message: str, status: int) -> Response:
    error = f"<Errors><Error>{_fields(code, message)}</Error></Errors>"
    return _xml(f"<Response>{error}<RequestID/></Response>", status)


def _fields(code: str, message: str) -> str:
    return f"<Code>{code}</Code><Message>{escape(message)}</Message>"


def _xml(body: str, status: int) -> Response:
    return Response(f'<?xml version="1.0" encoding="UTF-8"?>{body}', status, mimetype="text/xml")


def _cbor(code: str, message: str, status: int) -> Response:
    pairs = ("__type", code, "message", message)
    body = b"\xa2" + b"".join(_cbor_text(text.encode()) for text in pairs)
    headers = {"smithy-protocol": "rpc-v2-cbor"}
    return Response(body, status, headers, content_type="application/cbor")


def _cbor_text(text: bytes) -> bytes:
    # RFC 8949: major type 3 with a length of two bytes.
    return b"\x79" + len(text).to_bytes(2) + text


# AWS's codes where the protocol is older than UnknownOperationException.
_LACKING: dict[Form, str] = {_s3: "NotImplemented", _query: "InvalidAction", _ec2: "InvalidAction"}
