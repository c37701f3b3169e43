"""A person's pause: of everything, of one board, of one direction. Nothing is lost by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import structlog
from django.db import transaction

from sync import registry
from sync.choices import QueueDirection
from sync.clock import sync_now
from sync.kernel import humanize
from sync.kernel.db import advisory_lock, run_sql
from sync.kernel.messages import Conflict
from sync.models import QueuePause
from sync.models.state import log_event
from sync.outbox import notify

log = structlog.get_logger(__name__)

PAUSE_LOCK = 0x50415553
"""The advisory lock between pausing and writing; any number that nothing else in this database uses."""

PAUSED_DIRECTIONS = """ARRAY(
    SELECT unnest(CASE pause.direction WHEN '' THEN ARRAY['to_monday', 'to_npd']
                  ELSE ARRAY[pause.direction::text] END)
    FROM sync_queue_pauses AS pause WHERE pause.entity_type IN ('', {entity_type}))"""
"""SQL: the directions that are paused on the board of `{entity_type}`, an expression or a parameter."""

# Keeps their order and gives each a time of its own: a wait of an hour becomes one of 4 ms.
_MAKE_DUE_NOW = """
    UPDATE sync_queue SET next_retry = %(at)s - (%(at)s - next_retry) / 1000000
    WHERE id IN (
        SELECT id FROM sync_queue
        WHERE status = 'pending' AND next_retry < %(at)s - interval '10 seconds'
          AND %(entity_type)s IN ('', entity_type) AND %(direction)s IN ('', direction)
        LIMIT 1000 FOR UPDATE SKIP LOCKED)
