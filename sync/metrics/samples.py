"""Numbers on their way into Prometheus' families."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family

from sync.metrics import names
from sync.metrics.names import Kind, Metric


@dataclass(frozen=True)
class Sample:
    """One value of one metric, with its labels in the metric's order; of a histogram also its buckets."""

    metric: Metric
    value: float
    labels: tuple[str, ...] = ()
    buckets: tuple[tuple[str, float], ...] = ()


def at(metric: Metric, moment: datetime | None, *labels: str) -> Iterator[Sample]:
    """A moment as Unix seconds; nothing where there is none."""
    if moment is not None:
        yield Sample(metric, moment.timestamp(), labels)


def age(metric: Metric, since: datetime | None, now: datetime, *labels: str) -> Sample:
    """For how many seconds something has been so; 0 where it isn't."""
    return Sample(metric, 0.0 if since is None else max(0.0, (now - since).total_seconds()), labels)


def families(samples: Iterable[Sample]) -> Iterator[Family]:
    """Every metric of ours in its order, also one of which there is no value now."""
    found: dict[str, Family] = {metric.name: _family(metric) for metric in names.ALL}
    for sample in samples:
        _add(found[sample.metric.name], sample)
    yield from found.values()


def _family(metric: Metric) -> Family:
    if metric.kind is Kind.COUNTER:
        return CounterMetricFamily(metric.full_name, metric.meaning, labels=metric.labels)
    if metric.kind is Kind.HISTOGRAM:
        return HistogramMetricFamily(metric.full_name, metric.meaning, labels=metric.labels)
    return GaugeMetricFamily(metric.full_name, metric.meaning, labels=metric.labels)


def _add(family: Family, sample: Sample) -> None:
    if isinstance(family, HistogramMetricFamily):
        family.add_metric(sample.labels, buckets=list(sample.buckets), sum_value=sample.value)
    elif isinstance(family, GaugeMetricFamily | CounterMetricFamily):
        family.add_metric(sample.labels, sample.value)
