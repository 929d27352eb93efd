"""Answers that a server which is ending does not finish."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from stepml.client.connection import Connection, translated
from stepml.local_identity import isolated_session
from stepml.records.errors import AccessError

BODY = b'{"events": []}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\n" + (
    b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
)


@pytest.fixture
def endpoint_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server whose answers have the first bytes of a whole answer, and end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_serve, args=(server, request.param), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def _serve(server: socket.socket, n_bytes: int) -> None:
    with suppress(OSError):  # it is shut down
        while True:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(ANSWER[:n_bytes])


CUTS = [0, 10, 17, 30, len(ANSWER) - len(BODY) - 4, len(ANSWER) - len(BODY), len(ANSWER) - 1]


@pytest.mark.parametrize("endpoint_url", CUTS, indirect=True)
def test_a_cut_answer_is_no_empty_one(endpoint_url: str) -> None:
    states = Connection(isolated_session(), endpoint_url).client("stepfunctions")
    with pytest.raises(AccessError), translated(endpoint_url):
        states.get_execution_history(executionArn="arn")


@pytest.mark.parametrize("endpoint_url", [len(ANSWER)], indirect=True)
def test_a_whole_answer_is_read(endpoint_url: str) -> None:
    states = Connection(isolated_session(), endpoint_url).client("stepfunctions")
    assert states.get_execution_history(executionArn="arn")["events"] == []
