"""A parameter server under hostile input: it survives, stays small and serves the others.

The input is calls with one defect each, and bytes that are not calls.
"""

from __future__ import annotations

import json
import random
import resource
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import grpc
import numpy as np
import pytest
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.Thrift import TMessageType
from thrift.transport.TTransport import TMemoryBuffer

from comm.wire import Message, encode
from ps_server.client.jobs import JobClient, Push
from ps_server.generated import parameter_server_pb2 as pb
from ps_server.over_grpc.messages import message_of
from ps_server.over_thrift.client import ParameterClient
from ps_server.over_thrift.messages import ARGUMENTS, struct_of
from ps_server.protocol.addresses import Credentials
from ps_server.protocol.calls import JobSettings, Target, encode_in_parts
from stepml.job.step import Step
from tests.support.parameter_servers import (
    WAIT_S,
    ParameterServerProcess,
    open_client,
    parameter_server,
)
from tests.support.ranks import messages, total
from tests.support.running_aws import eventually
from tests.support.servers import HOST, certificates

N_THRIFT, N_GRPC, N_WIRES = 3000, 600, 200
MOST_GROWTH_BYTES = 24 * 2**20
STEP = Step(1, 1)
VICTIM = "jobs/victim/"
SETTINGS = JobSettings(2, 2**20)
VALUE = bytes(encode(Message(np.ones(500, np.float32), np.ones(2))))


def thrift_call(name: str, *arguments: object, **named: object) -> bytes:
    memory = TMemoryBuffer()
    protocol = TBinaryProtocol(memory)
    protocol.writeMessageBegin(name, TMessageType.CALL, 1)
    ARGUMENTS[name](*arguments, **named).write(protocol)
    protocol.writeMessageEnd()
    return bytes(memory.getvalue())


def thrift_calls() -> list[bytes]:
    """Return calls as an honest client makes them."""
    step = struct_of(STEP)
    return [
        thrift_call("ping"),
        thrift_call("register_job", VICTIM, struct_of(SETTINGS)),
        thrift_call("exists", VICTIM, step),
        thrift_call("push", VICTIM, step, 0, "attempt", 0, len(VALUE), 0, VALUE),
        thrift_call("push", VICTIM, step, 0, "attempt", 0, 2**20, 0, VALUE),  # and no more
        thrift_call("pull", VICTIM, step, 0, "attempt", 1, 0, 2**20),
        thrift_call("forget", VICTIM, step),
        thrift_call("reset", VICTIM, 1),
        thrift_call("delete_jobs", VICTIM),
        thrift_call("statistics"),
    ]


LENGTHS = [struct.pack(">i", number) for number in (-1, 2**31 - 1, -(2**31), 2**24, 0, 2**16)]
NESTED = b"\x0c\x00\x02" * 20_000  # structs in structs
CONTAINERS = [b"\x0f\x00\x01\x0c", b"\x0d\x00\x01\x0b\x0c", b"\x0e\x00\x01\x08"]


def wrong(data: bytes, rng: random.Random) -> bytes:
    """Return a call with a defect."""
    at, changed = rng.randrange(len(data)), bytearray(data)
    match rng.randrange(8):
        case 0:
            return data[:at]
        case 1:
            for _ in range(rng.randint(1, 8)):
                changed[rng.randrange(len(data))] = rng.randrange(256)
        case 2:
            changed[at : at + 4] = rng.choice(LENGTHS)
        case 3:
            changed[at:at] = rng.randbytes(rng.randint(1, 200))
        case 4:
            changed[at:at] = data[: rng.randrange(len(data))]
        case 5:
            return data[:20] + NESTED[: 3 * rng.randint(1, 20_000)]
        case 6:
            changed[20:20] = rng.choice(CONTAINERS) + rng.choice(LENGTHS)
        case 7:
            return rng.randbytes(rng.randint(1, 3000))
    return bytes(changed)


def hostile_thrift(token: str, rng: random.Random) -> bytes:
    """Return the bytes of a connection."""
    login = thrift_call("authenticate", token)
    calls = thrift_calls()
    match rng.randrange(6):
        case 0:  # no token, or half of one
            return wrong(login, rng)
        case 1:
            return thrift_call("authenticate", rng.choice(["", token[:-1], "x" * 5000, "ü" * 99]))
        case 2:
            return rng.choice(calls)  # correct except for the token
        case 3:
            return login + login[: rng.randrange(len(login))]
        case _:
            good = rng.sample(calls, rng.randint(0, 3))
            return login + b"".join(good) + wrong(rng.choice(calls), rng)


