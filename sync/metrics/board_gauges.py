"""Gauges of boards and records: why a board stands still, what waits for people, how records stand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from sync import registry
from sync.choices import RecordSyncStatus
from sync.due import is_held
from sync.hooks import desk
from sync.metrics import facts, names
from sync.metrics.facts import Figure
from sync.metrics.samples import Sample, age, at
from sync.models import BoardLink
from sync.standing import Overview, Standing, Why

_PLAIN = {
    metric.name: metric
    for metric in (names.GUARD_HELD, names.AUDIT_SAMPLED, names.AUDIT_DRIFTED, names.AUDIT_AT)
}
ALL, BOTH = "all", "both"


def samples(now: Overview, figures: Sequence[Figure]) -> Iterator[Sample]:
    """Of every registered type; what only a linked board has, of those."""
    yield from _standing(now)
    for standing in now.boards:
        yield from _board(standing.link, now.now)
    yield from _inbox(now)
    for pause in now.pauses:
        labels = (pause.entity_type or ALL, pause.direction or BOTH)
        yield from at(names.PAUSE, pause.paused_at, *labels)
    yield from _plain(figures)
    yield from _conflicts()
    yield from _records()


def _standing(now: Overview) -> Iterator[Sample]:
    linked: dict[str, Standing] = {standing.entity_type: standing for standing in now.boards}
    for spec in registry.entities():
        standing = linked.get(spec.entity_type)
        found = standing.why if standing else Why.NO_BOARD
        for kind in Why:
            yield Sample(names.STANDSTILL, float(kind is found), (spec.entity_type, kind.value))


def _board(link: BoardLink, now: datetime) -> Iterator[Sample]:
    board = link.entity_type
    yield Sample(names.LEASE_HELD, float(is_held(link, now)), (board,))
    yield Sample(names.WEBHOOKS_SILENT, float(bool(link.silence)), (board,))
    yield from at(names.LAST_LOOK, link.last_look, board)
    yield from at(names.LAST_SWEEP, link.swept_at, board)


def _inbox(now: Overview) -> Iterator[Sample]:
    boards = {link.entity_type: link.board_id for link in now.links if link.board_id}
    found = facts.inbox(boards)
    for board in boards:
        lag = found.get(board)
        yield Sample(names.INBOX_EVENTS, lag.events if lag else 0, (board,))
        yield age(names.INBOX_OLDEST, lag.oldest if lag else None, now.now, board)


def _plain(figures: Iterable[Figure]) -> Iterator[Sample]:
    for figure in figures:
        metric = _PLAIN.get(figure.name)
        if metric is not None:
            labels = (figure.entity_type, figure.label)[: len(metric.labels)]
            yield Sample(metric, figure.value, labels)


def _conflicts() -> Iterator[Sample]:
    for (board, kind), number in desk().count_open().items():
        yield Sample(names.CONFLICTS, number, (board, kind))


def _records() -> Iterator[Sample]:
    found = facts.records()
    for spec in registry.entities():
        for status in RecordSyncStatus.values:
            number = found.get((spec.entity_type, status), 0)
            yield Sample(names.RECORDS, number, (spec.entity_type, status))
