"""Waits and intervals of an attempt."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Durations in seconds.

    A wait outlasts the restart of a lone peer, which backs off, starts cold, reads its shard and
    replays the steps that it missed. Before the first exchange all peers may be doing that, and
    some may not have been started yet: Lambda adds functions gradually.
    """

    first_wait_s: float = 420.0  # for peers, at a rank's first exchange
    wait_s: float = 180.0  # for peers, later
    lost_sum_s: float = 10.0  # of a wait in flight; then the peers may have left without the sum
    watch_interval_s: float = 2.0  # between looks at the durable store, of at most four requests
    snapshot_interval_s: float = 30.0  # of training, which is replayed many times faster


STANDARD = Timing()
