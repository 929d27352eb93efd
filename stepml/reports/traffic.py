"""The requests of ranks to services."""

from __future__ import annotations

from collections.abc import Iterable

from stepml.job.parts import FunctionTimes, sum_of_traffic
from stepml.reports.figures import size

HEADER = ("service", "requests", "sent", "received")


def traffic_rows(functions: Iterable[FunctionTimes]) -> list[tuple[str, str, str, str]]:
    """Return a row for each service: the mean of a rank in an epoch."""
    ranks = [each for each in functions if each.role == "rank"]
    rows = []
    for service in dict.fromkeys(name for each in ranks for name in each.traffic):
        of_ranks = [each.traffic[service] for each in ranks if service in each.traffic]
        total = sum_of_traffic(of_ranks)
        requests = f"{total.requests / len(ranks):.1f}"
        sent, received = (each / len(ranks) for each in (total.sent_bytes, total.received_bytes))
        rows.append((service, requests, size(round(sent)), size(round(received))))
    return rows
