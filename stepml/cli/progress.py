"""Shows the events of CloudFormation, and other lines, as they come."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from stepml.cli.folding import folded

if TYPE_CHECKING:
    from stepml.cli.output import Output
    from stepml.deployment.records import StackEvent

# Whose begin is worth a line, as their end may be minutes away.
SLOW = frozenset(
    {
        "AWS::AutoScaling::AutoScalingGroup",
        "AWS::CloudFormation::Stack",
        "AWS::EC2::SecurityGroup",
        "AWS::EC2::Subnet",
        "AWS::EC2::VPCEndpoint",
        "AWS::ElastiCache::CacheCluster",
        "AWS::ElastiCache::ReplicationGroup",
    }
)
REPEATED = "Resource creation Initiated"  # a second event of the same state


class Progress:
    """Writes a line for each event: seconds, state and resource."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self.began: float | None = None  # before the first event

    def __call__(self, event: StackEvent) -> None:
        from stepml.deployment.changes import noun

        now = time.monotonic()
        self.began = now if self.began is None else self.began
        is_begin = event.status.endswith("_IN_PROGRESS")
        if event.reason == REPEATED or (is_begin and event.type and event.type not in SLOW):
            return
        status = event.status.lower().replace("_", " ")
        kind = f" ({noun(event.type)})" if event.type else ""
        failed = event.status.endswith("_FAILED")
        reason = f": {event.reason}" if event.reason and failed else ""
        line = f"{now - self.began:5.0f} s  {status:<18}  {event.resource}{kind}{reason}"
        lines([line], self._output)


def lines(texts: Iterable[str], output: Output) -> None:
    """Write lines of any length, folded."""
    for text in texts:
        for part in folded(text):
            output.line(part)
