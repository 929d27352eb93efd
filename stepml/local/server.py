"""The local AWS as one HTTP server, with moto's services, the engine and function processes."""

from __future__ import annotations

import json
import logging
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from flask import Flask
from moto.core.config import default_user_config
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    create_backend_app,
)

from stepml.local import (
    error_tables,
    items,
    objects,
    permissions,
    requests,
    service_limits,
    web_pages,
)
from stepml.local.cache_metrics import cache_metrics
from stepml.local.caches import Caches
from stepml.local.cloudformation import cloudformation_seams
from stepml.local.code_store import CodeStore
from stepml.local.engine import engine_seams
from stepml.local.functions import FunctionPool
from stepml.local.http_server import bind
from stepml.local.keeping.keeping import Keeping
from stepml.local.lambda_api import ACCOUNT_SETTINGS_PATH, LambdaApi, account_settings
from stepml.local.log_groups import log_writer
from stepml.local.network import Network
from stepml.local.networking import Networking
from stepml.local.notifications import notification_seams
from stepml.local.refusals import answer_errors, unknown_service
from stepml.local.request_log import RequestLog
from stepml.local.stack_servers.servers import StackServers
from stepml.local_identity import ACCOUNT_ID, REGION, STATUS_PATH, endpoint_url

StartResponse = Callable[..., Any]

# The engine copies a value of the greatest depth by three calls a level.
RECURSION_LIMIT = 10_000
FIRST_OF_STACKS = 10  # after the ports of the local AWS's own servers
HEALTH_PATH = "/_health"  # no bucket's name begins with an underscore
# In the order in which a deployment needs them; created early, as each takes a while.
SERVICES = ("s3", "cloudformation", "iam", "logs", "states", "lambda", "dynamodb", "events")


class Dispatcher(DomainDispatcherApplication):
    """moto's dispatcher with a cache: it matches a host name with up to 200 patterns only once."""

    def __init__(self) -> None:
        super().__init__(create_service)
        self._backend_for_host = lru_cache(maxsize=1024)(super().get_backend_for_host)

    def get_backend_for_host(self, host: str | None) -> Any:
        return self._backend_for_host(host)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Any:
        try:
            application = self.get_application(environ)
        except (LookupError, ValueError):  # no service can be told from the headers
            application = unknown_service()
        return application(environ, start_response)


def create_service(service: str | None) -> Flask:
    """Return the application of one of moto's services; None is a service that it lacks."""
    if service is None:
        return unknown_service()
    application: Flask = create_backend_app(service)  # type: ignore[arg-type]
    answer_errors(application, service)
    # In Flask's debug mode, uploads stay in memory until the garbage collector runs, which counts
    # objects and not their size.
    application.debug = False
    return application


