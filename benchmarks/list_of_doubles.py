"""A model as Thrift's ``list<double>``: the obvious format, to compare ours with.

It uses stock Thrift at its best: the accelerated protocol, buffered transports, one connection.
"""

from __future__ import annotations

import socket
import time
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from thrift.protocol.TBinaryProtocol import TBinaryProtocolAcceleratedFactory
from thrift.Thrift import TMessageType, TType
from thrift.transport.TSocket import TServerSocket, TSocket
from thrift.transport.TTransport import TBufferedTransport, TTransportException
from thrift.TRecursive import fix_spec

_BUFFER_BYTES = 2**20


class Model:
    """The compiler's output for ``struct Model { 1: list<double> numbers }``."""

    thrift_spec: Any = None

    def __init__(self, numbers: list[float] | None = None) -> None:
        self.numbers = numbers

    def read(self, protocol: Any) -> None:
        protocol._fast_decode(self, protocol, [type(self), self.thrift_spec])

    def write(self, protocol: Any) -> None:
        encoded = protocol._fast_encode(self, [type(self), self.thrift_spec])
        protocol.trans.write(encoded)


Model.thrift_spec = (None, (1, TType.LIST, "numbers", (TType.DOUBLE, None, False), None))
fix_spec([Model])


def serve(ports: Connection) -> None:
    """Store a pushed model and return it, for one client, until the client disconnects."""
    listener = TServerSocket("127.0.0.1", _free_port())
    listener.listen()
    ports.send(listener.port)
    transport = TBufferedTransport(listener.accept(), _BUFFER_BYTES)
    protocol = TBinaryProtocolAcceleratedFactory().getProtocol(transport)
    model = Model()
    while True:
        try:
            name, _, number = protocol.readMessageBegin()
        except (EOFError, TTransportException):  # the client has disconnected
            return
        argument = Model()
        argument.read(protocol)
        protocol.readMessageEnd()
        if name == "push":
            model = argument
        _write(protocol, name, TMessageType.REPLY, number, Model([]) if name == "push" else model)


def push_and_pull_s(port: int, vector: np.ndarray, rounds: int) -> list[float]:
    """Return the durations of pushing a vector and pulling it, as arrays."""
    transport = TBufferedTransport(TSocket("127.0.0.1", port), _BUFFER_BYTES)
    transport.open()
    protocol = TBinaryProtocolAcceleratedFactory().getProtocol(transport)
    seconds = []
    for number in range(rounds):
        began = time.perf_counter()
        _call(protocol, "push", number, Model(vector.tolist()))
        pulled = np.array(_call(protocol, "pull", number, Model([])).numbers, np.float32)
        seconds.append(time.perf_counter() - began)
        if not np.array_equal(pulled, vector):
            raise ValueError("list<double> returned other numbers")
    transport.close()
    return seconds


def _call(protocol: Any, name: str, number: int, argument: Model) -> Model:
    _write(protocol, name, TMessageType.CALL, number, argument)
    protocol.readMessageBegin()
    answer = Model()
    answer.read(protocol)
    protocol.readMessageEnd()
    return answer


def _write(protocol: Any, name: str, kind: int, number: int, struct: Model) -> None:
    protocol.writeMessageBegin(name, kind, number)
    struct.write(protocol)
    protocol.writeMessageEnd()
    protocol.trans.flush()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
