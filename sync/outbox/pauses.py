"""People's pauses of one board or of everything; jobs wait until the pause ends."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from django.db import models, transaction

from sync import registry
from sync.choices import ActivityKind
from sync.clock import sync_now
from sync.kernel import humanize
from sync.kernel.acts import NotPossible
from sync.kernel.db import run_sql
from sync.models import BoardLink, MondayAccount
from sync.models.activity_lines import log_event
from sync.outbox import wakeups
from sync.words.message import Message

log = structlog.get_logger(__name__)

# The advisory lock between pausing and writing; nothing else in this database uses its number.
PAUSE_LOCK = 0x50415553

# SQL: whether the board of `{entity_type}`, an expression or a parameter, is paused.
IS_PAUSED = """(EXISTS (SELECT FROM sync_monday_account WHERE pause IS NOT NULL) OR EXISTS (
    SELECT FROM sync_board_links AS paused WHERE paused.pause IS NOT NULL AND paused.entity_type = {entity_type}))"""


@dataclass(frozen=True)
class Pause:
    """A person's pause until somebody resumes it, or until its end."""

    entity_type: str  # empty for every board
    paused_by: str
    paused_at: datetime
    why: str
    until: datetime | None = None  # the sweep resumes then (`resume_ended`)

    @property
    def end(self) -> str:
        """Its end within a sentence, such as “ until 14:00 CET”; empty without one."""
        return f" until {humanize.due_time(self.until, self.paused_at)}" if self.until else ""


def active_pauses() -> list[Pause]:
    """Return the active pauses, that of everything first."""
    everything = MondayAccount.objects.filter(pause__isnull=False).values_list(models.Value(""), "pause")
    boards = BoardLink.objects.filter(pause__isnull=False).values_list("entity_type", "pause")
    return [_load_pause(board, row) for board, row in sorted(everything.union(boards, all=True))]


def pauses_of(account: MondayAccount, links: Iterable[BoardLink]) -> list[Pause]:
    """Return the pauses of these rows, that of everything first."""
    rows = {"": account.pause} | {link.entity_type: link.pause for link in links}
    return [_load_pause(board, row) for board, row in sorted(rows.items()) if row]


def pause(by: str, *, entity_type: str = "", why: str = "", until: datetime | None = None) -> tuple[Pause, bool]:
    """Pause a board or all boards, unless they are paused; return the active pause, and whether it is new.

    Once this returns, no pass begins a call or writes a value any more; a call whose intent is stored may still take
    effect. Raises NotPossible for an unknown board.
    """
    _check_known(entity_type)
    with transaction.atomic():
        # An exclusive lock waits for writers that saw no pause; later ones see this one.
        run_sql("SELECT pg_advisory_xact_lock(%s)", [PAUSE_LOCK])
        if not entity_type:
            MondayAccount.objects.get_or_create(id=1)
        row = {"by": by, "at": sync_now().isoformat(), "why": humanize.one_line(why)}
        if until:
            row["until"] = until.isoformat()
        is_new = bool(_pausable(entity_type).filter(pause__isnull=True).update(pause=row))
        current = next(pause for pause in active_pauses() if pause.entity_type == entity_type)
        if is_new:
            sentence = Message("paused", end=current.end, board=pause_label(entity_type), why=current.why)
            log_event(ActivityKind.PAUSE, sentence, by=by, entity_type=entity_type)
    if is_new:
        log.info("paused", by=by, board=entity_type or "all", why=current.why)
    return current, is_new


def resume(by: str, *, entity_type: str = "") -> bool:
    """End that pause and wake workers; return whether there was one. Raises NotPossible as `pause` does."""
    _check_known(entity_type)
    with transaction.atomic():
        if not _pausable(entity_type).filter(pause__isnull=False).update(pause=None):
            return False
        MondayAccount.objects.update_or_create(id=1, defaults={"free_since": sync_now()})
        log_event(
            ActivityKind.PAUSE, Message("resumed", board=pause_label(entity_type)), by=by, entity_type=entity_type
        )
        for spec in registry.entities():
            if entity_type in ("", spec.entity_type):
                wakeups.wake_on_commit(spec.entity_type)
    log.info("resumed", by=by, board=entity_type or "all")
    return True


def resume_ended() -> None:
    """End the pauses whose time is over."""
    for ended in active_pauses():
        if ended.until and ended.until <= sync_now():
            resume("", entity_type=ended.entity_type)


def active_pause(entity_type: str, among: Sequence[Pause] | None = None) -> Pause | None:
    """Return the pause of everything or else of this board; without a board, only the pause of everything.

    Pass all pauses as `among` if they have been read already.
    """
    pauses = active_pauses() if among is None else among
    return next((pause for pause in pauses if pause.entity_type in ("", entity_type)), None)


def locked_pause(entity_type: str) -> str:
    """Return why the board is paused; if it isn't, return an empty text and make `pause` wait for this transaction."""
    # Shared, because passes wait only for a person who is pausing. A statement of its own, so that the next one sees
    # what was committed before the lock was granted.
    run_sql("SELECT pg_advisory_xact_lock_shared(%s)", [PAUSE_LOCK])
    current = active_pause(entity_type)
    return pause_sentence(current) if current else ""


def pause_label(entity_type: str) -> str:
    """Return what a pause stops, such as "All boards" or "Contacts"."""
    return registry.board_title(entity_type) or "All boards"


def pause_sentence(pause: Pause) -> str:
    """Return who paused, since when and why, as a sentence."""
    since = humanize.day_and_time(pause.paused_at)
    return Message("paused_by", by=pause.paused_by, since=since, end=pause.end, why=pause.why.rstrip(" ."))


def _check_known(entity_type: str) -> None:
    types = BoardLink.objects.order_by("entity_type").values_list("entity_type", flat=True)
    if entity_type and entity_type not in types:
        raise NotPossible(
            f"There is no board for “{entity_type}”. Name one of {', '.join(types)}, or none for all of them."
        )


def _pausable(entity_type: str) -> models.QuerySet[BoardLink] | models.QuerySet[MondayAccount]:
    """Return the row with the pause of this board, or of everything."""
    return BoardLink.objects.filter(entity_type=entity_type) if entity_type else MondayAccount.objects.filter(id=1)


def _load_pause(entity_type: str, row: Mapping[str, str]) -> Pause:
    until = datetime.fromisoformat(row["until"]) if "until" in row else None
    return Pause(entity_type, row["by"], datetime.fromisoformat(row["at"]), row["why"], until)
