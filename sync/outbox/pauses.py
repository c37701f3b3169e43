"""A person's pause: of everything, or of one board. Nothing is lost by it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import structlog
from django.db import models, transaction

from sync import registry
from sync.clock import sync_now
from sync.kernel import humanize
from sync.kernel.db import advisory_lock, run_sql
from sync.kernel.messages import Conflict
from sync.models import BoardLink, MondayAccount
from sync.models.decisions import log_event
from sync.outbox import notify

log = structlog.get_logger(__name__)

# The advisory lock between pausing and writing; any number that nothing else in this database uses.
PAUSE_LOCK = 0x50415553

# SQL: whether the board of `{entity_type}`, an expression or a parameter, is paused.
IS_PAUSED = """(EXISTS (SELECT FROM sync_monday_account WHERE pause IS NOT NULL) OR EXISTS (
    SELECT FROM sync_board_links AS paused WHERE paused.pause IS NOT NULL AND paused.entity_type = {entity_type}))"""

# Shrinks each wait by a million, so the order stays but nothing counts as overdue (/readyz).
_MAKE_DUE_NOW = """
    UPDATE sync_queue SET next_retry = %(at)s - (%(at)s - next_retry) / 1000000
    WHERE id IN (
        SELECT id FROM sync_queue
        WHERE status = 'pending' AND next_retry < %(at)s - interval '10 seconds'
          AND %(entity_type)s IN ('', entity_type)
        LIMIT 1000 FOR UPDATE SKIP LOCKED)
"""


@dataclass(frozen=True)
class Pause:
    """A person's pause until somebody resumes it; empty `entity_type` means every board."""

    entity_type: str
    paused_by: str
    paused_at: datetime
    why: str


def _pausable(entity_type: str) -> models.QuerySet[BoardLink] | models.QuerySet[MondayAccount]:
    """Return the row that holds the pause of this board, or of everything."""
    return BoardLink.objects.filter(entity_type=entity_type) if entity_type else MondayAccount.objects.filter(id=1)


def active_pauses() -> list[Pause]:
    """Return the pauses in force, that of everything first."""
    everything = MondayAccount.objects.filter(pause__isnull=False).values_list(models.Value(""), "pause")
    boards = BoardLink.objects.filter(pause__isnull=False).values_list("entity_type", "pause")
    return [_pause(board, row) for board, row in sorted(everything.union(boards, all=True))]


def pauses_of(account: MondayAccount, links: Iterable[BoardLink]) -> list[Pause]:
    """Return the pauses that these rows hold, that of everything first."""
    rows = {"": account.pause} | {link.entity_type: link.pause for link in links}
    return [_pause(board, row) for board, row in sorted(rows.items()) if row]


def _pause(entity_type: str, row: Mapping[str, str]) -> Pause:
    return Pause(entity_type, row["by"], datetime.fromisoformat(row["at"]), row["why"])


def pause(by: str, *, entity_type: str = "", why: str = "") -> tuple[Pause, bool]:
    """Pause a board, or every one; return the pause, and whether it is a new one. An existing pause stays as it is.

    When this returns, no pass announces a call or writes a value any more; a call that was announced before may still
    take effect. Raises Conflict for an unknown board.
    """
    _check_known(entity_type)
    with transaction.atomic():
        # Exclusive: waits for writers that saw no pause; those that come after this transaction see it.
        advisory_lock(PAUSE_LOCK)
        if not entity_type:
            MondayAccount.objects.get_or_create(id=1)
        row = {"by": by, "at": sync_now().isoformat(), "why": humanize.one_line(why)}
        created = bool(_pausable(entity_type).filter(pause__isnull=True).update(pause=row))
        present = next(pause for pause in active_pauses() if pause.entity_type == entity_type)
        if created:
            sentence = f"Paused: {pause_label(entity_type)}. {present.why}".strip()
            log_event("pause", sentence, by=by, entity_type=entity_type)
    if created:
        log.info("paused", by=by, board=entity_type or "all", why=present.why)
    return present, created


def resume(by: str, *, entity_type: str = "") -> bool:
    """End that pause and wake what waited; return whether there was one. Raises Conflict as `pause` does.

    Rows that came due meanwhile are due from now on, because nobody could have worked them before.
    """
    _check_known(entity_type)
    paused = _pausable(entity_type).filter(pause__isnull=False)
    if not paused.exists():
        return False
    # Before the pause ends: /readyz would otherwise see hours of waiting until the last row was moved.
    params: dict[str, Any] = {"entity_type": entity_type, "at": sync_now()}
    rows = 0
    # A thousand rows for each transaction, so that a save of one of them waits no longer than that.
    while moved := run_sql(_MAKE_DUE_NOW, params):
        rows += moved
    with transaction.atomic():
        if not paused.update(pause=None):
            return False
        log_event("pause", f"Resumed: {pause_label(entity_type)}.", by=by, entity_type=entity_type)
        boards = [spec.entity_type for spec in registry.entities() if entity_type in ("", spec.entity_type)]
        for board in boards:
            transaction.on_commit(partial(notify.notify_board, board), robust=True)
    log.info("resumed", by=by, board=entity_type or "all", rows=rows)
    return True


def active_pause(entity_type: str, among: Sequence[Pause] | None = None) -> Pause | None:
    """Return the pause of this board, or that of everything, which comes first; without a board, only the latter.

    `among`: the pauses of all boards, where they have been read already.
    """
    pauses = active_pauses() if among is None else among
    return next((pause for pause in pauses if pause.entity_type in ("", entity_type)), None)


def locked_pause(entity_type: str) -> str:
    """Return why the board is paused, as a sentence; empty where it isn't, and `pause` waits for this transaction."""
    # A statement of its own, so that the next one sees what was committed before the lock was granted.
    # Shared: passes don't wait for each other, only for a person who is pausing.
    advisory_lock(PAUSE_LOCK, "share")
    present = active_pause(entity_type)
    return pause_sentence(present) if present else ""


def pause_label(entity_type: str) -> str:
    """Return what a pause holds, in words: "Everything", "Contacts"."""
    return registry.board_title(entity_type) or "Everything"


def pause_sentence(pause: Pause) -> str:
    """Say who paused, since when and why."""
    why = f" ({pause.why.rstrip(' .')})" if pause.why else ""
    return f"Paused by {pause.paused_by} since {humanize.day_and_time(pause.paused_at)}{why}."


def _check_known(entity_type: str) -> None:
    types = BoardLink.objects.order_by("entity_type").values_list("entity_type", flat=True)
    if entity_type and entity_type not in types:
        raise Conflict(
            f"There is no board for “{entity_type}”. Name one of {', '.join(types)}, or none for all of them."
        )
