"""Reads the conflicts of a pass's records, stores its reports about them, and rejects resolutions of people."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db.models import Q

from conflicts import lifecycle
from conflicts.models import OPEN_OR_UNDOING, SyncConflict
from conflicts.reports import (
    ABOUT_ITEM,
    RECORD_KEY,
    UNDO_REQUESTS,
    ConflictKind,
    ConflictReport,
    OpenConflict,
    UndoRequest,
)
from sync.clock import sync_now

ConflictKey = tuple[str, UUID, str, str]  # type, record, kind, and of an identity the item

FIXED_FIELDS = ("id", "entity_type", "entity_id", "kind", "detected_at")

# The columns that a report may change.
UPDATABLE_FIELDS = [field.name for field in SyncConflict._meta.concrete_fields if field.name not in FIXED_FIELDS]


def open_conflicts(entity_type: str, record_ids: Iterable[UUID]) -> dict[UUID, list[OpenConflict]]:
    """Return these records' open conflicts."""
    return conflicts_and_undo_requests(entity_type, record_ids)[0]


def conflicts_and_undo_requests(
    entity_type: str, record_ids: Iterable[UUID]
) -> tuple[dict[UUID, list[OpenConflict]], dict[UUID, list[UndoRequest]]]:
    """Return these records' open conflicts, and the requests to undo choices about their fields, with one query."""
    rows = SyncConflict.objects.filter(
        OPEN_OR_UNDOING,
        entity_type=entity_type,
        entity_id__any_of=list(record_ids),  # kernel/db.py: AnyOf
    )
    conflicts: dict[UUID, list[OpenConflict]] = {}
    undo_requests: dict[UUID, list[UndoRequest]] = {}
    for row in rows.order_by("detected_at", "id"):
        if row.is_open:
            conflicts.setdefault(row.entity_id, []).append(_open_conflict(row))
        # Some fields of an open conflict may be resolved, and be undone.
        for key, choice in row.stored_resolution.fields.items() if row.is_being_undone else ():
            request = UndoRequest(row.kind, key, choice, row.inverse[key]["before"], row.inverse[key]["after"])
            undo_requests.setdefault(row.entity_id, []).append(request)
    return conflicts, undo_requests


def save_reports(reports: Sequence[ConflictReport]) -> dict[UUID, list[OpenConflict]]:
    """Store a pass's reports inside the settle transaction, idempotently and with a constant number of queries.

    Return the conflicts that their records have open after that, by record.
    """
    batch = _ReportBatch(reports)
    for report in reports:
        batch.apply(report)
    batch.save()
    still_open: dict[UUID, list[OpenConflict]] = {report.entity_id: [] for report in reports}
    for row in batch.open.values():
        still_open[row.entity_id].append(_open_conflict(row))
    return still_open


def reject_resolutions(
    entity_type: str,
    record_ids: Iterable[UUID],
    reason: str,
    *,
    conflict_id: UUID | None = None,
    item_ids: Iterable[str] = (),
) -> None:
    """Reject the resolutions and undo requests of these records, or only one conflict's; also the answers about items.

    A rejected resolution stays as a suggestion for the person's next choice; an undo request is removed, and
    its reason kept in `merge_selections`.
    """
    concerned = Q(entity_id__any_of=list(record_ids))
    concerned |= Q(kind=ConflictKind.IDENTITY, monday_item_id__in=list(item_ids))
    rows = SyncConflict.objects.select_for_update().filter(concerned, entity_type=entity_type, resolution__isnull=False)
    rows = rows.filter(pk=conflict_id) if conflict_id is not None else rows
    history = lifecycle.ConflictHistory()
    # Locked in the order of their ids, like records, so that transactions can't deadlock.
    rejected = [row for row in rows.order_by("id") if row.stored_resolution.fields]
    for row in rejected:
        if row.is_being_undone:
            lifecycle.reject_undo(row, reason, history)
            continue
        resolution = row.stored_resolution
        for key in resolution.fields:
            history.log_rejected(row, key, resolution, reason)
        row.resolution = resolution.with_rejected(dict.fromkeys(resolution.fields, reason)).to_json()
    SyncConflict.objects.bulk_update(rejected, ["resolution", "merge_selections"])
    history.save()