"""

_SENTENCES = {
    QueueDirection.TO_MONDAY: "Writing to Monday is paused by %(who)s since %(since)s%(why)s.",
    QueueDirection.TO_NPD: "Updating from Monday is paused by %(who)s since %(since)s%(why)s.",
}


def active_pauses() -> list[QueuePause]:
    """Return the pauses in force, the widest first."""
    return list(QueuePause.objects.order_by("entity_type", "direction"))


def pause(by: str, *, entity_type: str = "", direction: str = "", why: str = "") -> tuple[QueuePause, bool]:
    """Pause a board, or every one, in one direction or both; return the pause, and whether it is a new one.

    An existing pause stays as it is.

    When this returns, no look announces a call or writes a value that way any more; a call that was announced before
    may still take effect. Raises Conflict for an unknown board or direction.
    """
    _check_known(entity_type, direction)
    with transaction.atomic():
        # Exclusive: waits for writers that saw no pause; those that come after this transaction see it.
        advisory_lock(PAUSE_LOCK)
        found, created = QueuePause.objects.get_or_create(
            entity_type=entity_type, direction=direction, defaults={"paused_by": by, "why": humanize.one_line(why)}
        )
        if created:
            label = pause_label(entity_type, direction)
            log_event("pause", f"Paused: {label}. {found.why}".strip(), by=by, entity_type=entity_type)
    if created:
        log.info("paused", by=by, board=entity_type or "all", direction=direction or "both", why=found.why)
    return found, created


def resume(by: str, *, entity_type: str = "", direction: str = "") -> bool:
    """End that pause and wake what waited; return whether there was one. Raises Conflict as `pause` does.

    Rows that came due meanwhile are due from now on, because nobody could have worked them before.
    """
    _check_known(entity_type, direction)
    found = QueuePause.objects.filter(entity_type=entity_type, direction=direction)
    if not found.exists():
        return False
    # Before the pause ends: /readyz would otherwise see hours of waiting until the last row was moved.
    params: dict[str, Any] = {"entity_type": entity_type, "direction": direction, "at": sync_now()}
    rows = 0
    # A thousand rows for each transaction, so that a save of one of them waits no longer than that.
    while moved := run_sql(_MAKE_DUE_NOW, params):
        rows += moved
    with transaction.atomic():
        ended, _ = found.delete()
        if not ended:
            return False
        log_event("pause", f"Resumed: {pause_label(entity_type, direction)}.", by=by, entity_type=entity_type)
        boards = [spec.entity_type for spec in registry.entities() if entity_type in ("", spec.entity_type)]
        for board in boards:
            transaction.on_commit(partial(notify.notify_now, board), robust=True)
    log.info("resumed", by=by, board=entity_type or "all", direction=direction or "both", rows=rows)
    return True


def active_pause(entity_type: str) -> QueuePause | None:
    """Return the pause of this board as a whole; without a board, that of everything."""
    return board_pause(pauses_by_direction(entity_type))


def board_pause(pauses_by_way: Mapping[str, QueuePause]) -> QueuePause | None:
    """Return the pause of a board as a whole, from what `pauses_by_direction` returned for it.

    A board whose two directions are paused one by one is paused as a whole.
    """
    if set(pauses_by_way) != set(QueueDirection.values):
        return None
    found = list(pauses_by_way.values())
    return next((one for one in found if not one.direction), found[0])


def pauses_by_direction(entity_type: str, among: Sequence[QueuePause] | None = None) -> dict[str, QueuePause]:
    """Return the paused directions of a board, each with its pause; both where the board is paused.

    `among`: the pauses of all boards, where they have been read already.
    """
    found: dict[str, QueuePause] = {}
    rows = QueuePause.objects.filter(entity_type__in={"", entity_type}).order_by("entity_type", "direction")
    known = list(rows) if among is None else among
    own = [one for one in known if one.entity_type in ("", entity_type)]
    for one in sorted(own, key=lambda one: bool(one.direction)):
        for direction in [one.direction] if one.direction else QueueDirection.values:
            found.setdefault(direction, one)
    return found


def locked_pauses(entity_type: str) -> dict[str, QueuePause]:
    """Return what `pauses_by_direction` does, and make `pause` wait until this transaction ends."""
    # A statement of its own, so that the next one sees what was committed before the lock was granted.
    # Shared: passes don't wait for each other, only for a person who is pausing.
    advisory_lock(PAUSE_LOCK, "share")
    return pauses_by_direction(entity_type)


_DIRECTION_LABELS: dict[str, str] = {
    QueueDirection.TO_MONDAY: "writing to Monday",
    QueueDirection.TO_NPD: "updating from Monday",
}

EVERY_BOARD = "Every board"


def pause_label(entity_type: str, direction: str) -> str:
    """Return what a pause holds, in words: "Everything", "Contacts", "Every board, writing to Monday"."""
    board = registry.board_title(entity_type)
    if not direction:
        return board or "Everything"
    return f"{board or EVERY_BOARD}, {_DIRECTION_LABELS.get(direction, direction)}"


def pause_sentence(found: QueuePause, direction: str | None = None) -> str:
    """Say who paused, since when and why; with `direction`, also what doesn't happen meanwhile."""
    paused_direction = found.direction or direction
    template = (
        _SENTENCES[QueueDirection(paused_direction)]
        if paused_direction
        else "Paused by %(who)s since %(since)s%(why)s."
    )
    why = f" ({found.why.rstrip(' .')})" if found.why else ""
    since = humanize.day_and_time(found.paused_at)
    return template % {"who": found.paused_by, "since": since, "why": why}


def pause_reason(pauses_by_way: Mapping[str, QueuePause], direction: str) -> str:
    """Why what would go in this direction waits, as a sentence; empty where that isn't paused."""
    found = pauses_by_way.get(direction)
    return pause_sentence(found, direction) if found else ""


def _check_known(entity_type: str, direction: str) -> None:
    known = [spec.entity_type for spec in registry.entities()]
    if entity_type and entity_type not in known:
        raise Conflict(
            f"There is no board for “{entity_type}”. Name one of {', '.join(known)}, or none for all of them."
        )
    if direction and direction not in QueueDirection.values:
        raise Conflict(
            f"There is no direction “{direction}”. Name one of {', '.join(QueueDirection.values)}, or none for both."
        )