def send(port: int, data: bytes, rng: random.Random) -> None:
    """Send bytes in one of several ways, and disconnect."""
    with suppress(OSError), socket.create_connection((HOST, port), WAIT_S) as connection:
        connection.settimeout(0.05)
        with suppress(OSError):
            connection.sendall(data)
        if rng.random() < 0.5:
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass


def grpc_requests() -> dict[str, bytes]:
    """Return the requests of an honest client."""
    step = message_of(pb.Step, STEP)
    head = pb.PushHead(job=VICTIM, step=step, rank=0, attempt="", based_on=0, size=len(VALUE))
    return {
        name: message.SerializeToString()
        for name, message in {
            "Ping": pb.Nothing(),
            "Register": pb.RegisterRequest(
                job=VICTIM, settings=message_of(pb.JobSettings, SETTINGS)
            ),
            "Exists": pb.ExistsRequest(job=VICTIM, step=step),
            "Push": pb.PushFrame(head=head, piece=VALUE),
            "Pull": pb.PullRequest(job=VICTIM, step=step, rank=0, attempt="", wait_ms=1),
            "Forget": pb.ForgetRequest(job=VICTIM, through=step),
            "Reset": pb.ResetRequest(job=VICTIM, epoch=1),
            "Delete": pb.DeleteRequest(prefix=VICTIM),
            "Statistics": pb.Nothing(),
        }.items()
    }


def hostile_grpc(server: ParameterServerProcess, n_calls: int, seed: int) -> Counter[str]:
    """Make calls with a defect; return the count of each status."""
    rng, requests, seen = random.Random(seed), grpc_requests(), Counter[str]()
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"{HOST}:{server.ports['grpc']}", options) as channel:
        for _ in range(n_calls):
            name = rng.choice([*requests])
            frames = [requests[name]] * rng.randint(1, 3)
            at = rng.randrange(len(frames))
            frames[at] = wrong(frames[at] or b"\0", rng)
            if rng.random() < 0.01:
                frames[at] = bytes(2**21)  # larger than the limit
            token = rng.choice([server.token] * 5 + ["", "wrong"])
            call = channel.stream_stream(f"/stepml.parameter_server.v1.ParameterServer/{name}")(
                iter(frames), timeout=WAIT_S, metadata=(("authorization", f"Bearer {token}"),)
            )
            try:
                for _ in call:
                    pass
                seen["OK"] += 1
            except grpc.RpcError as error:
                seen[error.code().name] += 1
    return seen


class Honest:
    """Two ranks that continue their steps meanwhile, and repeat calls that get no answer."""

    def __init__(self, make: Callable[[], ParameterClient], job: str) -> None:
        self.steps = 0
        self._job = job
        self._contributed = messages(2, 3000)
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(2)
        with make() as client:
            client.register(job, JobSettings(2, 2**16))
        self._ranks = [self._pool.submit(self._run, rank, make()) for rank in range(2)]

    def _run(self, rank: int, client: ParameterClient) -> None:
        expected, number, stops = total(self._contributed), 0, False
        with client:
            job = JobClient(client, self._job)
            while not stops:
                number += 1
                mine = self._contributed[rank]
                # All ranks stop after the same step.
                message = Message(mine.vector, mine.trailer, pause=self._stop.is_set())
                target = Target(self._job, Step(1, number), rank)
                push = Push(target, encode_in_parts(message), str)
                summed = job.push_and_wait(
                    push, WAIT_S, lambda received: received.message("the sum")
                )
                assert summed.vector.tobytes() == expected
                stops = summed.pause
                if rank == 0:
                    job.forget(Step(1, number - 1))
                    self.steps = number

    def finish(self) -> None:
        self._stop.set()
        for rank in self._ranks:
            rank.result()
        self._pool.shutdown()


@contextmanager
def honest_ranks(server: ParameterServerProcess, transport: str) -> Iterator[Honest]:
    honest = Honest(lambda: server.client(transport), f"jobs/honest/{transport}/")
    yield honest
    steps = honest.steps
    eventually(lambda: honest.steps, lambda now: now > steps)  # they continue
    honest.finish()


def state_of(server: ParameterServerProcess) -> dict[str, int]:
    """Return the resources of the process."""
    place = Path(f"/proc/{server.pid}")
    lines = (place / "status").read_text(encoding="ascii").splitlines()
    status = dict(line.split(":", 1) for line in lines)
    return {
        "rss": 1024 * int(status["VmRSS"].split()[0]),
        "threads": int(status["Threads"]),
        "files": len([*(place / "fd").iterdir()]),
    }


def failures_in(server: ParameterServerProcess) -> list[str]:
    lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    others = [line for line in server.log().splitlines() if not line.startswith("{")]
    return others + [str(line) for line in lines if line["level"] != "INFO"]


