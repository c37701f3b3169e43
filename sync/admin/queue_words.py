"""A queue row in words: why it stands as it does, when it is looked at next, what it is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sync import pausing, registry
from sync.admin import words
from sync.admin.base import page_now
from sync.boards import item_url, link_of
from sync.choices import Cause, QueueDirection, QueueStatus
from sync.models import BoardLink, QueuePause, SyncedModel, SyncQueue
from sync.standstill import Standstill, standstill

Holds = Mapping[tuple[str, str], Standstill]
"""What holds rows of a type and direction."""
BADGES = {
    QueueStatus.PENDING: ("wait", "schedule"),
    QueueStatus.IN_PROGRESS: ("go", "sync"),
    QueueStatus.COMPLETED: ("ok", "check_circle"),
    QueueStatus.FAILED: ("bad", "error"),
}
_CAUSES = {
    Cause.SAVE: gettext_lazy("a save in NPD"),
    Cause.PERSON: gettext_lazy("a person"),
    Cause.WEBHOOK: gettext_lazy("an edit on Monday"),
    Cause.SWEEP: gettext_lazy("a sweep"),
    Cause.FAILURE: gettext_lazy("a try that failed"),
    Cause.DEPENDENCY: gettext_lazy("a record it depends on"),
}


def causes_in_words(causes: int) -> str:
    """Return who wrote a row."""
    return ", ".join(str(text) for cause, text in _CAUSES.items() if Cause(causes) & cause) or _("unknown")


def why(row: SyncQueue) -> str:
    """Return why a row stands as it does, in words; when it is looked at next is said beside it.

    Of one whose time has come that is also what holds its board, whatever its last try has met.
    """
    said = row.error_message or words.without_time(row.reason)
    if row.status != QueueStatus.PENDING or (said and row.next_retry > page_now(row)):
        return said
    return " ".join(text for text in (said, held_by(row).words) if text)


def held_by(row: SyncQueue) -> Standstill:
    """Return what holds the row's board or direction, as its page has found out, else now."""
    found: Holds | None = getattr(row, "page_held", None)
    if found is None:
        found = holds([row])
    return found.get((row.entity_type, row.direction), Standstill())


def holds(rows: Iterable[SyncQueue]) -> Holds:
    """Return what holds these rows, by type and direction; a type that no application keeps is held by nothing."""
    known = {spec.entity_type for spec in registry.entities()}
    types = {row.entity_type for row in rows} & known
    found: dict[tuple[str, str], Standstill] = {}
    for kind in types:
        paused = pausing.by_direction(kind)
        found |= by_direction(kind, standstill(kind, link_of(kind), paused=paused), paused)
    return found


def by_direction(kind: str, board: Standstill, paused: Mapping[str, QueuePause]) -> Holds:
    """Return what holds each direction of a board: what holds the board, else a person's pause of that direction.

    A pause outlasts what passes by itself, so it is what is said where the board only gathers changes.
    """
    ways = [str(way.value) for way in QueueDirection]
    alone = {way: Standstill(pausing.words(paused[way], way)) for way in ways if way in paused}
    held = bool(board.words) and not board.passing
    return {(kind, way): board if held else alone.get(way, board) for way in ways}


def links_of(rows: Iterable[SyncQueue]) -> dict[str, BoardLink]:
    """Return the board links of these rows, by type."""
    found = {kind: link_of(kind) for kind in {row.entity_type for row in rows}}
    return {kind: link for kind, link in found.items() if link is not None}


def item_called(row: SyncQueue, names: Mapping[str, str]) -> str:
    """Return the item's name as a webhook told it, else its number."""
    name = names.get(row.remote_id or "")
    return f"“{words.shorten(name, 60)}”" if name else _("New item %(number)s") % {"number": row.remote_id}


def next_look(row: SyncQueue) -> str:
    """Return when the row is looked at next, in words."""
    if row.status == QueueStatus.PENDING:
        now = page_now(row)
        return words.when(row.next_retry, now) if row.next_retry > now else _due_look(held_by(row), now)
    if row.status == QueueStatus.FAILED:
        return _("when a person retries it")
    return _("being worked on") if row.status == QueueStatus.IN_PROGRESS else ""


def _due_look(held: Standstill, now: datetime) -> str:
    """Return when a row is looked at whose time has come."""
    if held.until is not None and held.until > now:
        return words.when(held.until, now)
    return _("on hold") if held.words and not held.passing else _("as soon as a worker is free")


def item_link(row: SyncQueue, item_id: str, text: str) -> SafeString | str:
    """Return a link to the item on its board; only its text where no board is set up."""
    links: Mapping[str, BoardLink] | None = getattr(row, "page_links", None)
    link = link_of(row.entity_type) if links is None else links.get(row.entity_type)
    if link is None:
        return text
    return words.external(
        item_url(link, item_id), text, _("%(text)s, on Monday, in a new tab") % {"text": text}
    )


def item_of_record(row: SyncQueue) -> str:
    """Return the number of the record's item; empty where it has none or is gone."""
    if row.entity_id is None:
        return ""
    try:
        model: type[SyncedModel] = registry.entity(row.entity_type).model
    except registry.UnknownEntity:
        return ""
    found = model._default_manager.filter(pk=row.entity_id)
    return found.values_list("monday_id", flat=True).first() or ""