def questions_about(entity_type: str, item_ids: Iterable[str]) -> dict[str, tuple[UUID, OpenConflict]]:
    """Return the open identity conflicts about these items, each with its record, by item."""
    rows = SyncConflict.objects.filter(
        entity_type=entity_type, kind=ConflictKind.IDENTITY, monday_item_id__in=list(item_ids), resolved_at=None
    )
    return {row.monday_item_id: (row.entity_id, _open_conflict(row)) for row in rows.order_by("-detected_at", "-id")}


def records_seeking(entity_type: str, item_ids: Iterable[str]) -> dict[str, set[UUID]]:
    """Return the records of which people are asked whether one of these items is theirs, by item."""
    ids = set(item_ids)
    is_candidate = Q(pk__in=[])
    for item_id in ids:
        is_candidate |= Q(about__candidates__contains=[{"id": item_id}])
    rows = SyncConflict.objects.filter(is_candidate, entity_type=entity_type, kind=ConflictKind.IDENTITY)
    seeking: dict[str, set[UUID]] = {}
    for row in rows.filter(resolved_at=None).exclude(about__asks__in=ABOUT_ITEM):
        for candidate in row.about["candidates"]:
            if candidate["id"] in ids:
                seeking.setdefault(candidate["id"], set()).add(row.entity_id)
    return seeking


def in_question(entity_type: str, ids: Iterable[UUID | str]) -> tuple[set[str], set[UUID]]:
    """Return the items, and the records, of which people are asked whether they are one of these records or items."""
    is_candidate = Q(pk__in=[])
    for candidate_id in ids:
        is_candidate |= Q(about__candidates__contains=[{"id": str(candidate_id)}])
    rows = SyncConflict.objects.filter(is_candidate, entity_type=entity_type, kind=ConflictKind.IDENTITY)
    items = set[str]()
    records = set[UUID]()
    for row in rows.filter(resolved_at=None):
        if row.about["asks"] in ABOUT_ITEM:
            items.add(row.monday_item_id)
        else:
            records.add(row.entity_id)
    return items, records


def close_identity_conflicts(
    entity_type: str, item_id: str, reason: str, *, is_answered: bool = False, other_than: UUID | None = None
) -> list[UUID]:
    """Close the open identity conflicts about this item; return the ids of their records.

    `is_answered` means that a person's answer was carried out; `other_than` is the record whose question stays.
    """
    rows = SyncConflict.objects.filter(
        entity_type=entity_type, kind=ConflictKind.IDENTITY, monday_item_id=item_id, resolved_at=None
    )
    asked_ids = rows.order_by("id").values_list("entity_id", flat=True)
    record_ids = [record_id for record_id in asked_ids if record_id != other_than]
    applied = {RECORD_KEY: reason} if is_answered else {}
    save_reports(
        [
            ConflictReport(entity_type, pk, item_id, ConflictKind.IDENTITY, applied=applied, closing_reason=reason)
            for pk in record_ids
        ]
    )
    return record_ids


def end_fields(entity_type: str, keys: Collection[str], reason: str, *, by: str = "") -> None:
    """End the conflicts about these fields, with the choices that no pass has applied; their other fields stay."""
    rows = SyncConflict.objects.filter(
        entity_type=entity_type, kind=ConflictKind.FIELDS, resolved_at=None, conflict_fields__overlap=list(keys)
    )
    reports = []
    for row in rows.order_by("id"):
        staying = [key for key in row.conflict_fields if key not in keys]
        report = ConflictReport(
            entity_type, row.entity_id, row.monday_item_id, row.kind, undecided=staying, closing_reason=reason, by=by
        )
        reports.append(report)
    save_reports(reports)


