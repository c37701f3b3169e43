"""How far set-ups are, for the pages that show a worker's progress."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sync import registry
from sync.clock import sync_now
from sync.models import SetupDraft, SetupState
from sync.wizard.ending import standing

STALLED_SECONDS = 20


def run() -> dict[str, Any]:
    """How far everything is that was confirmed, and what came of the last run."""
    found = list(SetupDraft.objects.filter(state__in=(SetupState.RUNNING, SetupState.DONE)))
    stopped = drafts_stopped()
    order = {spec.entity_type: position for position, spec in enumerate(registry.entities())}
    rows = sorted([*found, *stopped], key=lambda draft: order.get(draft.entity_type, 0))
    told = [standing(draft) for draft in rows]
    return {
        "kinds": told,
        "busy": any(one.busy for one in told),
        "running": any(draft.state == SetupState.RUNNING for draft in rows),
        **pace(rows),
    }


def drafts_stopped() -> list[SetupDraft]:
    """Set-ups that were confirmed and could not be carried out."""
    return list(
        SetupDraft.objects.filter(state=SetupState.DRAWN).exclude(problem="").filter(outcome__has_key="by")
    )


def pace(found: Sequence[SetupDraft]) -> dict[str, Any]:
    """Whether nobody seems to work on it."""
    waiting = [d for d in found if d.state in (SetupState.COMPARING, SetupState.RUNNING) and d.token is None]
    now = sync_now()
    return {"stalled": any((now - d.changed_at).total_seconds() > STALLED_SECONDS for d in waiting)}
