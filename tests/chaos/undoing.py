"""A person takes something back: a settled conflict, or a change that the sync has made."""

from __future__ import annotations

from django.contrib.auth.models import User

from conflicts.models import SyncConflict
from sync.models import Decision
from sync.operations.decision_undo import undo_decisions
from tests.chaos.journal import FIELDS, NPD
from tests.chaos.stage import SKIPPED, Stage, local_value, remote_value

TIMEOUT = 20
UNDO = "undo"
MOVES = ("push", "pull", "overridden")


def undo_conflict(stage: Stage, pick: int) -> str | None:
    """Undo a resolution, seeing both sides as they are."""
    settled = SyncConflict.objects.exclude(resolution_type=None).exclude(resolution_type="auto")
    found = list(settled.order_by("detected_at", "id"))
    if not found:
        return SKIPPED
    conflict = found[pick % len(found)]
    handle = stage.handle_of(str(conflict.entity_id))
    sides = {key: _both_sides(stage, handle, key) for key in FIELDS[stage.type_of(handle)]}
    url = stage.arena.path(f"/api/v1/sync/conflicts/{conflict.pk}/undo")
    answer = stage.arena.api.post(url, timeout=TIMEOUT)
    if answer.status_code != 200:
        return f"answered {answer.status_code}: {answer.text[:200]}"
    for key in conflict.conflict_fields:
        if key in sides:
            stage.wrote(UNDO, NPD, handle, key, "", sides[key])
    return None


def _both_sides(stage: Stage, handle: str, key: str) -> tuple[str, str]:
    record, item = stage.record(handle), stage.item(handle)
    local = local_value(record, key) if record else ""
    return local, remote_value(item, stage.column(handle, key)) if item else ""


def undo_change(stage: Stage, pick: int) -> str | None:
    """Take back a value that the sync has moved, from the record's history; refused where it no longer stands."""
    moves = list(Decision.objects.filter(kind__in=MOVES).exclude(key="").order_by("id"))
    if not moves:
        return SKIPPED
    decision = moves[-1 - pick % len(moves)]
    handle = stage.handle_of(str(decision.entity_id))
    before = stage.record(handle)
    if before is None or decision.key not in FIELDS[stage.type_of(handle)]:
        return SKIPPED
    result = undo_decisions([decision], by=User.objects.get(username="dora"))
    if not result.done:
        return "nothing was put back"
    after = stage.record(handle)
    assert after is not None
    for step in result.done:
        key = step.decision.key
        stage.wrote(UNDO, NPD, handle, key, local_value(after, key), (local_value(before, key),))
    return None
