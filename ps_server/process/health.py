"""The health and the metrics of a parameter server over HTTP, as one WSGI application."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ps_server.logs import log_failure
from ps_server.protocol.calls import Statistics
from ps_server.state.snapshot_files import SnapshotStatus

_TIMEOUT_S = 5.0
_PREFIX = "stepml_ps_"
_Table = tuple[tuple[str, str, str], ...]
# The metric's name, the attribute of `Statistics`, `JobStatistics` or `SnapshotStatus`, the text.
_OF_SERVER: _Table = (
    ("connections", "connections", "Clients that are connected."),
    ("reserved_bytes", "reserved_bytes", "Memory set aside for jobs."),
    ("used_bytes", "used_bytes", "Memory of all messages."),
    ("limit_bytes", "limit_bytes", "Most memory of all messages."),
    ("uptime_seconds", "uptime_s", "Time since the start."),
)
_OF_SNAPSHOTS: _Table = (
    ("snapshot_age_seconds", "age_s", "Time since the last snapshot."),
    ("snapshot_seconds", "seconds", "Time to write the last snapshot."),
)
_OF_JOB: _Table = (
    ("job_ranks", "ranks", "Ranks that have pushed or pulled."),
    ("job_steps", "steps", "Steps or models in memory."),
    ("job_held_bytes", "held_bytes", "Memory of the steps or models."),
    ("job_staleness_max", "staleness_max", "Most updates between pull and push."),
    ("job_lost_updates", "lost_updates", "Updates lost by a restart."),
)
_COUNTED_OF_JOB: _Table = (
    ("job_pushes", "pushes", "Pushes."),
    ("job_repeated_pushes", "repeated_pushes", "Repeated pushes."),
    ("job_pulls", "pulls", "Sums and models pulled."),
    ("job_received_bytes", "received_bytes", "Bytes of pushed messages."),
    ("job_sent_bytes", "sent_bytes", "Bytes of pulled messages."),
    ("job_waited_seconds", "waited_s", "Time that pulls have waited."),
    ("job_updates", "updates", "Updates of asynchronous models."),
    ("job_staleness", "staleness_sum", "Others' updates between pull and push."),
)

Application = Callable[..., Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Sources:
    """The functions that an answer calls."""

    describe: Callable[[], tuple[bool, dict[str, Any]]]  # well or not, and fields of /healthz
    statistics: Callable[[], Statistics]
    refusals: Callable[[], Mapping[str, int]]  # by kind
    snapshots: Callable[[], SnapshotStatus | None]


class _Collector(Collector):
    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        found, status = self._sources.statistics(), self._sources.snapshots()
        yield GaugeMetricFamily(f"{_PREFIX}jobs", "Registered jobs.", len(found.jobs))
        yield from _gauges(_OF_SERVER, found)
        for family, metrics in (
            (GaugeMetricFamily, _OF_JOB),
            (CounterMetricFamily, _COUNTED_OF_JOB),
        ):
            for name, attribute, text in metrics:
                of_jobs = {job.job: getattr(job, attribute) for job in found.jobs}
                yield _labelled(family(_PREFIX + name, text, labels=["job"]), of_jobs)
        refused = CounterMetricFamily(f"{_PREFIX}refusals", "Refused calls.", labels=["kind"])
        yield _labelled(refused, self._sources.refusals())
        if status is not None:
            yield from _gauges(_OF_SNAPSHOTS, status)
            name, text = f"{_PREFIX}snapshot_failures", "Snapshots that failed."
            yield CounterMetricFamily(name, text, status.failures)


def _gauges(table: _Table, values: object) -> Iterator[Metric]:
    for name, attribute, text in table:
        yield GaugeMetricFamily(_PREFIX + name, text, getattr(values, attribute))


def _labelled(metric: Any, values: Mapping[str, float]) -> Metric:
    for label, value in values.items():
        metric.add_metric([label], value)
    found: Metric = metric
    return found


def registry_of(sources: Sources) -> CollectorRegistry:
    """Return a registry that asks ``sources`` at each collection; with metrics of the process."""
    registry = CollectorRegistry()
    registry.register(_Collector(sources))
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
        is_well, fields = sources.describe()
        status = "200 OK" if is_well else "503 Service Unavailable"
        start_ours(status, [("Content-Type", "application/json")])
        return [json.dumps(fields).encode()]

    return serve


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        # Not that of HTTPServer, which looks up the name of this machine: that may take long.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def handle_error(self, request: object, client_address: object) -> None:
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):  # the client may go away
            log_failure("a question about health failed", error)


class _ServerV6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = _TIMEOUT_S
    server_version, sys_version = "stepml-ps", ""

    def log_message(self, *arguments: object) -> None:
        pass  # there is a request every few seconds


class HealthServer:
    """Serves a WSGI application in threads of its own."""

    def __init__(self, address: tuple[str, int], serve: Application) -> None:
        kind = _ServerV6 if ":" in address[0] else _Server
        try:
            self._server = kind(address, _Handler)
        except OSError as error:
            raise OSError(f"cannot listen on {address[0]}:{address[1]}: {error}") from error
        self._server.set_app(serve)
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End all answers; also before the start."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()


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
