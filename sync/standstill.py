"""Why a board can't be worked now, and since when it could: set up, paused by a person, held by an error, gathering."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q
from django.utils.translation import gettext as _

from sync import account, budget, moments, pausing
from sync.boards import link_of
from sync.clock import SyncNow, sync_now
from sync.models import BoardLink, MondayAccount, QueuePause


@dataclass(frozen=True)
class Standstill:
    """Why a board can't be worked now, as a sentence, and until when at least; None: until set up, or resumed.

    `passing` where nothing is wrong: the board gathers changes to save calls of the day, or waits out a minute.
    """

    words: str = ""
    until: datetime | None = None
    passing: bool = False


def why_not(entity_type: str) -> str:
    """Return why this type's board can't be worked now, as a sentence; empty when it can or will soon."""
    found = standstill(entity_type, link_of(entity_type))
    return "" if found.passing else found.words


def why_waits(entity_type: str) -> str:
    """Return why due rows of this type wait: what `why_not` says, that changes are gathered, or a paused direction."""
    found = standstill(entity_type, link_of(entity_type))
    if found.words and not found.passing:
        return found.words
    # A board that gathers does so for the direction that isn't paused; the other waits for a person.
    return " ".join(text for text in (found.words, pausing.why_one_way(entity_type)) if text)


def standstill(
    entity_type: str,
    link: BoardLink | None,
    *,
    urgent: bool = False,
    paused: Mapping[str, QueuePause] | None = None,
) -> Standstill:
    """Return what holds this type's board, `link` being its link; without words where it can be worked.

    `urgent`: for something that a person clicked, which beats pacing and may use the reserve, but never a pause.
    `paused`: what `pausing.by_direction` said of the board, where it has been asked already.
    """
    if not account.is_configured():
        return Standstill(
            _("Monday isn't configured: set MONDAY_API_KEY, then run `manage.py monday_setup`.")
        )
    if link is None or not link.board_id or not link.npd_id_column:
        none = _("There is no board for %(type)s records yet: run `manage.py monday_setup`.")
        return Standstill(none % {"type": entity_type})
    pause = pausing.of_board(pausing.by_direction(entity_type) if paused is None else paused)
    if pause is not None:
        return Standstill(pausing.words(pause))
    held = _pauses_in_force(account.account(), link)
    if not held:
        short = budget.held(link, urgent=urgent)
        return Standstill(short.words, short.until, short.passing) if short else Standstill()
    until, reason = max(held)
    again = _("Tried again at %(time)s.") % {"time": moments.time_of_day(until, seconds=True)}
    return Standstill(f"{reason} {again}", until)


def _pauses_in_force(row: MondayAccount, link: BoardLink) -> list[tuple[datetime, str]]:
    """Until when errors of the account and of the board hold it, with their reasons."""
    pauses = [(row.paused_until, row.pause_reason), (link.blocked_until, link.blocked_reason)]
    dated = [(until, reason) for until, reason in pauses if until is not None]
    if not dated:
        return []
    now = sync_now()
    return [(until, reason) for until, reason in dated if until > now]


def workable(link: BoardLink | None) -> bool:
    """Whether rows of this board are due at all: configured, not paused, with room for a look, and not gathering."""
    if link is None or not _is_open(link):
        return False
    held = Q(paused_until__gt=SyncNow())
    blocked = BoardLink.objects.filter(pk=link.pk, blocked_until__gt=SyncNow()).exists()
    return not blocked and not MondayAccount.objects.filter(held).exists() and budget.held(link) is None


def free_since(link: BoardLink) -> datetime | None:
    """Since when a board that can be worked could be: the end of a pause or of its window; None: long since."""
    paused = MondayAccount.objects.filter(id=1).values_list("paused_until", flat=True).first()
    moments = [
        moment for moment in (paused, link.blocked_until, budget.free_since(link)) if moment is not None
    ]
    return max(moments, default=None)


def workable_or_probe_due(link: BoardLink) -> bool:
    """Whether it is worth asking `ready()`: the board is set up and not blocked, whatever the account's state."""
    return _is_open(link) and not BoardLink.objects.filter(pk=link.pk, blocked_until__gt=SyncNow()).exists()


def _is_open(link: BoardLink) -> bool:
    """Whether the board is set up, and not paused by a person."""
    set_up = account.is_configured() and link.board_id and link.npd_id_column
    return bool(set_up) and pausing.is_paused(link.entity_type) is None
