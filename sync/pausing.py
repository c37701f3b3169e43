"""Pauses that a person makes: of everything, of one board, of one direction. Nothing is lost by one.

A board that is paused is not worked at all. Of a paused direction no row leads a claim, and looks that happen for
another reason write nothing that way: what they would write waits as a row of that direction (sync/engine/paused.py).
How that was decided: docs/decisions/0044-pauses.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import structlog
from django.db import connection, transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sync import moments, registry, wake
from sync.choices import QueueDirection
from sync.clock import sync_now
from sync.models import QueuePause
from sync.queue_errors import QueueError

log = structlog.get_logger(__name__)

LOCK = 0x50415553
"""Names the advisory lock between pausing and writing; any number that nothing else in this database uses."""

PAUSED_DIRECTIONS = """ARRAY(
    SELECT unnest(CASE pause.direction WHEN '' THEN ARRAY['to_monday', 'to_npd']
                  ELSE ARRAY[pause.direction::text] END)
    FROM sync_queue_pauses AS pause WHERE pause.entity_type IN ('', {entity_type}))"""
"""SQL: the directions that are paused on the board of `{entity_type}`, an expression or a parameter."""

# In their order still, and each with a time of its own: the wait of an hour becomes one of 4 ms.
_FROM_NOW_ON = """
    UPDATE sync_queue SET next_retry = %(at)s - (%(at)s - next_retry) / 1000000
    WHERE id IN (
        SELECT id FROM sync_queue
        WHERE status = 'pending' AND next_retry < %(at)s - interval '10 seconds'
          AND %(entity_type)s IN ('', entity_type) AND %(direction)s IN ('', direction)
        LIMIT 1000 FOR UPDATE SKIP LOCKED)
