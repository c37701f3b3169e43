"""Where the engine's findings are kept: conflicts are opened, brought up to date, closed."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model

from conflicts import history
from conflicts.keeping import bring_up_to_date, is_over, opened
from conflicts.models import ConflictKind, SyncConflict
from sync.clock import sync_now
from sync.hooks import Finding, OpenConflict, register_desk

Key = tuple[str, UUID, str, str]

KEPT = (
    "monday_item_id",
    "npd_data",
    "monday_data",
    "base_data",
    "notes",
    "conflict_fields",
    "choice",
    "choice_problem",
    "merge_selections",
    "resolved_data",
    "resolution_type",
    "resolved_by",
    "resolved_at",
)
"""What a finding may change of a stored conflict."""


class Desk:
    """Implements `sync.hooks.ConflictDesk` on the table of conflicts."""

    def open_of(self, entity_type: str, ids: Iterable[UUID]) -> dict[UUID, list[OpenConflict]]:
        """Return the open conflicts of these records, with the choices that wait to be applied. One query."""
        rows = SyncConflict.objects.filter(entity_type=entity_type, entity_id__in=list(ids), resolved_at=None)
        found: dict[UUID, list[OpenConflict]] = {}
        for row in rows.order_by("detected_at", "id"):
            found.setdefault(row.entity_id, []).append(_as_open(row))
        return found

    def record(self, findings: Sequence[Finding]) -> None:
        """Store what a look found; storing the same findings again changes nothing.

        Runs inside the settle transaction. Queries don't grow with the number of findings.
        """
        stored = _open_rows(findings)
        known = [(conflict, f) for f in findings if (conflict := stored.get(_key_of_finding(f)))]
        new = [
            opened(f, uuid.uuid4()) for f in findings if _key_of_finding(f) not in stored and not is_over(f)
        ]
        SyncConflict.objects.bulk_create(new)
        if known:
            _bring_up_to_date(known)

    def hand_back(self, entity_type: str, ids: Iterable[UUID], reason: str) -> None:
        """Let the conflicts of these records be chosen for anew; what was chosen stays as a suggestion."""
        rows = SyncConflict.objects.select_for_update().filter(
            entity_type=entity_type, entity_id__in=list(ids), resolved_at=None, choice__isnull=False
        )
        changed = [_handed_back(row, reason) for row in rows.order_by("id") if row.stored_choice.fields]
        SyncConflict.objects.bulk_update(changed, ["choice", "choice_problem"])


def _handed_back(conflict: SyncConflict, reason: str) -> SyncConflict:
    choice = conflict.stored_choice
    conflict.choice = choice.returning(dict.fromkeys(choice.fields, reason)).to_json()
    conflict.choice_problem = reason
    return conflict


def _bring_up_to_date(known: Sequence[tuple[SyncConflict, Finding]]) -> None:
    events, now = history.Events(), sync_now()
    changed = []
    for conflict, finding in known:
        before = _snapshot(conflict)
        bring_up_to_date(conflict, finding, now, events)
        if _snapshot(conflict) != before:
            changed.append(conflict)
    _forget_departed_users(changed)
    SyncConflict.objects.bulk_update(changed, KEPT)
    events.save()


def _as_open(row: SyncConflict) -> OpenConflict:
    return OpenConflict(
        conflict_id=row.id,
        kind=row.kind,
        monday_item_id=row.monday_item_id,
        fields=tuple(row.conflict_fields),
        choices={key: pick.for_engine() for key, pick in row.stored_choice.fields.items()},
    )


def _open_rows(findings: Sequence[Finding]) -> dict[Key, SyncConflict]:
    """The open conflicts of these records, locked in the order of their ids."""
    rows = SyncConflict.objects.select_for_update().filter(
        entity_id__in={finding.entity_id for finding in findings}, resolved_at=None
    )
    ordered = rows.order_by("id")
    return {_key(row.entity_type, row.entity_id, row.kind, row.monday_item_id): row for row in ordered}


def _key_of_finding(finding: Finding) -> Key:
    return _key(finding.entity_type, finding.entity_id, finding.kind, finding.monday_item_id)


def _key(entity_type: str, entity_id: UUID, kind: str, item_id: str) -> Key:
    """One open conflict a record and kind; of identities one an item."""
    return entity_type, entity_id, kind, item_id if kind == ConflictKind.IDENTITY else ""


def _snapshot(conflict: SyncConflict) -> list[Any]:
    return [getattr(conflict, conflict._meta.get_field(name).attname) for name in KEPT]  # type: ignore[union-attr]


def _forget_departed_users(conflicts: Iterable[SyncConflict]) -> None:
    """A person whose account was deleted between choice and look must not make the look fail."""
    named = {conflict.resolved_by_id for conflict in conflicts if conflict.resolved_by_id is not None}
    if not named:
        return
    known = set(get_user_model().objects.filter(pk__in=named).values_list("pk", flat=True))
    for conflict in conflicts:
        if conflict.resolved_by_id not in known:
            conflict.resolved_by_id = None


def register() -> None:
    """Make this desk the keeper of conflicts."""
    register_desk(Desk())