class LocalAws:
    """The server, with its function processes and the servers of channels.

    Parameters
    ----------
    port : int
        Port of 127.0.0.1; 0 chooses a free one.
    concurrency : int
        Functions of the account that may run at once.
    state : Path
        Directory for unpacked function code and the logs of caches.
    identity : str, optional
        The id in the server's status, by which clients know it. Drawn at random by default.
    requests_log : Path, optional
        A file for a log of all requests.
    network : Network, optional
        Of a cloud, between functions and the services of channels. Default: this machine's.
    keep : Path, optional
        Directory for everything that the server has. By default, it is lost with the process.

    Raises
    ------
    KeepError
        ``keep`` cannot be used.
    """

    def __init__(
        self,
        *,
        port: int,
        concurrency: int,
        state: Path,
        identity: str | None = None,
        requests_log: Path | None = None,
        network: Network | None = None,
        keep: Path | None = None,
    ) -> None:
        self._started_at = time.time()
        self._keeping = None if keep is None else Keeping(keep, self.stop)
        self._id = identity or secrets.token_hex(16)
        log = None if requests_log is None else RequestLog(requests_log)
        self._server = bind(port, self._respond, log)
        self.port = self._server.server_port
        # moto's engine calls services without a seam on this port.
        os.environ["MOTO_PORT"] = str(self.port)
        self._stack_servers = StackServers(self.port + FIRST_OF_STACKS, state)
        self._pool = FunctionPool(
            endpoint_url=self.endpoint_url,
            region=REGION,
            account_id=ACCOUNT_ID,
            write_logs=log_writer(ACCOUNT_ID, REGION),
            concurrency=concurrency,
            more_variables=self._function_variables,
            cold_start_s=0.0 if network is None else network.cold_start_s,
        )
        self._concurrency = concurrency
        _configure_moto()
        self._caches = Caches(self.port, state, keep=keep)
        self._metrics = cache_metrics(self._caches)  # as long as the server
        self._networking = Networking(network, self._caches.addresses(), self._respond)
        code = CodeStore(state / "code")
        code.remove_unused()
        functions = LambdaApi(self._pool, code)
        for seams in (
            functions.seams(),
            notification_seams(functions),
            objects.seams,
            items.seams,
            requests.seams,
            service_limits.seams,
            permissions.seams,
            error_tables.seams,
            *cloudformation_seams(self._stack_servers, self.endpoint_url, self.port),
            *engine_seams(functions, self._caches),
        ):
            seams.apply()
        self._services = Dispatcher()
        if self._keeping is not None:
            self._keeping.begin()

    @property
    def endpoint_url(self) -> str:
        return endpoint_url(self.port)

    def serve(self) -> None:
        """Answer requests until `stop` is called from another thread."""
        threading.Thread(target=self._prepare_services, daemon=True).start()
        if self._keeping is not None:
            threading.Thread(target=self._keeping.resume, daemon=True).start()
        self._server.serve_forever(poll_interval=0.1)

    def stop(self) -> None:
        """Make `serve` return."""
        self._server.shutdown()

    def close(self) -> None:
        """Release the port and end every process: functions first, then the servers they use.

        Raises
        ------
        KeepError
            Something is lost, as ``keep`` cannot be written.
        """
        self._server.server_close()
        self._networking.close()
        self._pool.close()
        self._caches.close()
        self._stack_servers.close()
        if self._keeping is not None:
            self._keeping.close()

    def _function_variables(self) -> dict[str, str]:
        return {**self._stack_servers.function_variables(), **self._networking.variables}

    def _prepare_services(self) -> None:
        import samtranslator.translator.translator  # noqa: F401 - loads slowly; deployments need it

        for service in SERVICES:
            host = f"{service}.{REGION}.amazonaws.com"
            backend = self._services.get_backend_for_host(host)
            with self._services.lock:
                if backend not in self._services.app_instances:
                    self._services.app_instances[backend] = create_service(backend)

    def _respond(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        refused = web_pages.refusal(environ)
        if refused is not None:
            status, message = refused
            return _json(start_response, status, {"message": message})
        answer = self._own_page(environ)
        if answer is not None:
            return _json(start_response, HTTPStatus.OK, answer)
        response: Iterable[bytes] = self._services(environ, start_response)
        if self._keeping is not None:
            self._keeping.answered(environ)
        return response

    def _own_page(self, environ: dict[str, Any]) -> dict[str, Any] | None:
        """Return the answer to a person or a health check; None if the request is for AWS."""
        path = environ["PATH_INFO"]
        if path == STATUS_PATH:
            return self._status()
        if path == HEALTH_PATH:
            return {"status": "running"}
        if path.rstrip("/") == ACCOUNT_SETTINGS_PATH:  # of Lambda; moto has no such operation
            return account_settings(self._concurrency, ACCOUNT_ID, REGION)
        if path == "/" and environ["REQUEST_METHOD"] == "GET" and not _is_signed(environ):
            return {
                "name": "StepML's local AWS",
                "endpoint_url": self.endpoint_url,
                "services": list(SERVICES),
                "health": HEALTH_PATH,
                "status": STATUS_PATH,
            }
        return None

    def _status(self) -> dict[str, Any]:
        environments = [
            {"function": environment.function, "pid": environment.pid, "state": environment.state}
            for environment in self._pool.environments()
        ]
        return {
            "id": self._id,
            "pid": os.getpid(),
            "port": self.port,
            "concurrency": self._concurrency,
            "started_at": self._started_at,
            "environments": environments,
            "caches": [asdict(cache) for cache in self._caches.statuses()],
            "servers": [asdict(server) for server in self._stack_servers.statuses()],
            "routes": self._stack_servers.routes,
            "network": self._networking.described,
            "keep": None if self._keeping is None else self._keeping.described(),
        }


def _json(start_response: StartResponse, status: HTTPStatus, answer: dict[str, Any]) -> list[bytes]:
    body = json.dumps(answer).encode()
    start_response(
        f"{status.value} {status.phrase}",
        [("Content-Type", "application/json"), ("Content-Length", str(len(body)))],
    )
    return [body]


def _is_signed(environ: dict[str, Any]) -> bool:
    return "HTTP_AUTHORIZATION" in environ or bool(environ.get("QUERY_STRING"))


def _configure_moto() -> None:
    sys.setrecursionlimit(RECURSION_LIMIT)
    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    default_user_config["lambda"] = {"use_docker": False}
    # The engine logs every failed state with the text of the program; histories are clearer.
    for chatty in ("moto.stepfunctions", "werkzeug"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL)