"""
_DOES = {
    QueueDirection.TO_MONDAY: gettext_lazy("Writing to Monday is paused by %(who)s since %(since)s%(why)s."),
    QueueDirection.TO_NPD: gettext_lazy(
        "Taking over from Monday is paused by %(who)s since %(since)s%(why)s."
    ),
}


def pauses() -> list[QueuePause]:
    """Return the pauses in force, the widest first."""
    return list(QueuePause.objects.order_by("entity_type", "direction"))


def pause(by: str, *, entity_type: str = "", direction: str = "", why: str = "") -> QueuePause:
    """Pause a board, or every one, in one direction or both; what is paused already stays as it is.

    When this returns, no look announces a call or writes a value that way any more; a call that was announced before
    may still take effect. Raises QueueError for an unknown board or direction.
    """
    _must_be_known(entity_type, direction)
    with transaction.atomic():
        _wait_for_writers()
        found, made = QueuePause.objects.get_or_create(
            entity_type=entity_type, direction=direction, defaults={"paused_by": by, "why": why.strip()}
        )
    if made:
        log.info("paused", by=by, board=entity_type or "all", direction=direction or "both", why=found.why)
    return found


def resume(by: str, *, entity_type: str = "", direction: str = "") -> bool:
    """End that pause and wake what waited; return whether there was one. Raises QueueError as `pause` does.

    Rows that came due meanwhile are due from now on: nobody could have worked them before.
    """
    _must_be_known(entity_type, direction)
    found = QueuePause.objects.filter(entity_type=entity_type, direction=direction)
    if not found.exists():
        return False
    # Before they may be worked: else /readyz would find hours of waiting until the last of them was moved.
    rows = _due_from_now_on(entity_type, direction)
    with transaction.atomic():
        ended, _ = found.delete()
        if not ended:
            return False
        boards = [spec.entity_type for spec in registry.entities() if entity_type in ("", spec.entity_type)]
        for board in boards:
            transaction.on_commit(partial(wake.send, board), robust=True)
    log.info("resumed", by=by, board=entity_type or "all", direction=direction or "both", rows=rows)
    return True


def _due_from_now_on(entity_type: str, direction: str) -> int:
    """A thousand rows a transaction: a save of one of them waits no longer than that. Return how many it was."""
    asked: dict[str, Any] = {"entity_type": entity_type, "direction": direction, "at": sync_now()}
    rows = 0
    with connection.cursor() as cursor:
        while True:
            cursor.execute(_FROM_NOW_ON, asked)
            if not cursor.rowcount:
                return rows
            rows += cursor.rowcount


def is_paused(entity_type: str, direction: str | None = None) -> QueuePause | None:
    """Return the pause that holds this board as a whole, or with `direction` that way of it; None where none does.

    A board whose two directions are paused one by one is held as a whole. Without a board: whether everything is.
    """
    found = by_direction(entity_type)
    whole = of_board(found)
    if direction is None or (whole is not None and not whole.direction):
        return whole
    return found.get(direction)


def of_board(paused: Mapping[str, QueuePause]) -> QueuePause | None:
    """Return the pause that holds a board as a whole, given what `by_direction` returned for it."""
    if set(paused) != set(QueueDirection.values):
        return None
    found = list(paused.values())
    return next((one for one in found if not one.direction), found[0])


def by_direction(entity_type: str) -> dict[str, QueuePause]:
    """Return the paused directions of a board, each with its pause; both where the board is paused."""
    found: dict[str, QueuePause] = {}
    for one in sorted(_in_force(entity_type), key=lambda one: bool(one.direction)):
        for direction in [one.direction] if one.direction else QueueDirection.values:
            found.setdefault(direction, one)
    return found


def paused_for_writers(entity_type: str) -> dict[str, QueuePause]:
    """Return what `by_direction` does, and keep `pause` waiting until this transaction ends."""
    with connection.cursor() as cursor:
        # A statement of its own: the next one sees what was committed before the lock was given.
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [LOCK])
    return by_direction(entity_type)


def words(found: QueuePause, direction: str | None = None) -> str:
    """Say of a pause who made it, since when and why; with `direction`, what it keeps from being done."""
    way = found.direction or direction
    does = _DOES[QueueDirection(way)] if way else _("Paused by %(who)s since %(since)s%(why)s.")
    why = f" ({found.why.rstrip(' .')})" if found.why else ""
    since = moments.day_and_time(found.paused_at)
    told = does % {"who": found.paused_by, "since": since, "why": why}
    return f"{told} {_('Resume it under Queue.')}"


def in_words(entity_type: str = "", direction: str = "") -> str:
    """Name what may be paused, as the object of a sentence: “everything”, “writing to Monday on the contact board”."""
    if not direction:
        return f"the {entity_type} board" if entity_type else "everything"
    way = "writing to Monday" if direction == QueueDirection.TO_MONDAY else "taking over from Monday"
    return f"{way} on the {entity_type} board" if entity_type else way


def why_waits(entity_type: str, direction: str) -> str:
    """Why rows of this direction wait, as a sentence; empty where that direction isn't paused."""
    found = is_paused(entity_type, direction)
    return words(found, direction) if found else ""


def why_one_way(entity_type: str) -> str:
    """Which directions of a board are paused while the board as a whole is not, in sentences; mostly empty."""
    found = by_direction(entity_type)
    return " ".join(words(one) for one in found.values() if one.direction)


def _in_force(entity_type: str) -> Sequence[QueuePause]:
    rows = QueuePause.objects.filter(entity_type__in={"", entity_type})
    return list(rows.order_by("entity_type", "direction"))


def _wait_for_writers() -> None:
    """Writers that saw no pause end first; those that come after this transaction see it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])


def _must_be_known(entity_type: str, direction: str) -> None:
    known = [spec.entity_type for spec in registry.entities()]
    if entity_type and entity_type not in known:
        raise QueueError(
            f"There is no board for “{entity_type}”. Name one of {', '.join(known)}, or none for all of them."
        )
    if direction and direction not in QueueDirection.values:
        raise QueueError(
            f"There is no direction “{direction}”. Name one of {', '.join(QueueDirection.values)}, or none for both."
        )
