"""A parameter server's process: its state, who answers from it, and what is done now and then."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Protocol

from ps_server.health import HealthServer
from ps_server.logs import log, log_failure
from ps_server.metrics import registry_of
from ps_server.parameters import Parameters
from ps_server.security import server_context
from ps_server.settings import Settings
from ps_server.snapshot_files import Snapshots, SnapshotStatus
from ps_server.thrift_server import ThriftServer

_EXPIRY_TICK_S = 60.0


class Transport(Protocol):
    """Answers clients."""

    port: int

    @property
    def connections(self) -> int: ...
    def start(self) -> None: ...
    def stop(self, grace_s: float) -> None: ...


class Service:
    """Everything that runs in the process.

    Parameters
    ----------
    settings : Settings

    Raises
    ------
    OSError
        An address is taken, or none of this machine's.
    ssl.SSLError
        The certificate and its key do not fit.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._snapshots = Snapshots(settings.snapshots) if settings.snapshots else None
        self._is_draining = False
        self._stopped = threading.Event()
        state: dict[str, Any] = {
            "limit_bytes": settings.memory_bytes,
            "expiry_s": settings.expiry_s,
        }
        self._transports: dict[str, Transport] = {}
        self._health: HealthServer | None = None
        try:
            # The ports first: what is restored may be large, and another server may be there.
            self._parameters = Parameters(**state)
            if settings.health_listen is not None:
                registry = registry_of(self._statistics, self._snapshot_status)
                self._health = HealthServer(settings.health_listen, self._describe, registry)
            if self._snapshots is not None:
                self._parameters = self._snapshots.restore(**state)
            self._transports["thrift"] = self._thrift()
            if settings.grpc_listen is not None:
                self._transports["grpc"] = self._grpc()
        except BaseException:
            self._close()
            raise

    def run(self, stop: threading.Event) -> None:
        """Serve until ``stop`` is set, then stop gracefully."""
        for transport in self._transports.values():
            transport.start()
        if self._health is not None:
            self._health.start()
        ports = {name: transport.port for name, transport in self._transports.items()}
        log(
            "parameter server ready",
            pid=os.getpid(),
            incarnation=self._parameters.incarnation,
            memory_bytes=self._settings.memory_bytes,
            encrypted=self._settings.certificate is not None,
            health=self._health.port if self._health else None,
            **ports,
        )
        self._every(_EXPIRY_TICK_S, "expiry", self._expire)
        if self._snapshots is not None:
            self._every(self._settings.snapshot_s, "snapshots", self._save)
        stop.wait()
        self._stop()

    def _stop(self) -> None:
        log("parameter server stops", seconds=self._settings.drain_s)
        self._is_draining = True
        self._parameters.drain()
        stopping = [
            threading.Thread(target=transport.stop, args=(self._settings.drain_s,))
            for transport in self._transports.values()
        ]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join()
        self._stopped.set()
        if self._snapshots is not None:
            self._save()
        self._close()
        log("parameter server stopped")

    def _close(self) -> None:
        if self._health is not None:
            self._health.stop()

    def _thrift(self) -> Transport:
        settings = self._settings
        options: dict[str, Any] = {"max_connections": settings.max_connections}
        if settings.frame_bytes is not None:
            options["frame_bytes"] = settings.frame_bytes
        if settings.certificate is not None and settings.key is not None:
            options["ssl_context"] = server_context(
                settings.certificate, settings.key, settings.client_ca
            )
        return ThriftServer(self._parameters, settings.listen, settings.token, **options)

    def _grpc(self) -> Transport:
        # Only where it is asked for, so that grpcio need not be installed.
        from ps_server.grpc_server import GrpcServer

        settings = self._settings
        assert settings.grpc_listen is not None
        options: dict[str, Any] = {"max_clients": settings.max_connections}
        if settings.frame_bytes is not None:
            options["frame_bytes"] = settings.frame_bytes
        return GrpcServer(
            self._parameters,
            settings.grpc_listen,
            settings.token,
            certificate=settings.certificate,
            key=settings.key,
            client_ca=settings.client_ca,
            **options,
        )

    def _statistics(self) -> Any:
        n_connections = sum(each.connections for each in self._transports.values())
        return self._parameters.statistics(n_connections)

    def _snapshot_status(self) -> SnapshotStatus | None:
        return self._snapshots.status if self._snapshots is not None else None

    def _describe(self) -> tuple[bool, dict[str, Any]]:
        status = self._snapshot_status()
        told: dict[str, Any] = {
            "status": "draining" if self._is_draining else "ok",
            "pid": os.getpid(),
            "incarnation": self._parameters.incarnation,
        }
        if status is not None:
            told["snapshots"] = "failing" if status.is_failing else "ok"
            told["snapshot_age_s"] = round(status.age_s, 3)
        return not self._is_draining, told

    def _expire(self) -> None:
        n_jobs = self._parameters.expire()
        if n_jobs:
            log("unused jobs deleted", jobs=n_jobs)

    def _save(self) -> None:
        assert self._snapshots is not None
        self._snapshots.save(self._parameters)

    def _every(self, seconds: float, name: str, act: Callable[[], None]) -> None:
        """Do something now and then, in a thread of its own."""

        def repeat() -> None:
            while not self._stopped.wait(seconds):
                try:
                    act()
                except Exception as error:
                    log_failure(f"{name} failed", error)

        threading.Thread(target=repeat, name=name, daemon=True).start()
