"""Real Redis and Memcached servers for tests: processes of their own, on free loopback ports."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile

import redis

from stepml.local.ports import port_of, reserve_port

HOST = "127.0.0.1"
WAIT_S = 240.0  # generous: the machine may be busy
SLOTS = 16384  # of a Redis cluster


@dataclass(frozen=True)
class Certificates:
    """PEM files for TLS."""

    ca: Path  # the authority, which clients trust
    certificate: Path  # of a server at 127.0.0.1 and localhost
    key: Path


@dataclass
class Process:
    """One server that can be stopped and started again, on the same port and without its data."""

    command: Sequence[str]
    reserved: Sequence[socket.socket]  # its ports, also while it is stopped; clients use the first
    flush_command: bytes
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def port(self) -> int:
        return port_of(self.reserved[0])

    def start(self) -> None:
        """Start it and return once it answers; does nothing if it is running."""
        if self._process is not None:
            return
        with TemporaryFile() as output:
            self._process = subprocess.Popen(self.command, stdout=output, stderr=output)
            try:
                _wait_until(self._answers)
            except (ChildProcessError, TimeoutError) as error:
                output.seek(0)
                error.add_note(f"{self.command}: {output.read().decode(errors='replace')}")
                raise

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()  # as in a crash; it has nothing to save
            process.wait()

    def close(self) -> None:
        """Stop it for good."""
        self.stop()
        for each in self.reserved:
            each.close()

    def flush(self) -> None:
        """Empty a server that needs neither TLS nor a password."""
        with socket.create_connection((HOST, self.port), WAIT_S) as connection:
            connection.sendall(self.flush_command)
            answer = connection.recv(100)
        assert b"OK" in answer, answer

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise ChildProcessError(f"the server ended with {self._process.returncode}")
        try:
            socket.create_connection((HOST, self.port), 1).close()
        except OSError:
            return False
        return True


@dataclass
class Server:
    """The processes behind one address."""

    url: str  # as in the environment variables of a channel
    processes: Sequence[Process]
    is_ready: Callable[[], bool] = lambda: True

    def start(self) -> None:
        for process in self.processes:
            process.start()
        _wait_until(self.is_ready)

    def stop(self) -> None:
        for process in self.processes:
            process.stop()

    def close(self) -> None:
        for process in self.processes:
            process.close()

    def flush(self) -> None:
        for process in self.processes:
            process.flush()


@contextmanager
def redis_server(
    directory: Path,
    *,
    tls: Certificates | None = None,
    user: str = "",
    password: str = "",
    cluster: bool = False,
) -> Iterator[Server]:
    """Run a Redis server, or a cluster of three.

    Parameters
    ----------
    directory : Path
        For the servers' files.
    tls : Certificates, optional
    user, password : str, optional
        The only user; without one, there is no login.
    cluster : bool
    """
    settings = ["--save", "", "--appendonly", "no", "--bind", HOST, "--dir", str(directory)]
    if user:
        settings += [
            "--user",
            user,
            "on",
            f">{password}",
            "~*",
            "+@all",
            "--user",
            "default",
            "off",
        ]
    processes = []
    for _ in range(3 if cluster else 1):
        reserved = [reserve_port(0) for _ in range(2 if cluster else 1)]
        port, *others = map(port_of, reserved)
        listen = _redis_tls(tls, port) if tls else ["--port", str(port)]
        nodes = _redis_node(port, *others) if cluster else []
        command = [_binary("redis-server"), *settings, *listen, *nodes]
        processes.append(Process(command, reserved, b"FLUSHALL\r\n"))
    scheme, login = "rediss" if tls else "redis", f"{user}@" if user else ""
    query = "?cluster=true" if cluster else ""
    url = f"{scheme}://{login}{HOST}:{processes[0].port}{query}"
    server = Server(url, processes)
    with _running(server):
        if cluster:
            _form_cluster([process.port for process in processes])
            server.is_ready = partial(_is_formed, [process.port for process in processes])
            _wait_until(server.is_ready)
        yield server


@contextmanager
def memcached_server(
    *,
    tls: Certificates | None = None,
    memory_mb: int = 1024,
    max_item: str = "1m",
    nodes: int = 1,
) -> Iterator[Server]:
    """Run one Memcached server, or several independent ones.

    Parameters
    ----------
    tls : Certificates, optional
    memory_mb : int
        For values, in each server.
    max_item : str, default Memcached's
        The largest value, including key and header, such as ``"8m"``.
    nodes : int
    """
    processes = []
    for _ in range(nodes):
        reserved = [reserve_port(0)]
        # ElastiCache refuses lru_crawler, which lists the keys of other servers.
        limits = ["-m", str(memory_mb), "-I", max_item, "-t", "2", "-o", "no_lru_crawler"]
        port = str(port_of(reserved[0]))
        command = [_binary("memcached"), "-l", HOST, "-p", port, "-U", "0", *limits]
        if os.geteuid() == 0:
            command += ["-u", "root"]  # otherwise it refuses to run as root
        if tls:
            command += ["-Z", "-o", f"ssl_chain_cert={tls.certificate},ssl_key={tls.key}"]
        processes.append(Process(command, reserved, b"flush_all\r\n"))
    addresses = ",".join(f"{HOST}:{process.port}" for process in processes)
    scheme = "memcacheds" if tls else "memcached"
    with _running(Server(f"{scheme}://{addresses}", processes)) as server:
        yield server


def certificates(directory: Path) -> Certificates:
    """Create an authority, and the certificate of a server on this machine, signed by it."""
    made = Certificates(*(directory / name for name in ("ca.pem", "server.pem", "server.key")))
    config, ca_key = directory / "openssl.cnf", directory / "ca.key"
    config.write_text(
        "[req]\ndistinguished_name = name\nprompt = no\n[name]\nCN = StepML tests\n"
        "[ca]\nbasicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign\n"
        "subjectKeyIdentifier = hash\n"
        "[server]\nsubjectAltName = IP:127.0.0.1, DNS:localhost\n"
        "subjectKeyIdentifier = hash\nauthorityKeyIdentifier = keyid\n"
    )
    new = [_binary("openssl"), "req", "-x509", "-config", str(config), "-days", "2", "-nodes"]
    new += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    _run([*new, "-extensions", "ca", "-keyout", str(ca_key), "-out", str(made.ca)])
    signed = ["-CA", str(made.ca), "-CAkey", str(ca_key), "-subj", "/CN=localhost"]
    files = ["-keyout", str(made.key), "-out", str(made.certificate)]
    _run([*new, "-extensions", "server", *signed, *files])
    return made


@contextmanager
def _running(server: Server) -> Iterator[Server]:
    with ExitStack() as stack:
        stack.callback(server.close)
        server.start()
        yield server


def _redis_tls(tls: Certificates, port: int) -> list[str]:
    listen = ["--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no"]
    files = ["--tls-cert-file", str(tls.certificate), "--tls-key-file", str(tls.key)]
    return [*listen, *files, "--tls-ca-cert-file", str(tls.ca)]


def _redis_node(port: int, cluster_port: int) -> list[str]:
    # A node that gets no processor time for long is no lost node.
    talk = ["--cluster-port", str(cluster_port), "--cluster-node-timeout", "600000"]
    return ["--cluster-enabled", "yes", *talk, "--cluster-config-file", f"nodes-{port}.conf"]


def _form_cluster(ports: Sequence[int]) -> None:
    with ExitStack() as stack:
        nodes = [stack.enter_context(redis.Redis(HOST, port)) for port in ports]
        bounds = [SLOTS * number // len(nodes) for number in range(len(nodes) + 1)]
        for number, node in enumerate(nodes):
            node.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            node.execute_command("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
            bus = node.config_get("cluster-port")["cluster-port"]
            nodes[0].execute_command("CLUSTER", "MEET", HOST, ports[number], bus)


def _is_formed(ports: Sequence[int]) -> bool:
    with ExitStack() as stack:
        nodes = [stack.enter_context(redis.Redis(HOST, port)) for port in ports]
        infos = [node.cluster("INFO") for node in nodes]
    states = {(info["cluster_state"], int(info["cluster_known_nodes"])) for info in infos}
    return states == {("ok", len(ports))}


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so within {WAIT_S:g} s")
        time.sleep(0.01)


def _binary(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise FileNotFoundError(
            f"these tests need {name}: apt-get install redis-server memcached openssl"
        )
    return path


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
