"""What a scrape answers: the gauges of this moment, and the sums so far."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from sync.metrics import account_gauges, board_gauges, facts, queue_gauges, sums
from sync.metrics.samples import Sample, families
from sync.standing import overview


class Installation(Collector):
    """Reads the whole installation from its database, in at most fifteen queries."""

    def collect(self) -> Iterator[Family]:
        """Yield every metric of sync/metrics/names.py."""
        yield from families(_samples())


def _samples() -> Iterator[Sample]:
    now = overview()
    figures = facts.figures([link.entity_type for link in now.links])
    yield from queue_gauges.samples(now, facts.queue())
    yield from board_gauges.samples(now, figures)
    yield from account_gauges.samples(now)
    yield from sums.samples(now, figures)


REGISTRY = CollectorRegistry(auto_describe=False)
REGISTRY.register(Installation())