class _ReportBatch:
    """Locks the conflicts of the reports' records, applies the reports, and saves what they changed."""

    def __init__(self, reports: Sequence[ConflictReport]) -> None:
        # Locked in the order of their ids.
        rows = SyncConflict.objects.select_for_update().filter(
            OPEN_OR_UNDOING, entity_id__any_of=list({report.entity_id for report in reports})
        )
        conflicts = list(rows.order_by("id"))
        self.open = {_conflict_key(row): row for row in conflicts if row.is_open}
        self.undo_requests = [row for row in conflicts if row.is_being_undone]
        # Without copies of JSON values: lifecycle.py replaces these and never changes them in place.
        self.snapshots = {row.pk: _snapshot(row) for row in conflicts}
        self.conflicts = conflicts
        self.new: list[SyncConflict] = []
        self.history = lifecycle.ConflictHistory()

    @cached_property
    def now(self) -> datetime:
        return sync_now()

    def apply(self, report: ConflictReport) -> None:
        # Of a record that can't sync: all its requests are rejected. Single results come as `undo_results`.
        if report.kind == UNDO_REQUESTS:
            for request in self._requests_of(report):
                lifecycle.reject_undo(request, report.closing_reason, self.history)
            return
        key = _conflict_key(report)
        if report.undo_results:
            # The report is applied to the open conflict, so reopened fields must join it first.
            requests = [request for request in self._requests_of(report) if request.kind == report.kind]
            reopened = lifecycle.apply_undo_results(requests, report.undo_results, self.open.get(key), self.history)
            if reopened is not None:
                self.open[key] = reopened
        conflict = self.open.get(key)
        if conflict is not None:
            lifecycle.update_conflict(conflict, report, self.now, self.history)
            if not conflict.is_open:
                del self.open[key]
        elif lifecycle.has_conflict(report):
            self.open[key] = lifecycle.new_conflict(report)
            self.new.append(self.open[key])
            self.history.log_new(self.open[key], self.open[key].conflict_fields)

    def _requests_of(self, report: ConflictReport) -> list[SyncConflict]:
        record = report.entity_type, report.entity_id
        return [request for request in self.undo_requests if (request.entity_type, request.entity_id) == record]

    def save(self) -> None:
        changed = [row for row in self.conflicts if _snapshot(row) != self.snapshots[row.pk]]
        # The person's account may have been deleted between the resolution and the pass.
        if user_ids := {row.resolved_by_id for row in changed if row.resolved_by_id is not None}:
            existing = set(get_user_model().objects.filter(pk__in=user_ids).values_list("pk", flat=True))
            for row in changed:
                if row.resolved_by_id not in existing:
                    row.resolved_by_id = None
        SyncConflict.objects.bulk_update(changed, UPDATABLE_FIELDS)
        SyncConflict.objects.bulk_create(self.new)
        self.history.save()


def _open_conflict(row: SyncConflict) -> OpenConflict:
    return OpenConflict(
        conflict_id=row.id,
        kind=row.kind,
        monday_item_id=row.monday_item_id,
        fields=tuple(row.conflict_fields),
        resolutions={} if row.is_being_undone else row.stored_resolution.fields,
        monday=row.monday_data,
        about=row.about,
        by=row.stored_resolution.by,
    )


def _conflict_key(conflict: SyncConflict | ConflictReport) -> ConflictKey:
    # A record has one open conflict of each kind, but one identity conflict for each item.
    item = conflict.monday_item_id if conflict.kind == ConflictKind.IDENTITY else ""
    return conflict.entity_type, conflict.entity_id, conflict.kind, item


def _snapshot(conflict: SyncConflict) -> list[Any]:
    return [getattr(conflict, conflict._meta.get_field(name).attname) for name in UPDATABLE_FIELDS]  # type: ignore[union-attr]
