"""Sync health: the first page's figures. Each is counted when the page is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.db import connection
from django.db.models import Count, Model
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from sync import budget, registry
from sync.account import is_configured, why_not, why_waits
from sync.admin import words
from sync.admin.guard_words import WHAT, figures_of
from sync.admin.queue import item_called, next_look, why
from sync.audit.figures import verified
from sync.boards import item_url, link_of
from sync.choices import QueueStatus, RecordSyncStatus
from sync.clock import sync_now
from sync.guard.deciding import waiting
from sync.models import BoardLink, GuardedAct, SyncAudit, SyncMetadata, SyncQueue
from sync.newcomers import item_names, waiting_items
from sync.queue_stats import oldest_due_seconds
from sync.queue_views import NEW_ITEMS
from sync.registry import EntitySpec
from sync.sweeps.reports import troubles

SHOWN_ITEMS = 5
DRIFT_MEND = (
    "`manage.py sync_reconcile` looks at all records, `manage.py monday_check` says whether webhooks come."
)

_WORDS = (
    (RecordSyncStatus.SYNCED, "Synced", "check_circle", "ok"),
    (RecordSyncStatus.PENDING, "Pending", "schedule", "wait"),
    (RecordSyncStatus.CONFLICT, "Conflict", "call_split", "warn"),
    (RecordSyncStatus.DISABLED, "Disabled", "sync_disabled", "off"),
)


@dataclass(frozen=True)
class Tile:
    """One count with the list behind it."""

    label: str
    count: int
    url: str
    icon: str
    kind: str


@dataclass(frozen=True)
class BoardHealth:
    """One model and its board; `reason` is what is wrong, `gathering` why changes wait though nothing is."""

    title: str
    total: int
    reason: str
    gathering: str = ""
    verified: str = ""
    tiles: list[Tile] = field(default_factory=list)


@dataclass(frozen=True)
class Task:
    """Something that waits for a person, with the one page on which it is done."""

    what: str
    why: str
    url: str
    button: str
    icon: str
    kind: str = "warn"


@dataclass(frozen=True)
class NewItem:
    """An item that no record has yet."""

    text: str
    kind: str
    why: str
    when: str
    url: str


@dataclass(frozen=True)
class Allowance:
    """Today's calls: used, of how many, kept for what people click; `tight` where they end before midnight UTC."""

    words: str
    used: float
    limit: int | None
    reserve: int
    tight: bool
    reported: str


