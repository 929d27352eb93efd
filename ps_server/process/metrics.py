"""What a parameter server tells Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ps_server.protocol.calls import JobStatistics, Statistics
from ps_server.state.snapshot_files import SnapshotStatus

_PREFIX = "stepml_ps_"
_OF_SERVER: dict[str, tuple[str, Callable[[Statistics], float]]] = {
    "jobs": ("Jobs that are registered.", lambda told: len(told.jobs)),
    "connections": ("Clients that are connected.", lambda told: told.connections),
    "reserved_bytes": ("Memory that is set aside for jobs.", lambda told: told.reserved_bytes),
    "used_bytes": ("Memory that messages take.", lambda told: told.used_bytes),
    "limit_bytes": ("Memory that messages may take.", lambda told: told.limit_bytes),
    "uptime_seconds": ("Since the server started.", lambda told: told.uptime_s),
}
_OF_JOB: dict[str, tuple[str, Callable[[JobStatistics], float]]] = {
    "job_ranks": ("Ranks that have pushed or pulled.", lambda job: job.ranks),
    "job_steps": ("Steps, or models, that are held.", lambda job: job.steps),
    "job_held_bytes": ("Memory that they take.", lambda job: job.held_bytes),
    "job_staleness_max": ("Most updates between pull and push.", lambda job: job.staleness_max),
    "job_lost_updates": ("Updates that a restart lost.", lambda job: job.lost_updates),
}
_COUNTED_OF_JOB: dict[str, tuple[str, Callable[[JobStatistics], float]]] = {
    "job_pushes": ("Messages that were pushed.", lambda job: job.pushes),
    "job_repeated_pushes": ("Of these, repetitions.", lambda job: job.repeated_pushes),
    "job_pulls": ("Sums and models that were pulled.", lambda job: job.pulls),
    "job_received_bytes": ("Bytes of pushed messages.", lambda job: job.received_bytes),
    "job_sent_bytes": ("Bytes of pulled messages.", lambda job: job.sent_bytes),
    "job_waited_seconds": ("Time that pulls have waited.", lambda job: job.waited_s),
    "job_updates": ("Updates of asynchronous models.", lambda job: job.updates),
    "job_staleness": ("Others' updates between pull and push.", lambda job: job.staleness_sum),
}


@dataclass(frozen=True, slots=True)
class Sources:
    """Whom a collection asks."""

    statistics: Callable[[], Statistics]
    refusals: Callable[[], Mapping[str, int]]  # by kind
    snapshots: Callable[[], SnapshotStatus | None]


class _Collector(Collector):
    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        told = self._sources.statistics()
        for name, (text, of_server) in _OF_SERVER.items():
            yield GaugeMetricFamily(_PREFIX + name, text, of_server(told))
        for name, (text, of_job) in _OF_JOB.items():
            gauge = GaugeMetricFamily(_PREFIX + name, text, labels=["job"])
            for job in told.jobs:
                gauge.add_metric([job.job], of_job(job))
            yield gauge
        for name, (text, of_job) in _COUNTED_OF_JOB.items():
            counter = CounterMetricFamily(_PREFIX + name, text, labels=["job"])
            for job in told.jobs:
                counter.add_metric([job.job], of_job(job))
            yield counter
        refused = CounterMetricFamily(
            f"{_PREFIX}refusals", "Calls that were refused.", labels=["kind"]
        )
        for kind, count in self._sources.refusals().items():
            refused.add_metric([kind], count)
        yield refused
        status = self._sources.snapshots()
        if status is not None:
            yield from _of_snapshots(status)


def registry_of(sources: Sources) -> CollectorRegistry:
    """Return a registry that asks at each collection; it tells of the process, too."""
    registry = CollectorRegistry()
    registry.register(_Collector(sources))
    ProcessCollector(registry=registry)
    return registry


def _of_snapshots(status: SnapshotStatus) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        f"{_PREFIX}snapshot_age_seconds", "Since the last snapshot.", status.age_s
    )
    yield GaugeMetricFamily(
        f"{_PREFIX}snapshot_seconds", "That the last snapshot took.", status.seconds
    )
    yield CounterMetricFamily(
        f"{_PREFIX}snapshot_failures", "Snapshots that failed.", status.failures
    )
