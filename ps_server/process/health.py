"""The health and the metrics of a parameter server over HTTP, as one WSGI application."""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, get_type_hints
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ps_server.logs import log_failure
from ps_server.protocol.calls import JobStatistics, Statistics
from ps_server.state.snapshot_files import SnapshotStatus

_TIMEOUT_S = 5.0
_PREFIX = "stepml_ps_"

Application = Callable[..., Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Sources(Collector):
    """The functions that an answer calls; as a collector, all metrics."""

    health: Callable[[], tuple[bool, dict[str, Any]]]  # well or not, and fields of /healthz
    statistics: Callable[[], Statistics]
    refusals: Callable[[], Mapping[str, int]]  # by kind
    snapshots: Callable[[], SnapshotStatus | None]

    def collect(self) -> Iterator[Metric]:
        found, status = self.statistics(), self.snapshots()
        yield GaugeMetricFamily(f"{_PREFIX}jobs", "Registered jobs.", len(found.jobs))
        yield from _metrics(Statistics, "", {"": found})
        yield from _metrics(JobStatistics, "job_", {job.job: job for job in found.jobs})
        refused = CounterMetricFamily(f"{_PREFIX}refusals", "Refused calls.", labels=["kind"])
        for kind, number in self.refusals().items():
            refused.add_metric([kind], number)
        yield refused
        if status is not None:
            yield from _metrics(SnapshotStatus, "snapshot_", {"": status})


def _metrics(kind: type[Any], subject: str, found: Mapping[str, object]) -> Iterator[Metric]:
    """Yield a metric for each described field of a dataclass, with the values of objects by job."""
    for field, annotation in get_type_hints(kind, include_extras=True).items():
        for text, is_counted in getattr(annotation, "__metadata__", ()):
            name = re.sub("_s$", "_seconds", field.removesuffix("_sum"))
            family = CounterMetricFamily if is_counted else GaugeMetricFamily
            metric = family(f"{_PREFIX}{subject}{name}", text, labels=["job"])
            for job, each in found.items():
                metric.add_metric([job] if job else [], getattr(each, field))
            yield metric


def registry_of(sources: Sources) -> CollectorRegistry:
    """Return a registry that asks ``sources`` at each collection; with metrics of the process."""
    registry = CollectorRegistry()
    registry.register(sources)
    ProcessCollector(registry=registry)
    return registry


def application(sources: Sources) -> Application:
    """Return the application that serves ``/healthz`` and ``/metrics``."""
    metrics: Application = make_wsgi_app(registry_of(sources))

    def serve(environ: dict[str, Any], start: Callable[..., object]) -> Iterable[bytes]:
        def start_ours(status: str, headers: list[tuple[str, str]], *more: Any) -> object:
            return start(status, [*headers, ("Server", "stepml-ps")], *more)

        if environ["PATH_INFO"] == "/metrics":
            return metrics(environ, start_ours)
        if environ["PATH_INFO"] != "/healthz":
            start_ours("404 Not Found", [("Content-Type", "text/plain")])
            return [b"/healthz or /metrics\n"]
        is_well, fields = sources.health()
        status = "200 OK" if is_well else "503 Service Unavailable"
        start_ours(status, [("Content-Type", "application/json")])
        return [json.dumps(fields).encode()]

    return serve


class _Handler(WSGIRequestHandler):
    timeout = _TIMEOUT_S
    server_version, sys_version = "stepml-ps", ""

    def log_message(self, *arguments: object) -> None:
        pass  # there is a request every few seconds


class HealthServer(ThreadingMixIn, WSGIServer):
    """Serves a WSGI application in threads of its own."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], serve: Application) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        try:
            super().__init__(address, _Handler)
        except OSError as error:
            raise OSError(f"cannot listen on {address[0]}:{address[1]}: {error}") from error
        self.set_app(serve)
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)

    def server_bind(self) -> None:
        # Not that of HTTPServer, which looks up the name of this machine: that may take long.
        TCPServer.server_bind(self)
        self.server_name, self.port = str(self.server_address[0]), int(self.server_address[1])
        self.server_port = self.port
        self.setup_environ()

    def handle_error(self, request: object, client_address: object) -> None:
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):  # the client may go away
            log_failure("a question about health failed", error)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End all answers; also before the start."""
        if self._thread.is_alive():
            self.shutdown()
        self.server_close()


def ask(address: tuple[str, int]) -> tuple[bool, str]:
    """Return whether the server whose ``/healthz`` is at ``address`` is well, and its answer."""
    connection = HTTPConnection(*address, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        return answer.status == 200, answer.read().decode(errors="replace")
    except (OSError, HTTPException) as error:
        return False, f"no answer from {address[0]}:{address[1]}: {error}"
    finally:
        connection.close()
