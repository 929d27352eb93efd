"""Words the errors of the AWS services, and of botocore, for people."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stepml.client.unreachable import LOCAL, no_tls, nothing_answers
from stepml.records.errors import (
    AccessError,
    CredentialsError,
    EndpointUnreachableError,
    ServiceRefusedError,
)

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError, ClientError

_THROTTLED = frozenset(
    {"ThrottlingException", "Throttling", "TooManyRequestsException", "SlowDown"}
)
_REFUSED_CREDENTIALS = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)


def is_throttled(error: AccessError) -> bool:
    """Return whether the service refused because of too many requests."""
    return isinstance(error, ServiceRefusedError) and error.code in _THROTTLED


@contextmanager
def translated(endpoint_url: str | None) -> Iterator[None]:
    """Translate botocore's errors into `AccessError`, whose one-line messages say what to do."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        raise _from_answer(error) from error
    except BotoCoreError as error:
        raise _from_client_side(error, endpoint_url) from error
    except Boto3Error as error:  # of a transfer that was tried several times
        reason = " ".join(str(error).split())
        raise EndpointUnreachableError(f"the transfer was interrupted: {reason}") from error
    except ValueError as error:  # of a setting; botocore has no class for it
        if not _is_from_botocore(error):
            raise
        raise CredentialsError(
            f"AWS cannot be used: {' '.join(str(error).split())}. Check your AWS configuration "
            f"(region, endpoints, credentials); to use the AWS on this machine: {LOCAL}"
        ) from error
    except ResponseParserError as error:
        raise EndpointUnreachableError(
            f"the server at {endpoint_url or 'AWS'} is no AWS service: {str(error)[:100]!r}"
        ) from error


def _is_from_botocore(error: BaseException) -> bool:
    modules = (
        frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)
    )
    return any(name.startswith("botocore.") for name in modules)


def _from_answer(error: ClientError) -> AccessError:
    code = error.response.get("Error", {}).get("Code", "Unknown")
    message = error.response.get("Error", {}).get("Message", "")
    if code in _REFUSED_CREDENTIALS:
        return CredentialsError(f"AWS refuses the credentials: {code}: {message}")
    return ServiceRefusedError(code, f"{error.operation_name}: {code}: {message}")


def _from_client_side(error: BotoCoreError, endpoint_url: str | None) -> AccessError:
    from botocore import exceptions

    unreachable = (
        exceptions.EndpointConnectionError,
        exceptions.ConnectTimeoutError,
        exceptions.ConnectionClosedError,
        exceptions.ReadTimeoutError,
    )
    if isinstance(error, exceptions.ProxyConnectionError):
        proxy = error.kwargs.get("proxy_url")
        return EndpointUnreachableError(
            f"the proxy {proxy} cannot be used; it is set by HTTPS_PROXY or HTTP_PROXY, and "
            "NO_PROXY lists hosts without it"
        )
    if isinstance(error, unreachable):
        return EndpointUnreachableError(nothing_answers(error, endpoint_url))
    if isinstance(error, exceptions.SSLError):
        return EndpointUnreachableError(no_tls(error, endpoint_url))
    if isinstance(error, exceptions.NoCredentialsError):
        return CredentialsError(
            "no AWS credentials found; configure them (aws configure), "
            f"or use the AWS on this machine: {LOCAL}"
        )
    reason = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, exceptions.ParamValidationError):
        return ServiceRefusedError("ParamValidation", f"the request is wrong: {reason}")
    return CredentialsError(
        f"AWS cannot be used: {reason}. To use the AWS on this machine: {LOCAL}"
    )
