"""Where the engine's findings are kept: conflicts are opened, brought up to date, closed, opened again."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db.models import Count, Q, QuerySet

from conflicts import reopening
from conflicts.history import Events
from conflicts.keeping import bring_up_to_date, is_over, opened
from conflicts.models import ConflictKind, SyncConflict
from sync import registry
from sync.clock import sync_now
from sync.hooks import KIND_UNDO, Finding, OpenConflict, register_desk

Key = tuple[str, UUID, str, str]
BEFORE_A_LOOK = Q(resolved_at=None) | Q(choice__isnull=False)
"""Open, or settled and to be undone."""

KEPT = (
    "monday_item_id",
    "npd_data",
    "monday_data",
    "base_data",
    "about",
    "inverse",
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
        """Return the open conflicts of these records, and the settled ones to be undone, with what was chosen.

        One query.
        """
        rows = SyncConflict.objects.filter(BEFORE_A_LOOK, entity_type=entity_type, entity_id__in=list(ids))
        found: dict[UUID, list[OpenConflict]] = {}
        for row in rows.order_by("detected_at", "id"):
            found.setdefault(row.entity_id, []).append(_as_open(row) if row.is_open else _as_wish(row))
        return found

    def record(self, findings: Sequence[Finding]) -> None:
        """Store what a look found; storing the same findings again changes nothing.

        Runs inside the settle transaction. Queries don't grow with the number of findings.
        """
        page = _Page(findings)
        for finding in findings:
            page.follow(finding)
        page.save()

    def hand_back(
        self, entity_type: str, ids: Iterable[UUID], reason: str, *, only: UUID | None = None
    ) -> None:
        """Let the conflicts of these records be chosen for anew; what was chosen stays as a suggestion."""
        rows = SyncConflict.objects.select_for_update().filter(
            entity_type=entity_type, entity_id__in=list(ids), choice__isnull=False
        )
        rows = rows.filter(pk=only) if only is not None else rows
        events = Events()
        changed = [
            _handed_back(row, reason, events) for row in rows.order_by("id") if row.stored_choice.fields
        ]
        SyncConflict.objects.bulk_update(changed, ["choice", "choice_problem", "merge_selections"])
        events.save()

    def close_about(self, entity_type: str, item_id: str, reason: str) -> list[tuple[UUID, str]]:
        """End the open identities that ask about this item; return of each its record and what was asked."""
        rows = SyncConflict.objects.filter(
            entity_type=entity_type,
            kind=ConflictKind.IDENTITY,
            monday_item_id=item_id,
            resolved_at=None,
        )
        closed = [(row.entity_id, str(row.about.get("what", ""))) for row in rows.order_by("id")]
        self.record(
            [
                Finding(entity_type, entity_id, item_id, ConflictKind.IDENTITY, closing_note=reason)
                for entity_id, _ in closed
            ]
        )
        return closed

    def count_open(self) -> dict[tuple[str, str], int]:
        """Return how many conflicts wait, by entity type and kind; zeros of every registered type too."""
        types = [spec.entity_type for spec in registry.entities()]
        found = dict.fromkeys(((one, kind) for one in types for kind in ConflictKind.values), 0)
        rows = SyncConflict.objects.filter(resolved_at=None).order_by().values_list("entity_type", "kind")
        return found | {(one, kind): number for one, kind, number in rows.annotate(Count("id"))}


class _Page:
    """The stored conflicts that findings are about, and what becomes of them."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        known = list(_rows(findings))
        self.open = {_key_of(row): row for row in known if row.is_open}
        self.wishes = [row for row in known if row.is_being_undone]
        self.before = {row.pk: _snapshot(row) for row in known}
        self.known = known
        self.new: list[SyncConflict] = []
        self.events = Events()

    @cached_property
    def now(self) -> datetime:
        return sync_now()

    def follow(self, finding: Finding) -> None:
        if finding.kind == KIND_UNDO:
            for wish in self._wishes(finding):
                reopening.give_up(wish, finding.closing_note, self.events)
            return
        key = _key_of(finding)
        if finding.undone:
            wishes = [wish for wish in self._wishes(finding) if wish.kind == finding.kind]
            again = reopening.follow(wishes, finding.undone, self.open.get(key), self.events)
            if again is not None:
                self.open[key] = again
        self._follow(finding, key)

    def _follow(self, finding: Finding, key: Key) -> None:
        conflict = self.open.get(key)
        if conflict is not None:
            bring_up_to_date(conflict, finding, self.now, self.events)
            if not conflict.is_open:
                del self.open[key]
        elif not is_over(finding):
            self.open[key] = opened(finding, uuid.uuid4())
            self.new.append(self.open[key])

    def _wishes(self, finding: Finding) -> list[SyncConflict]:
        record = finding.entity_type, finding.entity_id
        return [wish for wish in self.wishes if (wish.entity_type, wish.entity_id) == record]

    def save(self) -> None:
        changed = [row for row in self.known if _snapshot(row) != self.before[row.pk]]
        _forget_departed_users(changed)
        if changed:
            SyncConflict.objects.bulk_update(changed, KEPT)
        SyncConflict.objects.bulk_create(self.new)
        self.events.save()


def _handed_back(conflict: SyncConflict, reason: str, events: Events) -> SyncConflict:
    if conflict.is_being_undone:
        reopening.give_up(conflict, reason, events)
        return conflict
    choice = conflict.stored_choice
    for key in choice.fields:
        events.handed_back(conflict, key, choice, reason)
    conflict.choice = choice.returning(dict.fromkeys(choice.fields, reason)).to_json()
    conflict.choice_problem = reason
    return conflict


def _as_open(row: SyncConflict) -> OpenConflict:
    return OpenConflict(
        conflict_id=row.id,
        kind=row.kind,
        monday_item_id=row.monday_item_id,
        fields=tuple(row.conflict_fields),
        choices={key: pick.for_engine() for key, pick in row.stored_choice.fields.items()},
        seeks_item=row.kind == ConflictKind.IDENTITY and "item" not in row.about,
    )


def _as_wish(row: SyncConflict) -> OpenConflict:
    return OpenConflict(
        conflict_id=row.id,
        kind=KIND_UNDO,
        monday_item_id=row.monday_item_id,
        fields=(),
        choices={
            key: pick.for_engine(row.inverse.get(key)) for key, pick in row.stored_choice.fields.items()
        },
        settled_kind=row.kind,
    )


def _rows(findings: Sequence[Finding]) -> QuerySet[SyncConflict]:
    """The conflicts of these records that a look may change, locked in the order of their ids."""
    rows = SyncConflict.objects.select_for_update().filter(
        BEFORE_A_LOOK, entity_id__in={finding.entity_id for finding in findings}
    )
    return rows.order_by("id")


def _key_of(one: SyncConflict | Finding) -> Key:
    """One open conflict a record and kind; of identities one an item."""
    item = one.monday_item_id if one.kind == ConflictKind.IDENTITY else ""
    return one.entity_type, one.entity_id, one.kind, item


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
