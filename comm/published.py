"""The values that a rank has published, as long as others may need them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from comm.sums import Aggregate
from comm.wire import Compression, Message, decode, encode, is_whole
from storage import Storage
from storage.base import Buffer


class Published:
    """The contributions of a rank to one step, and its sums of this step and the last one."""

    def __init__(self, channel: Storage, compression: Compression) -> None:
        self._channel = channel
        self._compression: Compression = compression
        # Where the caller has them: contributions, and others' sums that have taken their places.
        self._lent: dict[str, Message] = {}
        self._contributed: dict[str, str] = {}  # the keys of their sums, by their own
        self._sums: dict[str, Buffer] = {}  # of this step …
        self._last_sums: dict[str, Buffer] = {}  # … and of the one before

    @property
    def names(self) -> list[str]:
        """The keys of all values."""
        return [*self._contributed, *self._last_sums, *self._sums]

    def begin_step(self) -> None:
        """Forget the sums of the step before the last one, which all ranks have."""
        self._last_sums, self._sums = self._sums, {}
        self._contributed = {}

    def contribute(self, parts: Mapping[str, Message], aggregates: Sequence[str]) -> None:
        """Publish contributions, whose numbers must not change before `replace` or `end_step`.

        ``aggregates`` are the keys of the sums to which they contribute.
        """
        self._lent |= parts
        self._contributed |= zip(parts, aggregates, strict=True)
        self._publish({key: encode(part, self._compression) for key, part in parts.items()})

    def add_sums(self, made: Mapping[str, Aggregate]) -> list[Message]:
        """Publish sums; return the first ones that were published, of a copy of this rank."""
        firsts = self._publish({key: each.data for key, each in made.items()})
        self._sums |= firsts
        return [
            each.message if firsts[key] is each.data else decode(firsts[key], key)
            for key, each in made.items()
        ]

    def replace(self, contribution: str, part: Message) -> None:
        """Hold a sum that another rank has made instead of this rank's contribution to it."""
        del self._lent[contribution]
        self._lent[self._contributed[contribution]] = part

    def end_step(self) -> None:
        """Release the memory of the caller, and of the last sums.

        All ranks have contributed to this step, so they have the sum of the last one.
        """
        self._lent = {}
        self._last_sums = dict.fromkeys(self._last_sums, b"")  # the keys are for `names`

    def heal(self) -> None:
        """Publish again what the channel has lost.

        A contribution whose sum is there is not lost: its merger has deleted it.
        """
        sums = self._last_sums | self._sums
        there = self._channel.find_many([*self._lent, *sums])
        lost = {key: data for key, data in sums.items() if key not in there}
        gone = {key: part for key, part in self._lent.items() if key not in there}
        made = self._channel.find_many(
            [self._contributed[key] for key in gone if key in self._contributed]
        )
        for key, part in gone.items():
            if self._contributed.get(key) not in made:
                lost[key] = encode(part, self._compression)
        self._publish(lost)

    def _publish(self, values: Mapping[str, Buffer]) -> dict[str, Buffer]:
        """Publish ``values`` and return the first undamaged value of each key."""
        firsts = self._channel.publish_many(values)
        for key, data in values.items():
            if firsts[key] is not data and not is_whole(firsts[key]):
                self._channel.delete(key)  # otherwise it would never be replaced
                firsts[key] = self._channel.publish(key, data)
        return firsts
