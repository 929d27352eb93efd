"""A parameter server's process: its state, who answers from it, and what is done now and then."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from ps_server.logs import log, log_failure, logger
from ps_server.over_thrift.server import ThriftServer
from ps_server.process.health import HealthServer
from ps_server.process.metrics import Sources, registry_of
from ps_server.process.settings import Settings, machine_bytes
from ps_server.protocol.certificates import server_context
from ps_server.state.parameters import Parameters
from ps_server.state.snapshot_files import Snapshots, SnapshotStatus

_EXPIRY_TICK_S = 60.0


class Transport(Protocol):
    """Answers clients."""

    port: int
    refusals: Counter[str]

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
        An address is taken, or none of this machine's; snapshots cannot be looked for, or another
        server keeps its own there.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._snapshots = Snapshots(settings.snapshots) if settings.snapshots else None
        self._status = "starting"
        self._stopped = threading.Event()
        state: dict[str, Any] = {
            "limit_bytes": settings.memory_bytes,
            "expiry_s": settings.expiry_s,
        }
        self._transports: dict[str, Transport] = {}
        self._health: HealthServer | None = None
        self._parameters = Parameters(**state)
        try:
            # This first: what is restored may be large, and somebody may ask in the meantime.
            if settings.health_listen is not None:
                self._health = self._answering_health(settings.health_listen)
            if self._snapshots is not None:
                self._parameters = self._snapshots.restore(**state)
            self._transports["thrift"] = self._thrift()
            if settings.grpc_listen is not None:
                self._transports["grpc"] = self._grpc()
        except BaseException:
            self._close()
            raise

    def run(self, stop: threading.Event) -> bool:
        """Serve until ``stop`` is set, then stop gracefully.

        Returns
        -------
        bool
            Whether everything is in a snapshot, if there are to be any.
        """
        for transport in self._transports.values():
            transport.start()
        self._status = "ok"
        self._tell_ready()
        self._every(_EXPIRY_TICK_S, "expiry", self._expire)
        if self._snapshots is not None:
            self._every(self._settings.snapshot_s, "snapshots", self._save)
        stop.wait()
        self._stop()
        status = self._snapshot_status()
        return status is None or not status.is_failing

    def _tell_ready(self) -> None:
        settings = self._settings
        if settings.memory_bytes > machine_bytes():
            told = {"memory_bytes": settings.memory_bytes, "machine_bytes": machine_bytes()}
            logger.warning("more memory is allowed than there is", extra={"fields": told})
        log(
            "parameter server ready",
            pid=os.getpid(),
            incarnation=self._parameters.incarnation,
            memory_bytes=settings.memory_bytes,
            encrypted=settings.certificate is not None,
            health=self._health.port if self._health else None,
            **{name: transport.port for name, transport in self._transports.items()},
        )

    def _stop(self) -> None:
        log("parameter server stops", seconds=self._settings.drain_s)
        self._status = "draining"
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
        if self._snapshots is not None:
            self._snapshots.close()

    def _answering_health(self, address: tuple[str, int]) -> HealthServer:
        sources = Sources(self._statistics, self._refusals, self._snapshot_status)
        server = HealthServer(address, self._describe, registry_of(sources))
        server.start()
        return server

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
        # It has lines of its own for whatever somebody sends that is no TLS, and no limit to them.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        # Only where it is asked for, so that grpcio need not be installed.
        from ps_server.over_grpc.server import GrpcServer

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
        n_connections = sum(each.connections for each in [*self._transports.values()])
        return self._parameters.statistics(n_connections)

    def _refusals(self) -> Counter[str]:
        transports = [*self._transports.values()]
        return sum((each.refusals.copy() for each in transports), Counter())

    def _snapshot_status(self) -> SnapshotStatus | None:
        return self._snapshots.status if self._snapshots is not None else None

    def _describe(self) -> tuple[bool, dict[str, Any]]:
        status = self._snapshot_status()
        told: dict[str, Any] = {
            "status": self._status,
            "pid": os.getpid(),
            "incarnation": self._parameters.incarnation,
        }
        if status is not None:
            told["snapshots"] = "failing" if status.is_failing else "ok"
            told["snapshot_age_s"] = round(status.age_s, 3)
        return self._status == "ok", told

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