def health(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the figures of the first page to its context; those that this person may see the rows of."""
    boards = [board_health(spec) for spec in registry.entities() if _may_see(request, spec.model)]
    sees_queue = _may_see(request, SyncQueue)
    tasks = [
        *_stopped_boards(boards),
        *(_troubled_boards() if _may_see(request, BoardLink) else []),
        *(_waiting_for_approval() if _may_see(request, GuardedAct) else []),
        *(_drift() if _may_see(request, SyncAudit) else []),
        *(_failed_rows() if sees_queue else []),
        *(_held_fields() if _may_see(request, SyncMetadata) else []),
    ]
    items, total = new_items() if sees_queue else ([], 0)
    return context | {
        "boards": boards,
        "tasks": tasks,
        "new_items": items,
        "new_items_total": total,
        "new_items_url": _queue_url(NEW_ITEMS),
        "sees_queue": sees_queue,
        "queue": queue_line() if sees_queue else "",
        "allowance": allowance() if sees_queue and is_configured() else None,
    }


def allowance() -> Allowance:
    """Return how today's calls stand, with the time until which they last."""
    found = budget.forecast()
    reported = f"Monday's own figure is of {found.as_of:%H:%M} UTC." if found.as_of else ""
    return Allowance(found.words, found.used, found.limit, found.reserve, found.ends_at is not None, reported)


def _may_see(request: HttpRequest, model: type[Model]) -> bool:
    names = (f"{model._meta.app_label}.{act}_{model._meta.model_name}" for act in ("view", "change"))
    return any(request.user.has_perm(name) for name in names)


def board_health(spec: EntitySpec) -> BoardHealth:
    """Return how the records of one type stand."""
    counted = spec.model._default_manager.order_by().values_list("sync_status").annotate(n=Count("id"))
    counts: dict[str, int] = dict(counted)
    tiles = [
        Tile(label, counts.get(status, 0), f"{_list_url(spec)}?sync_status__exact={status.value}", icon, kind)
        for status, label, icon, kind in _WORDS
    ]
    reason = why_not(spec.entity_type)
    gathering = "" if reason else why_waits(spec.entity_type)
    sampled = verified(spec.entity_type).words(sync_now())
    return BoardHealth(spec.board_title, sum(counts.values()), words.plain(reason), gathering, sampled, tiles)


def _list_url(spec: EntitySpec) -> str:
    opts = spec.model._meta
    try:
        return reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")
    except NoReverseMatch:
        return ""


def _queue_url(query: str) -> str:
    return f"{reverse('admin:sync_syncqueue_changelist')}?{query}"


def _stopped_boards(boards: list[BoardHealth]) -> list[Task]:
    by_reason: dict[str, list[str]] = {}
    for board in boards:
        if board.reason:
            by_reason.setdefault(board.reason, []).append(board.title)
    guide = reverse("admin:connect_monday")
    return [
        Task(f"{' and '.join(titles)}: no sync now", reason, guide, "See what to do", "pause_circle", "bad")
        for reason, titles in by_reason.items()
    ]


def _troubled_boards() -> list[Task]:
    """Columns that are gone, webhooks that don't come, sweeps that can't be finished."""
    found = []
    for spec in registry.entities():
        link = link_of(spec.entity_type)
        if link is not None:
            url = reverse("admin:sync_boardlink_change", args=[link.pk])
            found += [
                Task(one.what, words.plain(one.why), url, "Open the board", one.icon, "bad")
                for one in troubles(link, spec.board_title)
            ]
    return found


def _failed_rows() -> list[Task]:
    failed = SyncQueue.objects.filter(status=QueueStatus.FAILED)
    count = failed.count()
    if not count:
        return []
    newest = failed.order_by("-created_at").first()
    reason = words.shorten(words.plain(newest.error_message), 160) if newest else ""
    stopped = f"{words.counted(count, 'row')} stopped after all tries"
    return [
        Task(
            stopped,
            f"The newest: {reason}",
            _queue_url("status__exact=failed"),
            "Look and retry",
            "error",
            "bad",
        )
    ]


def _waiting_for_approval() -> list[Task]:
    groups = waiting()
    if not groups:
        return []
    told = [WHAT[one.kind].format(**figures_of(one)) for one in groups]
    number = words.counted(
        sum(one.acts for one in groups), "delete or emptied field", "deletes and emptied fields"
    )
    url = f"{reverse('admin:sync_guardedact_changelist')}?state__exact=held"
    return [Task(f"{number} to approve", " ".join(told), url, "Decide", "gpp_maybe")]


def _drift() -> list[Task]:
    found, url = verified(), reverse("admin:sync_syncaudit_changelist")
    if not found.drifted:
        return []
    what = f"{words.counted(found.drifted, 'record')} said “synced” and differed"
    return [Task(what, f"{found.words(sync_now())} {DRIFT_MEND}", url, "Look", "difference", "bad")]


def _held_fields() -> list[Task]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*), count(DISTINCT id) FROM sync_metadata, jsonb_object_keys(held)")
        fields, records = cursor.fetchone()
    if not fields:
        return []
    example = SyncMetadata.objects.exclude(held={}).order_by("-id").first()
    reason = next((str(held.get("reason", "")) for held in example.held.values()), "") if example else ""
    where = f"{words.counted(fields, 'field')} of {words.counted(records, 'record')} can’t flow"
    url = f"{reverse('admin:sync_syncmetadata_changelist')}?held=yes"
    return [Task(where, f"The newest: {words.shorten(words.plain(reason), 160)}", url, "Look", "front_hand")]


def new_items() -> tuple[list[NewItem], int]:
    """Return the next items that wait to become records, and how many there are in all."""
    waiting, now = waiting_items(), sync_now()
    rows = list(waiting[:SHOWN_ITEMS])
    names = item_names(row.remote_id for row in rows)
    links = {spec.entity_type: link_of(spec.entity_type) for spec in registry.entities()} if rows else {}
    items = []
    for row in rows:
        row.page_now = now  # type: ignore[attr-defined]
        link = links.get(row.entity_type)
        url = item_url(link, str(row.remote_id)) if link else ""
        kind = row.entity_type.capitalize()
        items.append(NewItem(item_called(row, names), kind, words.plain(why(row)), next_look(row), url))
    return items, waiting.count()


def queue_line() -> str:
    """Return how the queue stands, as a sentence."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FILTER (WHERE status = 'pending' AND entity_id IS NOT NULL),"
            " count(*) FILTER (WHERE status = 'in_progress')"
            " FROM sync_queue WHERE status IN ('pending', 'in_progress')"
        )
        waiting, working = cursor.fetchone()
    if not waiting and not working:
        return "Nothing waits in the queue."
    oldest = oldest_due_seconds()
    age = f", the oldest due for {words.span(oldest)}" if oldest else ""
    return f"{words.counted(waiting, 'row')} waiting{age}; {words.counted(working, 'row')} being worked on."
