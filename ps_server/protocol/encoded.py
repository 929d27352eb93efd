"""Messages that are sent from their own memory, in pieces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from comm.wire import Compression, Message, encode_parts


class Encoded:
    """An encoded message in parts.

    Attributes
    ----------
    parts : tuple of memoryview
        Its bytes, in order.
    size : int
        The number of bytes.
    """

    __slots__ = ("parts", "size")

    def __init__(self, parts: Sequence[memoryview]) -> None:
        self.parts = tuple(part for part in parts if len(part))
        self.size = sum(map(len, self.parts))

    def pieces(self, most_bytes: int) -> Iterator[tuple[int, list[memoryview]]]:
        """Yield the offset and the parts of each piece of at most ``most_bytes``."""
        offset, room, piece = 0, most_bytes, list[memoryview]()
        for part in self.parts:
            rest = part
            while len(rest):
                piece.append(rest[:room])
                taken = len(piece[-1])
                rest, room = rest[taken:], room - taken
                if not room:
                    yield offset, piece
                    offset, room, piece = offset + most_bytes, most_bytes, []
        if piece:
            yield offset, piece


def encode_in_parts(message: Message, compression: Compression = "none") -> Encoded:
    """Encode a message whose vector must not change until it is sent; see `encode_parts`."""
    return Encoded(encode_parts(message, compression))
