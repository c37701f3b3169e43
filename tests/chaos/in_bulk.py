"""Too much at once: many records deleted or emptied, which the guard holds until a person decides."""

from __future__ import annotations

from django.contrib.auth.models import User

from sync.choices import ApprovalKind, ApprovalState
from sync.models import ApprovalRequest
from sync.records.approvals import approve, reject
from tests.chaos import people_npd
from tests.chaos.journal import FIELDS, MONDAY, NPD
from tests.chaos.stage import SKIPPED, Stage, remote_value

LIMIT = 4  # GUARD_RECORDS in chaos_settings.py


def delete_many(stage: Stage, handles: list[str]) -> str | None:
    """A person deletes several records, one right after another."""
    stage.in_bulk = {handle: item for handle in handles if (item := _active(stage, handle))}
    came = [people_npd.delete(stage, handle) for handle in handles]
    return None if None in came else SKIPPED


def empty_many(stage: Stage, handles: list[str], key: str) -> str | None:
    """An import empties a field of several records."""
    column = stage.column(handles[0], key)
    filled = {handle for handle in handles if remote_value(stage.item(handle) or {"values": {}}, column)}
    stage.in_bulk = {handle: stage.item_id(handle) for handle in sorted(filled)}
    return people_npd.import_update(stage, handles, key, 0)


def look_what_went(stage: Stage, key: str = "") -> str | None:
    """Nobody has approved anything yet: no more than the limit may be gone, or (`key`) empty, on the board."""
    if not stage.in_bulk:
        return SKIPPED
    items = {item["id"]: item for board in stage.sandbox.boards() for item in board["items"]}
    column = stage.column(next(iter(stage.in_bulk)), key) if key else ""
    found = [items[item_id] for item_id in stage.in_bulk.values() if item_id in items]
    went = [one for one in found if (not remote_value(one, column) if key else one["state"] != "active")]
    if len(went) > LIMIT:
        what = f"had their {key} emptied" if key else "were put away"
        stage.wrong(f"{len(went)} items {what} at once, and nobody approved more than {LIMIT}")
    stage.in_bulk = {}
    return None


def decide_guarded(stage: Stage, how: str) -> str | None:
    """An administrator approves or rejects all that waits."""
    waiting = list(ApprovalRequest.objects.filter(state=ApprovalState.PENDING))
    if not waiting:
        return SKIPPED
    decide = reject if how == "reject" else approve
    decide(ApprovalRequest.objects.filter(pk__in=[act.pk for act in waiting]), User.objects.get(username="dora"))
    if how == "reject":
        _note_what_comes_back(stage, waiting)
    return None


def _note_what_comes_back(stage: Stage, waiting: list[ApprovalRequest]) -> None:
    """Who rejects that a field is emptied, fills it in again with what still stood on the other side."""
    for act in waiting:
        handle = stage.handle_of(str(act.entity_id))
        if handle and act.key in FIELDS[stage.type_of(handle)]:
            side = NPD if act.kind == ApprovalKind.CLEAR_MONDAY else MONDAY
            value = str(act.values["value"])
            stage.wrote("an administrator", side, handle, act.key, value, ("", value))


def _active(stage: Stage, handle: str) -> str:
    item = stage.item(handle)
    return item["id"] if item and item["state"] == "active" else ""
