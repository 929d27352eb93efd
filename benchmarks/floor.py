"""The time that an exchange cannot beat: its bytes through raw sockets, and nothing else.

Each rank stores its chunks of a vector; rank c, of the first ``chunks``, loads the others' chunk c
and stores a sum; each rank loads the sums that are not its own. Every value is there before, so
nobody waits for anybody, and nothing is added, checked or named anew. Redis and Memcached only.

**This file must not be changed**: ratios of different times to its own are compared.
"""

import socket

BLOCK_BYTES = (256 * 2**10, 2**20, 2**62)  # the best of them counts: values travel in such blocks
MOST_BYTES = {"redis": 512 * 2**20, "memcached": 2**20 - 2**10}  # of one value, by default
_STORED = {"redis": b"+OK\r\n", "memcached": b"STORED\r\n"}
_REDIS_SET = "*3\r\n$3\r\nSET\r\n${1}\r\n{0}\r\n${2}\r\n"
_SET = {"redis": _REDIS_SET, "memcached": "set {0} 0 0 {2}\r\n"}

Parts = list[bytes | memoryview]
Talk = tuple[Parts, int, bytes]  # what is sent; how long the answer is, and how it begins


class Floor:
    """One rank's part of steps: `preload` at all ranks, then `run` as often as you like."""

    def __init__(self, server: str, port: int, prefix: str, rank: int, world_size: int) -> None:
        self._server, self._prefix, self._rank, self._world_size = server, prefix, rank, world_size
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def preload(self, value_bytes: int, chunks: int, block_bytes: int) -> None:
        """Prepare steps with vectors of ``value_bytes``, and store all that this rank stores."""
        chunk_bytes = -(-value_bytes // chunks)
        self._blocks = range(-(-chunk_bytes // min(block_bytes, MOST_BYTES[self._server])))
        self._size = -(-chunk_bytes // len(self._blocks))
        vector_bytes = self._size * len(self._blocks) * chunks
        self._vector = memoryview(bytes([self._rank + 1]) * vector_bytes)
        self._talks = [self._store([f"{self._rank}/{chunk}" for chunk in range(chunks)])]
        if self._rank < chunks:
            others = [rank for rank in range(self._world_size) if rank != self._rank]
            self._talks += [self._load(f"{rank}/{self._rank}") for rank in others]
            self._talks += [self._store([f"sum/{self._rank}"])]
        merged_elsewhere = [chunk for chunk in range(chunks) if chunk != self._rank]
        self._talks += [self._load(f"sum/{chunk}") for chunk in merged_elsewhere]
        self._memory = memoryview(bytearray(max(size for _, size, _ in self._talks)))
        self.run(only=_STORED[self._server])

    def run(self, only: bytes = b"") -> None:
        """Move the bytes of one step; ``only`` those whose answer begins like that."""
        for request, size, beginning in self._talks:
            if not beginning.startswith(only):
                continue
            parts = [memoryview(part) for part in request]
            while parts:
                sent = self._socket.sendmsg(parts[:1000])  # Linux takes 1,024
                while parts and sent >= len(parts[0]):
                    sent -= len(parts.pop(0))
                parts[:1] = [part[sent:] for part in parts[:1]]
            answer = self._memory[:size]
            while answer and (received := self._socket.recv_into(answer)):
                answer = answer[received:]
            if answer or bytes(self._memory[: len(beginning)]) != beginning:
                raise ConnectionError(f"{self._server} answers {bytes(self._memory[:60])!r}")

    def _store(self, names: list[str]) -> Talk:
        keys = [f"{self._prefix}{name}/{number}" for name in names for number in self._blocks]
        parts: Parts = []
        for key, start in zip(keys, range(0, len(self._vector), self._size), strict=False):
            head = _SET[self._server].format(key, len(key), self._size)
            parts += [head.encode(), self._vector[start : start + self._size], b"\r\n"]
        return parts, len(_STORED[self._server]) * len(keys), _STORED[self._server]

    def _load(self, name: str) -> Talk:
        keys, size = [f"{self._prefix}{name}/{number}" for number in self._blocks], self._size
        if self._server == "redis":
            request = "".join(f"*2\r\n$3\r\nGET\r\n${len(key)}\r\n{key}\r\n" for key in keys)
            head = f"${size}\r\n".encode()
            return [request.encode()], len(keys) * (len(head) + size + 2), head
        heads = [f"VALUE {key} 0 {size}\r\n".encode() for key in keys]
        length = sum(len(head) + size + 2 for head in heads) + len("END\r\n")
        return [f"get {' '.join(keys)}\r\n".encode()], length, heads[0]
