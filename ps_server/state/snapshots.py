"""The format of a snapshot: all jobs of a parameter server in one file.

::

    "SMPS", version, length of the index, the index as MessagePack, then one block after another

The index has each job's name, settings, plain fields of its rule and lengths of its blocks.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

import msgspec

from ps_server.protocol.calls import JobSettings
from ps_server.state.memory import Block, Memory

_MAGIC = b"SMPS"
_VERSION = 1
_HEAD = struct.Struct("<4sIQ")
_MOST_INDEX_BYTES = 2**31


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

    def write(self, file: BinaryIO) -> None:
        """Write everything; may be repeated until `close`."""
        index = msgspec.msgpack.encode(
            [
                [
                    image.name,
                    asdict(image.settings),
                    image.fields,
                    [len(block.data) for block in image.blocks],
                ]
                for image in self._images
            ]
        )
        if len(index) > _MOST_INDEX_BYTES:
            raise ValueError(f"an index of {len(index)} bytes is too long")
        file.write(_HEAD.pack(_MAGIC, _VERSION, len(index)))
        file.write(index)
        for image in self._images:
            for block in image.blocks:
                file.write(block.data.data)

    def close(self) -> None:
        """Drop the blocks; may be repeated."""
        images, self._images = self._images, []
        for block in (block for image in images for block in image.blocks):
            block.drop_from_snapshot()


def read_snapshot(file: BinaryIO, memory: Memory) -> Iterator[JobImage]:
    """Yield the jobs of a snapshot; their blocks belong to the caller.

    Raises
    ------
    ValueError
        It is no snapshot of this version, or not a whole one.
    """
    magic, version, length = _HEAD.unpack(_read(file, _HEAD.size))
    if (magic, version) != (_MAGIC, _VERSION) or length > _MOST_INDEX_BYTES:
        raise ValueError(f"not a snapshot of version {_VERSION}")
    for name, settings, fields, sizes in msgspec.msgpack.decode(_read(file, length)):
        blocks = []
        for size in sizes:
            blocks.append(memory.take(size))
            _read_into(file, blocks[-1].data.data)
        yield JobImage(name, JobSettings(**settings), fields, blocks)


def _read(file: BinaryIO, size: int) -> bytearray:
    data = bytearray(size)
    _read_into(file, memoryview(data))
    return data


def _read_into(file: BinaryIO, target: memoryview) -> None:
    while len(target):
        n = file.readinto(target)  # type: ignore[attr-defined]  # BinaryIO lacks it, files have it
        if not n:
            raise ValueError("the snapshot ends in the middle")
        target = target[n:]
