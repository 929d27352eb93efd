"""The times of a function in 54 characters: the state of an epoch holds those of 1,600 ranks.

Seconds have three digits. Numbers of requests and bytes are exact up to 524,287, and have six
digits beyond.
"""

from __future__ import annotations

import struct
from base64 import b85decode, b85encode

from msgspec.structs import astuple

from stepml.job.channels import DURABLE
from stepml.job.parts import FunctionTimes, Parts, Role, Traffic

_HALVES = struct.Struct(">12e")  # start, init, parts, and two shares of the cost
_MOST_HALF = 65504.0
_MOST_CALLS = 255
_COUNT_BYTES, _COUNT_BITS = 3, 19  # and 5 bits for a power of two
_SECONDS_DIGITS, _USD_DIGITS = 5, 8


def pack_times(times: FunctionTimes, channel: str) -> str:
    """Return the times of a function whose ranks exchange over ``channel``.

    Its role, index and cost are not in them.
    """
    cost_usd = times.cost_usd or 1.0
    shares = times.requests_usd / cost_usd, times.lost_usd / cost_usd
    halves = [times.start, times.init, *astuple(times.parts), *shares]
    counts = [count for name in (DURABLE, channel) for count in _counts(times, name)]
    packed = _HALVES.pack(*(min(max(each, 0.0), _MOST_HALF) for each in halves))
    calls = min(times.calls, _MOST_CALLS).to_bytes(1)
    return b85encode(packed + calls + b"".join(map(_packed_count, counts))).decode()


def unpack_times(
    text: str, role: Role, index: int, cost_usd: float, channel: str
) -> FunctionTimes | None:
    """Return the times in ``text``; None: it is empty, as of earlier versions."""
    if not text:
        return None
    data = b85decode(text)
    start, init, *parts, requests, lost = _HALVES.unpack_from(data)
    counts = data[_HALVES.size + 1 :]
    found = [
        _unpacked_count(counts[at : at + _COUNT_BYTES])
        for at in range(0, len(counts), _COUNT_BYTES)
    ]
    traffic = {DURABLE: Traffic(*found[:3]), channel: Traffic(*found[3:])}
    return FunctionTimes(
        role,
        index,
        start=round(start, _SECONDS_DIGITS),
        parts=Parts(*(round(each, _SECONDS_DIGITS) for each in parts)),
        is_cold=init > 0,
        init=round(init, _SECONDS_DIGITS),
        calls=data[_HALVES.size],
        cost_usd=cost_usd,
        requests_usd=round(requests * cost_usd, _USD_DIGITS),
        lost_usd=round(lost * cost_usd, _USD_DIGITS),
        traffic={name: each for name, each in traffic.items() if each.requests},
    )


def _counts(times: FunctionTimes, service: str) -> tuple[int, int, int]:
    found = times.traffic.get(service, Traffic())
    return found.requests, found.sent_bytes, found.received_bytes


def _packed_count(count: int) -> bytes:
    shift = max(0, count.bit_length() - _COUNT_BITS)
    return (shift << _COUNT_BITS | count >> shift).to_bytes(_COUNT_BYTES)


def _unpacked_count(data: bytes) -> int:
    number = int.from_bytes(data)
    shift = number >> _COUNT_BITS
    return (number & (1 << _COUNT_BITS) - 1) << shift