@pytest.mark.timeout(300)
def test_hostile_inputs_harm_nobody(tmp_path: Path) -> None:
    with parameter_server(tmp_path, transports=("thrift", "grpc"), memory_mb=200) as server:
        rng = random.Random(6)

        def thrift_inputs(n_inputs: int, seed: int) -> None:
            mine = random.Random(seed)
            for _ in range(n_inputs):
                send(server.ports["thrift"], hostile_thrift(server.token, mine), mine)

        def wires(n_inputs: int, seed: int) -> None:
            """Send bytes of other protocols to both ports."""
            mine = random.Random(seed)
            beginnings = [
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                b"GET / HTTP/1.1\r\n\r\n",
                b"\x16\x03\x01",
            ]
            for _ in range(n_inputs):
                port = server.ports[mine.choice(["thrift", "grpc", "health"])]
                send(port, mine.choice(beginnings) + mine.randbytes(mine.randint(0, 500)), mine)

        with honest_ranks(server, "thrift"), honest_ranks(server, "grpc"):
            with ThreadPoolExecutor(4) as pool:
                warm = [pool.submit(thrift_inputs, 250, rng.randrange(2**32)) for _ in range(4)]
                warm.append(pool.submit(hostile_grpc, server, 200, 1))
                for each in warm:
                    each.result()
                before = state_of(server)
                rest = [
                    pool.submit(thrift_inputs, N_THRIFT // 4, rng.randrange(2**32))
                    for _ in range(4)
                ]
                calls = [pool.submit(hostile_grpc, server, N_GRPC // 2, seed) for seed in (2, 3)]
                rest.append(pool.submit(wires, N_WIRES, 4))
                for each in rest:
                    each.result()
                seen = sum((each.result() for each in calls), Counter[str]())
            after = eventually(
                lambda: state_of(server),
                lambda now: all(now[name] <= before[name] + 5 for name in ("files", "threads")),
            )
        assert after["rss"] - before["rss"] < MOST_GROWTH_BYTES
        assert failures_in(server) == []
        assert seen["UNAUTHENTICATED"] > 0
        assert seen["INVALID_ARGUMENT"] > 0
        assert not seen["INTERNAL"] + seen["UNKNOWN"]
        with server.client() as client:
            client.delete("jobs/")
            assert client.statistics().used_bytes == 0
        assert server.stop() == 0


def test_who_says_nothing_is_sent_away(tmp_path: Path) -> None:
    """Without the token, no client occupies a thread of the server for long."""
    with parameter_server(tmp_path) as server:
        silent = socket.create_connection((HOST, server.ports["thrift"]), WAIT_S)
        dripping = socket.create_connection((HOST, server.ports["thrift"]), WAIT_S)
        login = thrift_call("authenticate", "x" * 4000)
        with silent, dripping:
            with pytest.raises(OSError):
                for byte in login:  # each byte in time, but never the whole message
                    dripping.sendall(bytes([byte]))
                    time.sleep(0.2)
            assert silent.recv(1) == b""
        with server.client() as client:
            eventually(lambda: client.statistics().connections, lambda now: now == 1)


def test_crowds_without_the_token_keep_nobody_out(tmp_path: Path) -> None:
    with parameter_server(tmp_path, max_connections=10) as server, ExitStack() as stack:
        crowd = []
        for _ in range(300):
            crowd.append(socket.create_connection((HOST, server.ports["thrift"]), WAIT_S))
            stack.enter_context(crowd[-1])
        for _ in range(10):
            client = stack.enter_context(server.client())
            client.ping()
        too_many = stack.enter_context(server.client())
        with pytest.raises(ConnectionError):
            too_many.ping()
        assert state_of(server)["threads"] < 200


def test_connections_beyond_the_limit_of_open_files_do_not_fill_the_log(tmp_path: Path) -> None:
    with parameter_server(tmp_path) as server, ExitStack() as stack:
        most = state_of(server)["files"] + 5
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (most, most))
        began = time.monotonic()
        for _ in range(50):
            address = HOST, server.ports["thrift"]
            stack.enter_context(socket.create_connection(address, WAIT_S))
        eventually(lambda: server.log().count("cannot accept"), lambda now: now >= 2)
        assert server.log().count("cannot accept") <= time.monotonic() - began + 1
        stack.close()
        with server.client() as client:
            client.ping()


def test_memory_is_not_taken_for_what_is_only_announced(tmp_path: Path) -> None:
    with parameter_server(tmp_path, memory_mb=2000) as server:
        with server.client() as client:
            client.register(VICTIM, JobSettings(2, 300 * 2**20))
        before = state_of(server)["rss"]
        login = thrift_call("authenticate", server.token)
        step = struct_of(STEP)
        announced = thrift_call("push", VICTIM, step, 0, "", 0, 250 * 2**20, 0, VALUE)
        oversized = bytearray(thrift_call("push", VICTIM, step, 0, "", 0, 2**20, 0, VALUE))
        at = len(oversized) - len(VALUE) - 5
        oversized[at : at + 4] = struct.pack(">i", 2**31 - 1)
        connections = [
            socket.create_connection((HOST, server.ports["thrift"]), WAIT_S) for _ in range(4)
        ]
        for connection in connections:
            connection.sendall(login + announced)
        connections[0].sendall(bytes(oversized))
        time.sleep(0.5)
        # Untouched pages take no memory.
        assert state_of(server)["rss"] - before < 30 * 2**20
        for connection in connections:
            connection.close()


def recorded(port: int, act: Callable[[int], object]) -> bytes:
    """Record a client's bytes to a port, through a forwarding port, while it acts."""
    heard = bytearray()
    with socket.create_server((HOST, 0)) as listener:

        def forward() -> None:
            client, _ = listener.accept()
            with client, socket.create_connection((HOST, port), WAIT_S) as server:
                back = threading.Thread(target=carry, args=(server, client, None))
                back.start()
                carry(client, server, heard)
                back.join()

        thread = threading.Thread(target=forward)
        thread.start()
        act(listener.getsockname()[1])
        thread.join()
    return bytes(heard)


def carry(source: socket.socket, target: socket.socket, heard: bytearray | None) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            if heard is not None:
                heard += data
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def a_session(token: str, port: int) -> None:
    """Make a rank's calls over gRPC."""
    encoded = encode_in_parts(Message(np.ones(500, np.float32), np.ones(2)))
    with open_client(f"grpc://{HOST}:{port}", Credentials(token)) as client:
        client.register(VICTIM, JobSettings(1, 2**20))
        client.push_and_pull(Target(VICTIM, STEP, 0), encoded)
        client.delete(VICTIM)


@pytest.mark.timeout(300)
def test_connections_of_grpc_with_something_wrong_in_them_harm_nobody(tmp_path: Path) -> None:
    transports, most_calls = ("thrift", "grpc"), 64
    with parameter_server(tmp_path, transports=transports, max_connections=most_calls) as server:
        port = server.ports["grpc"]
        session = recorded(port, lambda through: a_session(server.token, through))
        assert session.startswith(b"PRI * HTTP/2.0")

        def inputs(n_inputs: int, seed: int) -> None:
            rng = random.Random(seed)
            for _ in range(n_inputs):
                # After the preface and the first settings, the server parses it as HTTP/2.
                kept = rng.choice([0, 24, 100, 300])
                send(port, session[:kept] + wrong(session[kept:], rng), rng)

        with honest_ranks(server, "grpc"), ThreadPoolExecutor(4) as pool:
            before = state_of(server)
            silent = [socket.create_connection((HOST, port), WAIT_S) for _ in range(100)]
            for connection in silent[50:]:
                connection.sendall(b"\x16\x03\x01\x02\x00\x01")  # the beginning of TLS
            [*pool.map(inputs, [750] * 4, range(4))]  # faster than calls begin
            # Those that never became a connection have five seconds.
            after = eventually(
                lambda: state_of(server), lambda now: now["files"] <= before["files"] + 5
            )
            for connection in silent:
                connection.close()
        with server.client("grpc") as client:
            # Unfinished calls, without those of others.
            eventually(lambda: client.statistics().connections, lambda now: now == 1)
        assert after["threads"] < most_calls + 40  # those of gRPC itself
        assert after["rss"] - before["rss"] < MOST_GROWTH_BYTES
        assert failures_in(server) == []
        assert server.stop() == 0


def test_plain_and_encrypted_do_not_talk(tmp_path: Path) -> None:
    tls = certificates(tmp_path)
    with parameter_server(tmp_path, transports=("thrift", "grpc"), tls=tls) as server:
        rng, requests = random.Random(0), [*grpc_requests().values()]
        for _ in range(50):
            send(server.ports["thrift"], hostile_thrift(server.token, rng), rng)
            preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            send(server.ports["grpc"], preface + rng.choice(requests), rng)
        for transport in ("thrift", "grpc"):
            hello = recorded(server.ports[transport], shake_hands)
            for _ in range(50):
                send(server.ports[transport], wrong(hello, rng), rng)
            with server.client(transport) as client:
                client.ping()
        assert failures_in(server) == []


def shake_hands(port: int) -> None:
    """Begin a TLS handshake as a client that trusts no certificate."""
    with suppress(OSError), socket.create_connection((HOST, port), WAIT_S) as plain:
        ssl.create_default_context().wrap_socket(plain, server_hostname="localhost").close()
