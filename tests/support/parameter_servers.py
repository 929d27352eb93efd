"""Real parameter servers for tests: processes of their own, on free loopback ports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ps_server.over_thrift.client import ParameterClient
from ps_server.protocol.addresses import Credentials
from stepml.local.ports import port_of, reserve_port
from tests.support.paths import ROOT
from tests.support.servers import HOST, Certificates

WAIT_S = 240.0  # generous: the machine may be busy
TOKEN = "a token of tests, long enough"


def open_client(url: str, credentials: Credentials, timeout_s: float = 30.0) -> ParameterClient:
    """Return a client of the server at ``thrift[s]://host:port`` or ``grpc[s]://host:port``."""
    if not url.startswith("grpc"):
        return ParameterClient(url, credentials, timeout_s)
    from tests.support.grpc_client import GrpcClient

    return GrpcClient(url, credentials, timeout_s)


@dataclass
class ParameterServerProcess:
    """One server that can be stopped, killed and started again on the same ports."""

    directory: Path
    flags: Sequence[str]
    ports: dict[str, int]  # by transport, and of health
    token: str = TOKEN
    tls: Certificates | None = None
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def url(self, transport: str) -> str:
        return f"{transport}{'s' if self.tls else ''}://{HOST}:{self.ports[transport]}"

    @property
    def credentials(self) -> Credentials:
        return Credentials(self.token, ca_file=str(self.tls.ca) if self.tls else None)

    @property
    def health_url(self) -> str:
        return f"http://{HOST}:{self.ports['health']}"

    @property
    def log_path(self) -> Path:
        return self.directory / "parameter-server.log"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def client(self, transport: str = "thrift", timeout_s: float = WAIT_S) -> ParameterClient:
        return open_client(self.url(transport), self.credentials, timeout_s)

    def start(self) -> None:
        """Start it and return once it answers; does nothing if it is running."""
        if self.process is not None:
            return
        listen = {"thrift": "--listen", "grpc": "--grpc-listen", "health": "--health-listen"}
        where = [f"{listen[name]}={HOST}:{port}" for name, port in self.ports.items()]
        environment = {**os.environ, "STEPML_PS_TOKEN": self.token, **self.environment}
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ps_server", *where, *self.flags],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + WAIT_S
        while self.health() is None:
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise ChildProcessError(f"no parameter server: {self.log()}")
            time.sleep(0.02)

    def health(self) -> dict[str, Any] | None:
        """Return the answer of ``/healthz``, or None without one."""
        try:
            with urllib.request.urlopen(f"{self.health_url}/healthz", timeout=WAIT_S) as answer:
                health: dict[str, Any] = json.load(answer)
                return health
        except OSError:
            return None

    def metrics(self) -> str:
        with urllib.request.urlopen(f"{self.health_url}/metrics", timeout=WAIT_S) as answer:
            return str(answer.read().decode())

    def stop(self) -> int:
        """Stop it gracefully, and return its exit code."""
        assert self.process is not None
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        return process.wait(WAIT_S)

    def kill(self) -> None:
        """Kill it, as in a crash; does nothing if it is not running."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()

    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8")


@contextmanager
def parameter_server(
    directory: Path,
    *,
    transports: Sequence[str] = ("thrift",),
    tls: Certificates | None = None,
    token: str = TOKEN,
    environment: Mapping[str, str] | None = None,
    **flags: object,
) -> Iterator[ParameterServerProcess]:
    """Run a parameter server.

    Parameters
    ----------
    directory : Path
        For its log.
    transports : sequence of str
        ``thrift`` is always served, ``grpc`` on request.
    tls : Certificates, optional
        None for no encryption.
    token : str
    environment : mapping, optional
        Variables of the process, in addition to those of this one.
    **flags
        By name: ``memory_mb=100``.
    """
    given = [f"--{name.replace('_', '-')}={value}" for name, value in flags.items()]
    if tls is None:
        given.append("--plain-loopback")
    else:
        given += [f"--certificate={tls.certificate}", f"--key={tls.key}"]
    if "memory_mb" not in flags:
        given.append("--memory-mb=2048")
    with ExitStack() as stack:
        names = ("thrift", *transports, "health")
        reserved = {name: stack.enter_context(reserve_port(0)) for name in names}
        ports = {name: port_of(each) for name, each in reserved.items()}
        others = dict(environment or {})
        server = ParameterServerProcess(directory, given, ports, token, tls, others)
        stack.callback(server.kill)
        server.start()
        yield server
