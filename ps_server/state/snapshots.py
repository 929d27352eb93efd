"""The format of a snapshot: all jobs of a parameter server in one file.

::

    "SMPS", version, length of the index, the index as MessagePack, one block after another,
    xxh3_64 of all that is before it

The index has each job's name, settings, plain fields of its rule and lengths of its blocks.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import IO, Any

import msgspec
import numpy as np
import xxhash

from ps_server.protocol.calls import JobSettings
from ps_server.state.memory import Block, Memory
from storage.base import Buffer

_MAGIC = b"SMPS"
_VERSION = 2
_HEAD = struct.Struct("<4sIQ")
_CHECKSUM_BYTES = 8


@dataclass(frozen=True, slots=True)
class JobImage:
    """One job at one moment; a snapshot, or its reader, holds the blocks."""

    name: str
    settings: JobSettings
    fields: dict[str, Any]  # from Rule.export
    blocks: list[Block]  # held


class Snapshot:
    """All jobs, each as it was at one moment, while they go on."""

    def __init__(self, images: list[JobImage]) -> None:
        self._images = images

    def write(self, file: IO[bytes]) -> None:
        """Write everything; may be repeated until `close`."""
        index = msgspec.msgpack.encode(
            [
                (each.name, asdict(each.settings), each.fields, [len(b.data) for b in each.blocks])
                for each in self._images
            ]
        )
        parts: list[Buffer] = [_HEAD.pack(_MAGIC, _VERSION, len(index)), index]
        parts += (block.data.data for image in self._images for block in image.blocks)
        checksum = xxhash.xxh3_64()
        for part in parts:
            checksum.update(part)
            file.write(part)
        file.write(checksum.digest())

    def close(self) -> None:
        """Drop the blocks; may be repeated."""
        images, self._images = self._images, []
        for block in (block for image in images for block in image.blocks):
            block.drop(from_snapshot=True)


def read_snapshot(data: memoryview, memory: Memory) -> Iterator[JobImage]:
    """Yield the jobs of a snapshot; their blocks belong to the caller.

    Raises
    ------
    ValueError
        It is no snapshot of this version, or not a whole one.
    """
    body, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if len(body) < _HEAD.size or xxhash.xxh3_64_digest(body) != checksum:
        raise ValueError("the checksum of the snapshot is wrong")
    magic, version, length = _HEAD.unpack_from(body)
    if (magic, version) != (_MAGIC, _VERSION):
        raise ValueError(f"not a snapshot of version {_VERSION}")
    index, rest = body[_HEAD.size :][:length], body[_HEAD.size + length :]
    for name, settings, fields, sizes in msgspec.msgpack.decode(index):
        blocks = []
        for size in sizes:
            blocks.append(memory.take(size))
            np.copyto(blocks[-1].data, np.frombuffer(rest, np.uint8, size))
            rest = rest[size:]
        yield JobImage(name, JobSettings(**settings), fields, blocks)
