"""Waits and intervals of an attempt."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Durations in seconds.

    A rank whose peers do not come returns its function, and its Task calls it again: the peers may
    need that very function. What it has published stays. A wait outlasts the restart of a lone
    peer, which backs off, starts cold, reads its shard and replays the steps that it missed.
    """

    first_wait_s: float = 30.0  # for peers, at a rank's first exchange: they may start slowly
    wait_s: float = 60.0  # for peers, later
    lost_sum_s: float = 10.0  # of a wait in flight; then the peers may have left without the sum
    last_snapshot_s: float = 3.0  # for rank 0 to save the end of an epoch; then another rank does
    watch_interval_s: float = 2.0  # between looks at the durable store, of at most four requests
    snapshot_interval_s: float = 30.0  # of training, which is replayed many times faster


STANDARD = Timing()
