"""The process of a parameter server: its state, its transports and its regular work."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ps_server.logs import log, log_failure, logger
from ps_server.over_thrift.server import ThriftServer
from ps_server.process.health import HealthServer, Sources, application
from ps_server.process.settings import Settings, machine_bytes
from ps_server.protocol.calls import Statistics
from ps_server.state.endpoint import Endpoint
from ps_server.state.parameters import Parameters
from ps_server.state.snapshot_files import Snapshots, SnapshotStatus

_EXPIRY_TICK_S = 60.0


class Service:
    """Everything that runs in the process.

    It raises `OSError` for an address that is taken or not this machine's, for snapshots that
    cannot be read, and for a place of snapshots that another server uses.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._snapshots = Snapshots(settings.snapshots) if settings.snapshots else None
        self._status = "starting"
        self._stopped = threading.Event()
        self._transports: dict[str, Endpoint] = {}
        self._health: HealthServer | None = None
        limits: Any = {"limit_bytes": settings.limit_bytes, "expiry_s": settings.expiry_s}
        self._parameters = Parameters(**limits)
        try:
            # First: a snapshot may be large, and its reading takes time.
            if settings.health_listen is not None:
                figures = self._statistics, self._refusals, self._snapshot_status
                serve = application(Sources(self._describe, *figures))
                self._health = HealthServer(settings.health_listen, serve)
                self._health.start()
            if self._snapshots is not None:
                self._parameters = self._snapshots.restore(**limits)
            self._transports["thrift"] = self._transport(ThriftServer, settings.listen)
            if settings.grpc_listen is not None:
                self._transports["grpc"] = self._grpc(settings.grpc_listen)
        except BaseException:
            self._close()
            raise

    def run(self, stop: threading.Event) -> bool:
        """Serve until ``stop`` is set; return whether the last snapshot, if any, was written."""
        for transport in self._transports.values():
            transport.start()
        self._status = "ok"
        self._log_ready()
        self._every(_EXPIRY_TICK_S, "expiry", self._expire)
        if self._snapshots is not None:
            self._every(self._settings.snapshot_s, "snapshots", self._save)
        stop.wait()
        self._stop()
        status = self._snapshot_status()
        return status is None or not status.is_failing

    def _transport(self, kind: type[Endpoint], address: tuple[str, int]) -> Endpoint:
        settings = self._settings
        frame_bytes = settings.frame_bytes
        return kind(
            self._parameters,
            address,
            settings.token,
            certificate=settings.certificate,
            key=settings.key,
            client_ca=settings.client_ca,
            max_connections=settings.max_connections,
            **({} if frame_bytes is None else {"frame_bytes": frame_bytes}),
        )

    def _grpc(self, address: tuple[str, int]) -> Endpoint:
        # gRPC's own log has lines about everybody who sends no TLS, without a limit.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        # Imported here, so that grpcio need not be installed for Thrift.
        from ps_server.over_grpc.server import GrpcServer

        return self._transport(GrpcServer, address)

    def _log_ready(self) -> None:
        limit, machine = self._settings.limit_bytes, machine_bytes()
        if limit > machine:
            fields = {"memory_bytes": limit, "machine_bytes": machine}
            logger.warning("more memory is allowed than there is", extra={"fields": fields})
        log(
            "parameter server ready",
            pid=os.getpid(),
            incarnation=self._parameters.incarnation,
            memory_bytes=limit,
            encrypted=self._settings.certificate is not None,
            health=self._health.port if self._health else None,
            **{name: transport.port for name, transport in self._transports.items()},
        )

    def _stop(self) -> None:
        drain_s = self._settings.drain_s
        log("parameter server stops", seconds=drain_s)
        self._status = "draining"
        self._parameters.drain()
        with ThreadPoolExecutor() as pool:
            for transport in self._transports.values():
                pool.submit(transport.stop, drain_s)
        self._stopped.set()
        if self._snapshots is not None:
            self._save()
        self._close()
        log("parameter server stopped")

    def _close(self) -> None:
        if self._health is not None:
            self._health.stop()
        if self._snapshots is not None:
            self._snapshots.close()

    def _statistics(self) -> Statistics:
        transports = [*self._transports.values()]
        return self._parameters.statistics(sum(each.connections for each in transports))

    def _refusals(self) -> Counter[str]:
        transports = [*self._transports.values()]
        return sum((each.refusals.copy() for each in transports), Counter())

    def _snapshot_status(self) -> SnapshotStatus | None:
        return self._snapshots.status if self._snapshots is not None else None

    def _describe(self) -> tuple[bool, dict[str, Any]]:
        status = self._snapshot_status()
        fields: dict[str, Any] = {
            "status": self._status,
            "pid": os.getpid(),
            "incarnation": self._parameters.incarnation,
        }
        if status is not None:
            fields["snapshots"] = "failing" if status.is_failing else "ok"
            fields["snapshot_age_s"] = round(status.age_s, 3)
        return self._status == "ok", fields

    def _expire(self) -> None:
        n_jobs = self._parameters.expire()
        if n_jobs:
            log("unused jobs deleted", jobs=n_jobs)

    def _save(self) -> None:
        assert self._snapshots is not None
        self._snapshots.save(self._parameters)

    def _every(self, seconds: float, name: str, act: Callable[[], None]) -> None:
        """Call ``act`` regularly, in a thread of its own."""

        def repeat() -> None:
            while not self._stopped.wait(seconds):
                try:
                    act()
                except Exception as error:
                    log_failure(f"{name} failed", error)

        threading.Thread(target=repeat, name=name, daemon=True).start()
