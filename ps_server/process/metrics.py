"""The metrics of a parameter server, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ps_server.protocol.calls import Statistics
from ps_server.state.snapshot_files import SnapshotStatus

_PREFIX = "stepml_ps_"
# The metric's name, the attribute of `Statistics` or `JobStatistics`, the text.
_OF_SERVER = (
    ("connections", "connections", "Clients that are connected."),
    ("reserved_bytes", "reserved_bytes", "Memory set aside for jobs."),
    ("used_bytes", "used_bytes", "Memory of all messages."),
    ("limit_bytes", "limit_bytes", "Most memory of all messages."),
    ("uptime_seconds", "uptime_s", "Time since the start."),
)
_OF_JOB = (
    ("job_ranks", "ranks", "Ranks that have pushed or pulled."),
    ("job_steps", "steps", "Steps or models in memory."),
    ("job_held_bytes", "held_bytes", "Memory of the steps or models."),
    ("job_staleness_max", "staleness_max", "Most updates between pull and push."),
    ("job_lost_updates", "lost_updates", "Updates lost by a restart."),
)
_COUNTED_OF_JOB = (
    ("job_pushes", "pushes", "Pushes."),
    ("job_repeated_pushes", "repeated_pushes", "Repeated pushes."),
    ("job_pulls", "pulls", "Sums and models pulled."),
    ("job_received_bytes", "received_bytes", "Bytes of pushed messages."),
    ("job_sent_bytes", "sent_bytes", "Bytes of pulled messages."),
    ("job_waited_seconds", "waited_s", "Time that pulls have waited."),
    ("job_updates", "updates", "Updates of asynchronous models."),
    ("job_staleness", "staleness_sum", "Others' updates between pull and push."),
)


@dataclass(frozen=True, slots=True)
class Sources:
    """The functions that a collection calls."""

    statistics: Callable[[], Statistics]
    refusals: Callable[[], Mapping[str, int]]  # by kind
    snapshots: Callable[[], SnapshotStatus | None]


class _Collector(Collector):
    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        found = self._sources.statistics()
        yield GaugeMetricFamily(f"{_PREFIX}jobs", "Registered jobs.", len(found.jobs))
        for name, attribute, text in _OF_SERVER:
            yield GaugeMetricFamily(_PREFIX + name, text, getattr(found, attribute))
        for family, metrics in (
            (GaugeMetricFamily, _OF_JOB),
            (CounterMetricFamily, _COUNTED_OF_JOB),
        ):
            for name, attribute, text in metrics:
                metric = family(_PREFIX + name, text, labels=["job"])
                for job in found.jobs:
                    metric.add_metric([job.job], getattr(job, attribute))
                yield metric
        refused = CounterMetricFamily(f"{_PREFIX}refusals", "Refused calls.", labels=["kind"])
        for kind, count in self._sources.refusals().items():
            refused.add_metric([kind], count)
        yield refused
        status = self._sources.snapshots()
        if status is not None:
            yield from _of_snapshots(status)


def registry_of(sources: Sources) -> CollectorRegistry:
    """Return a registry that asks ``sources`` at each collection; with metrics of the process."""
    registry = CollectorRegistry()
    registry.register(_Collector(sources))
    ProcessCollector(registry=registry)
    return registry


def _of_snapshots(status: SnapshotStatus) -> Iterator[Metric]:
    age, seconds = f"{_PREFIX}snapshot_age_seconds", f"{_PREFIX}snapshot_seconds"
    yield GaugeMetricFamily(age, "Time since the last snapshot.", status.age_s)
    yield GaugeMetricFamily(seconds, "Time to write the last snapshot.", status.seconds)
    failures = f"{_PREFIX}snapshot_failures"
    yield CounterMetricFamily(failures, "Snapshots that failed.", status.failures)
