"""How far a confirmed set-up is, and what is left for a person once it is carried out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.core.cache import cache
from django.db.models import Count
from django.utils.translation import gettext as _

from sync import registry
from sync.choices import QueueStatus, RecordSyncStatus
from sync.clock import SyncNow
from sync.models import SetupDraft, SetupState, SyncQueue
from sync.registry import EntitySpec

SOON = timedelta(seconds=60)
"""What is looked at later than that is no part of the run any more: an item without an e-mail waits for minutes."""
MANY = 20_000
COUNTED_SECONDS = 10
"""So many records are counted no more often than this: pages ask each second, from each open tab."""


@dataclass(frozen=True)
class Standing:
    """One kind of records: what was done, how many are in sync, and what waits for a person."""

    draft: SetupDraft
    title: str
    busy: bool = False
    done: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    synced: int = 0
    waiting: int = 0
    conflicts: int = 0
    out: int = 0
    total: int = 0


def ended() -> SetupDraft | None:
    """Return a set-up that is carried out, if there is one."""
    return SetupDraft.objects.filter(state=SetupState.DONE).order_by("-changed_at").first()


def standing(draft: SetupDraft) -> Standing:
    """Return how one kind of records stands, from their own states: one query of those, one of the queue's."""
    spec = registry.entity(draft.entity_type)
    by_status = _by_status(spec)
    waiting = SyncQueue.objects.filter(
        entity_type=draft.entity_type,
        status__in=(QueueStatus.PENDING, QueueStatus.IN_PROGRESS),
        attempts__lte=1,
        created_at__lte=draft.changed_at,  # later work is everyday work
        next_retry__lte=SyncNow() + SOON,
    )
    outcome: dict[str, Any] = draft.outcome
    running = draft.state == SetupState.RUNNING
    works = running or (draft.state == SetupState.DONE and waiting.exists())
    problems = [*outcome.get("problems", []), *([draft.problem] if draft.problem else [])]
    return Standing(
        draft,
        spec.board_title,
        busy=works,
        done=list(outcome.get("done", [])),
        problems=[*problems, *([_needs(by_status)] if _needs(by_status) and not works else [])],
        synced=by_status.get(RecordSyncStatus.SYNCED, 0),
        waiting=by_status.get(RecordSyncStatus.PENDING, 0),
        conflicts=by_status.get(RecordSyncStatus.CONFLICT, 0),
        out=by_status.get(RecordSyncStatus.DISABLED, 0),
        total=sum(by_status.values()),
    )


def _by_status(spec: EntitySpec) -> dict[str, int]:
    """How many records have each state: counted each time where they are few, every ten seconds where many."""
    key = f"sync.wizard.standing.{spec.entity_type}"
    if (kept := cache.get(key)) is not None:
        return dict(kept)
    rows = spec.model._default_manager.order_by().values_list("sync_status").annotate(number=Count("pk"))
    found: dict[str, int] = dict(rows)
    if sum(found.values()) >= MANY:
        cache.set(key, found, COUNTED_SECONDS)
    return found


def _needs(by_status: dict[str, int]) -> str:
    conflicts = by_status.get(RecordSyncStatus.CONFLICT, 0)
    return _("Conflicts wait for a person: %(count)d.") % {"count": conflicts} if conflicts else ""
