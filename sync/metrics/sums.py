"""Counters and the histogram: what the table of sums holds, and zeros where nothing was counted yet.

A counter that begins at its first event would hide that event from `rate()`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from sync import registry
from sync.choices import QueueDirection
from sync.metrics import names, webhooks
from sync.metrics.facts import Figure
from sync.metrics.latency import BOUNDS, INFINITE, SUM
from sync.metrics.names import Kind, Metric
from sync.metrics.samples import Sample
from sync.standing import Overview

READ, WRITE, ACCOUNT = "read", "write", "account"
COMPLETED, FAILED, WAITING = "completed", "failed", "waiting"
_Values = Mapping[tuple[str, str, str, str], float]


def samples(now: Overview, figures: Sequence[Figure]) -> Iterator[Sample]:
    """Every sum, in the labels of its metric."""
    values = {(f.name, f.entity_type, f.label, f.bucket): f.value for f in figures}
    boards = [spec.entity_type for spec in registry.entities()]
    for metric in names.ALL:
        if metric.kind is Kind.COUNTER:
            yield from _counter(metric, values, boards)
    for board in boards:
        for direction in QueueDirection.values:
            yield _histogram(board, direction, values)


def _counter(metric: Metric, values: _Values, boards: Sequence[str]) -> Iterator[Sample]:
    found = {
        (board, label): value for (name, board, label, _), value in values.items() if name == metric.name
    }
    for board, label in sorted({*_expected(metric, boards), *found}):
        labels = tuple(
            text for name, text in (("board", board), (_other_label(metric), label)) if name in metric.labels
        )
        yield Sample(metric, found.get((board, label), 0.0), labels)


def _other_label(metric: Metric) -> str:
    return next((name for name in metric.labels if name != "board"), "")


def _expected(metric: Metric, boards: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The series that there are from the first scrape on; a call of the account is one of no board."""
    if metric is names.WEBHOOKS:
        yield from (("", result) for result in webhooks.RESULTS)
    elif metric is names.API_CALLS:
        yield from ((board, kind) for board in boards for kind in (READ, WRITE))
        yield "", ACCOUNT
    elif metric is names.RECORDS_LOOKED_AT:
        yield from ((board, outcome) for board in boards for outcome in (COMPLETED, FAILED, WAITING))
    else:
        yield from ((board, "") for board in boards)


def _histogram(board: str, direction: str, values: _Values) -> Sample:
    keys = [*(str(bound) for bound in BOUNDS), INFINITE]
    numbers = [values.get((names.LATENCY.name, board, direction, key), 0.0) for key in keys]
    total = values.get((names.LATENCY.name, board, direction, SUM), 0.0)
    buckets = tuple(zip(keys, accumulate(numbers), strict=True))
    return Sample(names.LATENCY, total, (board, direction), buckets)
