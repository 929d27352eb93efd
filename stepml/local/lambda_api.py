"""Lambda's Invoke, for HTTP and the engine: runs moto's functions in processes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote

from moto.awslambda.exceptions import UnknownFunctionException
from moto.awslambda.responses import LambdaResponse
from moto.awslambda_simple.models import lambda_simple_backends

from stepml.local.code_store import CodeStore
from stepml.local.functions import (
    Function,
    Invocation,
    IsWanted,
    RequestTooLargeError,
    TooManyRequestsError,
    always,
)
from stepml.local.seams import Seams
from stepml.local.strict_json import strict_json

Accepted = TypeVar("Accepted", Invocation, str)  # a result, or an event's request id

ACCOUNT_SETTINGS_PATH = "/2016-08-19/account-settings"
GIGABYTE, MEGABYTE = 2**30, 2**20
LOG_TAIL_BYTES = 4096  # Lambda returns the last 4 KB of the log


class InvokeError(Exception):
    """Lambda refuses an invocation; no function has run."""

    def __init__(self, code: str, status: int, message: str) -> None:
        super().__init__(message)
        self.code = code  # the name of the exception in Lambda's API
        self.status = status  # of the HTTP response
        self.message = message


def account_settings(concurrency: int, account_id: str, region: str) -> dict[str, Any]:
    """Return the answer to GetAccountSettings: limits and use of Lambda.

    Parameters
    ----------
    concurrency : int
        Functions of the account that may run at once.
    account_id : str
    region : str
    """
    functions = [*lambda_simple_backends[account_id][region].list_functions()]
    return {
        "AccountLimit": {
            "TotalCodeSize": 75 * GIGABYTE,
            "CodeSizeUnzipped": 250 * MEGABYTE,
            "CodeSizeZipped": 50 * MEGABYTE,
            "ConcurrentExecutions": concurrency,
            "UnreservedConcurrentExecutions": concurrency,
        },
        "AccountUsage": {
            "TotalCodeSize": sum(each.code_size for each in functions),
            "FunctionCount": len(functions),
        },
    }


class Pool(Protocol):
    """Runs functions."""

    def invoke(
        self, function: Function, payload: bytes, is_wanted: IsWanted = ...
    ) -> Invocation: ...
    def invoke_async(self, function: Function, payload: bytes) -> str: ...


class LambdaApi:
    """Invokes the functions that moto knows, in the processes of a pool."""

    def __init__(self, pool: Pool, code: CodeStore) -> None:
        self._pool = pool
        self._code = code

    def invoke(
        self,
        account_id: str,
        region: str,
        name: str,
        qualifier: str | None,
        payload: bytes,
        is_wanted: IsWanted = always,
    ) -> Invocation:
        """Run a function and return the result, which may be the function's own failure.

        It is dropped if it still waits for a process when ``is_wanted`` returns False.

        Raises
        ------
        InvokeError
            There is no such function, the payload is too large or not JSON, or the account's
            concurrency is used up.
        """
        function = self.function(account_id, region, name, qualifier)
        return _accepted(partial(self._pool.invoke, is_wanted=is_wanted), function, payload)

    def invoke_async(
        self, account_id: str, region: str, name: str, qualifier: str | None, payload: bytes
    ) -> str:
        """Start a function and return the request's id.

        Raises
        ------
        InvokeError
            As `invoke`.
        """
        function = self.function(account_id, region, name, qualifier)
        return _accepted(self._pool.invoke_async, function, payload)

    def function(self, account_id: str, region: str, name: str, qualifier: str | None) -> Function:
        """Return a function with its present configuration and its code unpacked.

        Raises
        ------
        InvokeError
            There is no such function.
        """
        backend: Any = lambda_simple_backends[account_id][region]
        try:
            stored = backend.get_function(name, qualifier)
        except UnknownFunctionException as error:
            raise InvokeError(
                "ResourceNotFoundException", 404, f"Function not found: {name}"
            ) from error
        return Function(
            name=stored.function_name,
            arn=stored.function_arn,
            handler=stored.handler,
            task_root=self._code.unpack(stored.code_sha_256, stored.code_bytes),
            # CloudFormation's numbers are text here.
            environment={name: str(value) for name, value in stored.environment_vars.items()},
            timeout_s=int(stored.timeout),
            memory_mb=int(stored.memory_size),
            code_sha256=stored.code_sha_256,
            role_arn=stored.role,
            log_group=stored.logs_group_name,
            version=str(stored.version),
        )

    def seams(self) -> Seams:
        """Return the seam that redirects moto's Invoke to this object."""
        seams = Seams()

        @seams.replaces(
            LambdaResponse, "invoke", why="without Docker, echoes the payload as the result"
        )
        def invoke(response: Any) -> tuple[int, dict[str, str], bytes]:
            try:
                return self._respond(response)
            except InvokeError as error:
                return _refusal(error)

        return seams

    def _respond(self, response: Any) -> tuple[int, dict[str, str], bytes]:
        name = unquote(response.path.rsplit("/", 2)[-2])
        qualifier = response.querystring.get("Qualifier", [None])[0]
        target = (response.current_account, response.region, name, qualifier)
        payload = _payload(response.body)
        invocation_type = response.headers.get("X-Amz-Invocation-Type", "RequestResponse")
        if invocation_type == "DryRun":
            self.function(*target)
            return 204, {"status": "204"}, b""
        if invocation_type == "Event":
            request_id = self.invoke_async(*target, payload)
            return 202, {"status": "202", "x-amzn-RequestId": request_id}, b""
        invocation = self.invoke(*target, payload)
        want_log = response.headers.get("X-Amz-Log-Type") == "Tail"
        return 200, _headers(invocation, want_log=want_log), invocation.payload


def _accepted(
    run: Callable[[Function, bytes], Accepted], function: Function, payload: bytes
) -> Accepted:
    require_json(payload)
    try:
        return run(function, payload)
    except TooManyRequestsError as error:
        raise InvokeError("TooManyRequestsException", 429, "Rate Exceeded.") from error
    except RequestTooLargeError as error:
        raise InvokeError("RequestTooLargeException", 413, str(error)) from error


def require_json(payload: bytes) -> None:
    """Raise InvokeError unless ``payload`` is JSON."""
    try:
        strict_json(payload.decode())
    except ValueError as error:  # also bytes that are not UTF-8
        raise InvokeError(
            "InvalidRequestContentException",
            400,
            f"Could not parse request body into json: {error}",
        ) from error


def _payload(body: Any) -> bytes:
    raw = body.encode() if isinstance(body, str) else bytes(body or b"")
    return raw or b"{}"


def _headers(invocation: Invocation, *, want_log: bool) -> dict[str, str]:
    headers = {
        "content-type": "application/json",
        "x-amzn-RequestId": invocation.request_id,
        "x-amz-executed-version": "$LATEST",
    }
    if invocation.error is not None:
        headers["x-amz-function-error"] = invocation.error
    if want_log:
        tail = invocation.log_tail[-LOG_TAIL_BYTES:]
        headers["x-amz-log-result"] = base64.b64encode(tail).decode()
    return headers


def _refusal(error: InvokeError) -> tuple[int, dict[str, str], bytes]:
    body = {"Type": "User", "message": error.message, "Message": error.message}
    # moto reads the status from this header.
    headers = {
        "status": str(error.status),
        "content-type": "application/json",
        "x-amzn-errortype": error.code,
    }
    return error.status, headers, json.dumps(body).encode()
