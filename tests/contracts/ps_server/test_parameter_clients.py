"""The contract of a parameter server's client, over each transport, against a real process."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import pytest

from comm.wire import Message
from ps_server.over_thrift.client import ParameterClient
from ps_server.protocol.addresses import Address, Credentials
from ps_server.protocol.calls import (
    ALL_RANKS,
    MOST_WAIT_S,
    Encoded,
    JobSettings,
    Pushed,
    Received,
    StepStatus,
    Target,
    encode_in_parts,
)
from ps_server.protocol.refusals import (
    AccessDenied,
    ContributionsMissing,
    DamagedVector,
    InvalidRequest,
    JobConflict,
    MemoryExceeded,
    StepForgotten,
    UnknownJob,
)
from stepml.job.step import Step
from tests.support.cutting_proxy import cutting_proxy
from tests.support.parameter_servers import (
    WAIT_S,
    ParameterServerProcess,
    open_client,
    parameter_server,
)
from tests.support.ranks import at_once, messages, total
from tests.support.servers import HOST, Certificates, certificates

TRANSPORTS = ("thrift", "grpc")
STEP = Step(2, 5)
MEMORY_MB = 600


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ParameterServerProcess]:
    directory = tmp_path_factory.mktemp("parameter-server")
    flags = {"memory_mb": MEMORY_MB, "frame_bytes": 2**20}  # so that vectors arrive in pieces
    with parameter_server(directory, transports=TRANSPORTS, **flags) as running:
        yield running


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(server: ParameterServerProcess, transport: str) -> Iterator[ParameterClient]:
    """A client of a server without jobs."""
    with server.client(transport) as ours:
        yield ours
        ours.delete("jobs/")


def settings(world_size: int = 2, message_bytes: int = 2**16) -> JobSettings:
    return JobSettings(world_size, message_bytes)


def message(size: int, seed: int = 0) -> Message:
    return messages(1, size, seed)[0]


def pushed_and_pulled(client: ParameterClient, target: Target, encoded: Encoded) -> Received:
    """Push, and wait for the sum as long as it takes: a server ends a long wait early."""
    _, data = client.push_and_pull(target, encoded, MOST_WAIT_S)
    while not isinstance(data, Received):
        with suppress(ContributionsMissing):
            data = client.pull(target, MOST_WAIT_S)
    return data


@pytest.mark.parametrize("size", [0, 1, 1000, 2**18, 2**20 - 12, 2**20, 3 * 2**20 + 1])
def test_vectors_of_any_size_come_back(client: ParameterClient, size: int) -> None:
    ours = message(size)
    encoded = encode_in_parts(ours)
    client.register("jobs/a", settings(1, encoded.size))
    assert client.push(Target("jobs/a", STEP, 0), encoded) == Pushed(is_repeated=False)
    assert client.push(Target("jobs/a", STEP, 0), encoded).is_repeated
    pulled = client.pull(Target("jobs/a", STEP, 0)).message("")
    assert pulled.vector.tobytes() == ours.vector.tobytes()
    pushed, data = client.push_and_pull(Target("jobs/a", Step(3, 1), 0), encoded)
    assert not pushed.is_repeated
    assert isinstance(data, Received)
    assert data.message("").vector.tobytes() == ours.vector.tobytes()


def test_what_was_pulled_stays_until_the_next_pull_but_one(client: ParameterClient) -> None:
    first, second = message(2**20), message(2**20, seed=1)
    client.register("jobs/a", settings(1, encode_in_parts(first).size))
    _, one = client.push_and_pull(Target("jobs/a", Step(1, 1), 0), encode_in_parts(first))
    _, two = client.push_and_pull(Target("jobs/a", Step(1, 2), 0), encode_in_parts(second))
    assert isinstance(one, Received)
    assert isinstance(two, Received)
    assert one.message("").vector.tobytes() == first.vector.tobytes()
    assert two.message("").vector.tobytes() == second.vector.tobytes()


def test_a_model_is_longer_than_its_updates(client: ParameterClient) -> None:
    """The client cannot know the size of the answer."""
    frame = client.server.frame_bytes
    size = frame // 4 - 8 - 2  # so that the trailer begins another piece
    client.register("jobs/a", JobSettings(64, 2 * frame, "asynchronous"))
    client.push(Target("jobs/a", Step(1, 0), 0), encode_in_parts(message(size)))
    change = Message(np.ones(size, np.float32), np.zeros(2))
    pushed, data = client.push_and_pull(Target("jobs/a", Step(1, 1), 3), encode_in_parts(change))
    assert pushed == Pushed(False, version=1)
    assert isinstance(data, Received)
    model = data.message("")
    assert model.trailer[:4].tolist() == [1, 0, 0, 0]
    assert model.vector.tobytes() == (message(size).vector + 1).tobytes()


def test_ranks_that_wait_get_the_same_sum(
    server: ParameterServerProcess, client: ParameterClient, transport: str
) -> None:
    contributed = messages(4, 2**20)
    client.register("jobs/a", settings(4, encode_in_parts(contributed[0]).size))

    def act(rank: int) -> bytes:
        with server.client(transport) as ours:
            encoded = encode_in_parts(contributed[rank])
            data = pushed_and_pulled(ours, Target("jobs/a", STEP, rank), encoded)
            return data.message("").vector.tobytes()

    assert set(at_once(4, act)) == {total(contributed)}


def test_a_wait_ends_when_it_is_told_to(client: ParameterClient) -> None:
    client.register("jobs/a", settings(3))
    began = time.monotonic()
    pushed, missing = client.push_and_pull(
        Target("jobs/a", STEP, 1, attempt="attempt"), encode_in_parts(message(9)), wait_s=0.3
    )
    assert time.monotonic() - began > 0.25
    assert not pushed.is_repeated
    assert isinstance(missing, ContributionsMissing)
    assert (missing.ranks, missing.frontier) == ((0, 2), 5)
    with pytest.raises(ContributionsMissing, match="rank 0, 2"):
        client.pull(Target("jobs/a", STEP, 1))
    assert client.exists("jobs/a", STEP) == StepStatus((1,), is_complete=False)


def test_steps_are_given_back_forgotten_and_reset(client: ParameterClient) -> None:
    encoded = encode_in_parts(message(9))
    client.register("jobs/a", settings(2))
    for batch in (1, 2, 3):
        client.push(Target("jobs/a", Step(1, batch), ALL_RANKS), encoded)
    client.forget("jobs/a", Step(1, 2))
    complete = [client.exists("jobs/a", Step(1, batch)).is_complete for batch in (1, 2, 3)]
    assert complete == [False, False, True]
    client.reset("jobs/a", 1)
    assert not client.exists("jobs/a", Step(1, 3)).is_complete
    assert client.delete("jobs/a") == 1
    assert client.delete("jobs/a") == 0


def refusals() -> list[tuple[type[Exception], str, Callable[[ParameterClient], object]]]:
    small = encode_in_parts(message(9))
    damaged = bytearray(b"".join(small.parts))
    damaged[40] ^= 1
    broken = encode_in_parts(message(9))
    broken.parts = (memoryview(damaged),)
    large = encode_in_parts(message(2**21))
    ours, stranger = Target("jobs/a", STEP, 0), Target("jobs/a", STEP, 2)
    return [
        (UnknownJob, "is not registered", lambda c: c.push(ours._replace(job="jobs/x"), small)),
        (
            UnknownJob,
            "is not registered",
            lambda c: c.push_and_pull(ours._replace(job="jobs/y"), large),
        ),
        (JobConflict, "registered with", lambda c: c.register("jobs/a", settings(3))),
        (MemoryExceeded, "bytes", lambda c: c.register("jobs/b", settings(1600, 2**30))),
        (InvalidRequest, "rank: expected -1 to 1", lambda c: c.push(stranger, small)),
        (InvalidRequest, "size: expected 32 to", lambda c: c.push(ours, large)),
        (InvalidRequest, "prefix: expected", lambda c: c.delete("")),
        (DamagedVector, "checksum", lambda c: c.push(ours, broken)),
        (StepForgotten, "is not here", lambda c: c.pull(Target("jobs/a", STEP, 0, attempt="t"))),
    ]


@pytest.mark.parametrize("number", range(len(refusals())))
def test_refusals_come_as_what_they_are_and_the_connection_goes_on(
    client: ParameterClient, number: int
) -> None:
    client.register("jobs/a", settings(2))
    client.push(Target("jobs/a", Step(2, 9), 0, attempt="t"), encode_in_parts(message(9)))
    error, told, call = refusals()[number]
    for _ in range(2):
        with pytest.raises(error, match=told) as caught:
            call(client)
        if isinstance(caught.value, MemoryExceeded):
            assert caught.value.limit_bytes == MEMORY_MB * 2**20
    assert client.exists("jobs/a", Step(2, 9)).ranks == (0,)


def test_a_wrong_token_is_denied_and_learns_nothing(
    server: ParameterServerProcess, transport: str
) -> None:
    calls: list[Callable[[ParameterClient], object]] = [
        lambda c: c.ping(),
        lambda c: c.statistics(),
        lambda c: c.exists("jobs/a", STEP),
        lambda c: c.push(Target("jobs/a", STEP, 0), encode_in_parts(message(2**20))),
    ]
    for token in ("", "wrong", server.token + "x", server.token[:-1]):
        for call in calls:
            stranger = open_client(server.url(transport), Credentials(token))
            with pytest.raises(AccessDenied) as caught:
                call(stranger)
            assert str(caught.value) == "the token is wrong"
            stranger.close()


def test_statistics_tell_what_happened(client: ParameterClient) -> None:
    client.register("jobs/a", settings(1))
    encoded = encode_in_parts(message(9))
    for _ in range(2):
        client.push(Target("jobs/a", STEP, 0), encoded)
    client.pull(Target("jobs/a", STEP, 0))
    told = client.statistics()
    (job,) = told.jobs
    assert (job.job, job.rule, job.world_size, job.ranks) == ("jobs/a", "bulk_synchronous", 1, 1)
    assert (job.pushes, job.repeated_pushes, job.pulls, job.steps) == (2, 1, 1, 1)
    assert told.connections >= 1
    assert told.limit_bytes == MEMORY_MB * 2**20


def test_a_client_finds_a_server_that_was_restarted(tmp_path: Path, transport: str) -> None:
    with parameter_server(tmp_path, transports=TRANSPORTS) as own, own.client(transport) as ours:
        first = ours.ping().incarnation
        own.kill()
        with pytest.raises((ConnectionError, TimeoutError)):
            ours.ping()
        own.start()
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                second = ours.ping().incarnation
                break
            except (ConnectionError, TimeoutError):
                assert time.monotonic() < deadline
                time.sleep(0.05)
        assert second != first
        assert ours.server.incarnation == second


def test_nobody_there_is_a_connection_error(transport: str) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        url = f"{transport}://{HOST}:{taken.getsockname()[1]}"
        client = open_client(url, Credentials("token"), timeout_s=2)
        with pytest.raises((ConnectionError, TimeoutError)):
            client.ping()
        client.close()


@pytest.mark.parametrize("most_bytes", [300, 5_000, 1_500_000, 9_000_000])
def test_a_connection_that_is_cut_in_a_message_leaves_nothing_and_can_be_made_again(
    server: ParameterServerProcess, client: ParameterClient, transport: str, most_bytes: int
) -> None:
    contributed = messages(2, 3 * 2**20)
    client.register("jobs/a", settings(2, encode_in_parts(contributed[0]).size))
    with (
        cutting_proxy(server.url(transport), [(most_bytes, 2**60)]) as proxy,
        open_client(proxy.url, server.credentials, timeout_s=WAIT_S) as ours,
    ):
        with pytest.raises((ConnectionError, TimeoutError)):
            ours.push(Target("jobs/a", STEP, 0), encode_in_parts(contributed[0]))
        assert client.exists("jobs/a", STEP).ranks == ()
        assert not ours.push(Target("jobs/a", STEP, 0), encode_in_parts(contributed[0])).is_repeated
    client.push(Target("jobs/a", STEP, 1), encode_in_parts(contributed[1]))
    assert client.pull(Target("jobs/a", STEP, 0)).message("").vector.tobytes() == total(contributed)
    deadline = time.monotonic() + WAIT_S
    sum_bytes = encode_in_parts(contributed[0]).size
    while client.statistics().used_bytes != sum_bytes:  # the cut message is freed
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_two_hundred_clients_at_once(
    server: ParameterServerProcess, client: ParameterClient, transport: str
) -> None:
    world_size, n_steps = 200, 3
    contributed = messages(world_size, 500)
    client.register("jobs/a", settings(world_size))

    def act(rank: int) -> set[bytes]:
        sums = set()
        with server.client(transport) as ours:
            for batch in range(1, n_steps + 1):
                encoded = encode_in_parts(contributed[rank])
                data = pushed_and_pulled(ours, Target("jobs/a", Step(1, batch), rank), encoded)
                sums.add(data.message("").vector.tobytes())
        return sums

    assert set.union(*at_once(world_size, act)) == {total(contributed)}


def test_two_jobs_at_once_do_not_touch_each_other(
    server: ParameterServerProcess, client: ParameterClient, transport: str
) -> None:
    contributed = [messages(2, 5000, seed=job) for job in range(2)]
    for job in range(2):
        client.register(f"jobs/{job}", settings(2))

    def act(number: int) -> set[bytes]:
        job, rank = divmod(number, 2)
        sums = set()
        with server.client(transport) as ours:
            for batch in range(1, 30):
                encoded = encode_in_parts(contributed[job][rank])
                target = Target(f"jobs/{job}", Step(1, batch), rank)
                data = pushed_and_pulled(ours, target, encoded)
                sums.add(data.message("").vector.tobytes())
        return sums

    sums = at_once(4, act)
    assert sums[0] == sums[1] == {total(contributed[0])}
    assert sums[2] == sums[3] == {total(contributed[1])}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def encrypted(
    tmp_path_factory: pytest.TempPathFactory, made: Certificates
) -> Iterator[ParameterServerProcess]:
    directory = tmp_path_factory.mktemp("encrypted")
    with parameter_server(directory, transports=TRANSPORTS, tls=made) as running:
        yield running


@pytest.mark.parametrize("size", [10, 3 * 2**20])
def test_encrypted_vectors_come_back(
    encrypted: ParameterServerProcess, made: Certificates, transport: str, size: int
) -> None:
    ours = message(size)
    sent, job = encode_in_parts(ours), f"{transport}-{size}"
    with encrypted.client(transport) as client:
        client.register(job, settings(1, sent.size))
        _, data = client.push_and_pull(Target(job, STEP, 0), sent)
        assert isinstance(data, Received)
        assert data.message("").vector.tobytes() == ours.vector.tobytes()
        trusting = Credentials(encrypted.token, ca=made.ca.read_text())
        with open_client(encrypted.url(transport), trusting) as other:
            assert other.ping() == client.ping()


def test_certificates_are_looked_at(
    tmp_path: Path, encrypted: ParameterServerProcess, transport: str
) -> None:
    strange = certificates(tmp_path)
    for credentials in (
        Credentials(encrypted.token),
        Credentials(encrypted.token, ca_file=str(strange.ca)),
    ):
        stranger = open_client(encrypted.url(transport), credentials, timeout_s=10)
        with stranger, pytest.raises(OSError):
            stranger.ping()
    plain = encrypted.url(transport).replace("s://", "://")
    unencrypted = open_client(plain, encrypted.credentials, timeout_s=10)
    with unencrypted, pytest.raises(OSError):
        unencrypted.ping()
    with encrypted.client(transport) as honest:
        honest.ping()


def test_clients_have_to_show_a_certificate_if_the_server_asks_for_one(
    tmp_path: Path, made: Certificates, transport: str
) -> None:
    flags = {"tls": made, "client_ca": made.ca}
    with parameter_server(tmp_path, transports=TRANSPORTS, **flags) as own:  # type: ignore[arg-type]
        with own.client(transport, timeout_s=10) as without, pytest.raises(OSError):
            without.ping()
        shown = Credentials(
            own.token,
            ca_file=str(made.ca),
            certificate_file=str(made.certificate),
            key_file=str(made.key),
        )
        with open_client(own.url(transport), shown) as client:
            client.ping()


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("thrift://127.0.0.1", Address("127.0.0.1", 7070, False)),
        ("thrift://localhost:5", Address("localhost", 5, False)),
        ("thrifts://ps.internal:9000/", Address("ps.internal", 9000, True)),
        ("thrifts://[::1]", Address("::1", 7070, True)),
    ],
)
def test_addresses_say_place_and_encryption(url: str, address: Address) -> None:
    assert Address.parse(url) == address
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://127.0.0.1:1", "expected thrifts://host:port"),
        ("thrift://", "expected thrifts://host:port"),
        ("thrift://127.0.0.1:99999", "expected thrifts://host:port"),
        ("thrift://127.0.0.1:1/path", "expected thrifts://host:port"),
        ("127.0.0.1:7070", "expected thrifts://host:port"),
        ("", "expected thrifts://host:port"),
        ("thrift://10.0.0.5:7070", "leads to another machine without encryption"),
        ("grpc://127.0.0.1:7071", "got 'grpc://127.0.0.1:7071'$"),
        ("grpcs://ps.internal:7071", "got 'grpcs://ps.internal:7071'$"),
        ("thrifts://me:secret@host:1", "got one with a password in it$"),
    ],
)
def test_wrong_addresses_are_refused(url: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as refused:
        ParameterClient(url, Credentials("token"))
    expected = "thrifts://host:port, or thrift://host:port on this machine"
    assert str(refused.value).startswith(f"STEPML_PARAMETER_SERVER_URL: expected {expected}; ")


def test_many_threads_wait_while_others_work(
    server: ParameterServerProcess, client: ParameterClient, transport: str
) -> None:
    """Waiting ranks of one job must not block another job."""
    client.register("jobs/slow", settings(50))
    client.register("jobs/fast", settings(1))
    encoded = encode_in_parts(message(100))
    with ExitStack() as stack, ThreadPoolExecutor(49) as pool:
        waiting = []
        for rank in range(49):
            ours = stack.enter_context(server.client(transport))
            target = Target("jobs/slow", STEP, rank)
            waiting.append(pool.submit(pushed_and_pulled, ours, target, encoded))
        while len(client.exists("jobs/slow", STEP).ranks) < 49:
            time.sleep(0.01)
        for batch in range(1, 51):
            pushed_and_pulled(client, Target("jobs/fast", Step(1, batch), 0), encoded)
        assert not any(each.done() for each in waiting)
        client.push(Target("jobs/slow", STEP, 49), encoded)
        for each in waiting:
            assert each.result().message("").vector.size == 100
