"""The format of a snapshot: all jobs of a parameter server in one file.

::

    "SMPS", version, length of the index, the index as MessagePack, one block after another,
    xxh3_64 of all that is before it

The index has each job's name, settings, plain fields of its rule and lengths of its blocks.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import IO, Any

import msgspec
import xxhash

from ps_server.protocol.calls import JobSettings
from ps_server.state.memory import Block, Memory

_MAGIC = b"SMPS"
_VERSION = 1
_HEAD = struct.Struct("<4sIQ")
_MOST_INDEX_BYTES = 2**31
_CHECKSUM_BYTES = 8
_READ_BYTES = 2**20


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
        checksum = xxhash.xxh3_64()
        for part in self._parts():
            checksum.update(part)
            file.write(part)
        file.write(checksum.digest())

    def close(self) -> None:
        """Drop the blocks; may be repeated."""
        images, self._images = self._images, []
        for block in (block for image in images for block in image.blocks):
            block.drop(from_snapshot=True)

    def _parts(self) -> Iterator[bytes | memoryview]:
        index = msgspec.msgpack.encode(
            [
                (each.name, asdict(each.settings), each.fields, [len(b.data) for b in each.blocks])
                for each in self._images
            ]
        )
        if len(index) > _MOST_INDEX_BYTES:
            raise ValueError(f"an index of {len(index)} bytes is too long")
        yield _HEAD.pack(_MAGIC, _VERSION, len(index))
        yield index
        for image in self._images:
            for block in image.blocks:
                yield block.data.data


def read_snapshot(file: IO[bytes], memory: Memory) -> Iterator[JobImage]:
    """Yield the jobs of a snapshot; their blocks belong to the caller.

    Raises
    ------
    ValueError
        It is no snapshot of this version, or not a whole one.
    """
    _require_whole(file)
    magic, version, length = _HEAD.unpack(_read(file, _HEAD.size))
    if (magic, version) != (_MAGIC, _VERSION) or length > _MOST_INDEX_BYTES:
        raise ValueError(f"not a snapshot of version {_VERSION}")
    for name, settings, fields, sizes in msgspec.msgpack.decode(_read(file, length)):
        blocks = []
        for size in sizes:
            blocks.append(memory.take(size))
            _read_into(file, blocks[-1].data.data)
        yield JobImage(name, JobSettings(**settings), fields, blocks)


def _require_whole(file: IO[bytes]) -> None:
    """Raise `ValueError` if the checksum is wrong; else the file is at its beginning."""
    rest = file.seek(0, os.SEEK_END) - _CHECKSUM_BYTES
    file.seek(0)
    checksum = xxhash.xxh3_64()
    while rest > 0:
        data = _read(file, min(rest, _READ_BYTES))
        checksum.update(data)
        rest -= len(data)
    if _read(file, _CHECKSUM_BYTES) != checksum.digest():
        raise ValueError("the checksum of the snapshot is wrong")
    file.seek(0)


def _read(file: IO[bytes], size: int) -> bytearray:
    data = bytearray(size)
    _read_into(file, memoryview(data))
    return data


def _read_into(file: IO[bytes], target: memoryview) -> None:
    while len(target):
        n = file.readinto(target)  # type: ignore[attr-defined]  # IO lacks it, files have it
        if not n:
            raise ValueError("the snapshot ends in the middle")
        target = target[n:]
