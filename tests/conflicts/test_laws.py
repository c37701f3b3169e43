"""Laws of conflicts, whatever passes find and people choose, in whatever order."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conflicts.models import SyncConflict
from conflicts.pages.resolution import current_values, resolve, undo
from conflicts.reports import RECORD_KEY, ConflictReport, FieldConflict, FieldSelection, Option
from conflicts.store import conflicts_and_undo_requests, open_conflicts, save_reports
from npd.models import Contact
from sync.kernel.acts import ActionError
from sync.models import ActivityLine

KEYS = ("role_title", "notes")
SIDES = ("npd", "base", "monday")
VALUES = st.sampled_from(["one", "two", "three", None])
OPTIONS = [Option("create_item", "It stays.").to_json(), Option("unlink", "Both stay.").to_json()]


@dataclass
class Told:
    choices: int = 0


@st.composite
def findings(draw: Any) -> tuple[str, dict[str, Any]]:
    """What a pass finds of one kind, and how it treats a choice."""
    kind = draw(st.sampled_from(["fields", "overwritten", "delete"]))
    keys = draw(st.sets(st.sampled_from(KEYS)))
    fields = [
        FieldConflict(key, draw(VALUES), None if kind == "overwritten" else draw(VALUES), draw(VALUES))
        for key in sorted(keys)
    ]
    return kind, {"fields": fields, "takes": draw(st.sampled_from(["applied", "rejected", "ignored"]))}


CHOICES = st.tuples(st.just("choose"), st.sampled_from(["npd", "monday", "custom"]))
STEPS = st.lists(st.one_of(findings(), CHOICES, st.tuples(st.just("undo"), st.booleans())), max_size=12)


def look(record: UUID, kind: str, fields: list[FieldConflict], takes: str) -> None:
    """Report as the engine may: a choice is applied, handed back, or not touched yet."""
    wishes = [c for c in open_conflicts("contact", [record]).get(record, []) if c.kind == kind]
    chosen = {key for wish in wishes for key in wish.resolutions}
    if takes == "ignored" and chosen:
        fields = [f for wish in wishes for f in _as_stored(wish.conflict_id)]
    still = [field for field in fields if takes != "applied" or field.key not in chosen]
    data = {}
    if kind == "delete" and not (takes == "applied" and chosen):
        data = {"what": "It was archived.", "options": OPTIONS}
    if kind == "delete" and takes == "applied" and chosen:
        still = []
    outcome = {"applied": dict.fromkeys(chosen, "done")} if takes == "applied" else {}
    if takes == "rejected":
        outcome = {"rejected": dict.fromkeys(chosen, "It changed.")}  # type: ignore[dict-item]
    inverse = {key: {"before": {}, "after": {}} for key in chosen}
    save_reports([ConflictReport("contact", record, "71", kind, still, data=data, inverse=inverse, **outcome)])  # type: ignore[arg-type]


def _as_stored(conflict_id: UUID) -> list[FieldConflict]:
    row = SyncConflict.objects.get(pk=conflict_id)
    sides = (row.npd_data, row.base_data, row.monday_data)
    return [FieldConflict(key, *(side[key] for side in sides)) for key in row.conflict_fields]


def choose(record: UUID, side: str, by: User, tally: Told) -> None:
    for conflict in SyncConflict.objects.filter(entity_id=record, resolved_at=None).order_by("kind"):
        keys = [RECORD_KEY] if conflict.is_about_record else conflict.conflict_fields
        act = "create_item" if side == "npd" else "unlink"
        selection = FieldSelection(side, "typed" if side == "custom" else None)
        picked = dict.fromkeys(keys, FieldSelection(act) if conflict.is_about_record else selection)
        try:
            resolve(conflict.pk, by=by, resolution_type="merge", selections=picked, seen=current_values(conflict))
            tally.choices += 1
        except ActionError:
            continue


def take_back(record: UUID, by: User, *, is_applied: bool) -> None:
    for conflict in SyncConflict.objects.filter(entity_id=record, resolved_at__isnull=False):
        try:
            undo(conflict.pk, by=by)
        except ActionError:
            continue
        wishes = [w for w in conflicts_and_undo_requests("contact", [record])[1][record] if w.kind == conflict.kind]
        entries = conflict.merge_selections
        again = [FieldConflict(wish.key, *(entries[wish.key][side] for side in SIDES)) for wish in wishes]
        rows = SyncConflict.objects.filter(entity_id=record, resolved_at=None, kind=conflict.kind)
        other_fields = [field for row in rows for field in _as_stored(row.pk)]
        fields = [*other_fields, *again] if is_applied else other_fields
        undone = dict.fromkeys([wish.key for wish in wishes], "" if is_applied else "It changed.")
        save_reports([ConflictReport("contact", record, "71", conflict.kind, fields, undo_results=undone)])


@pytest.mark.django_db
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(steps=STEPS)
def test_one_is_open_a_kind_and_no_choice_or_value_is_lost(db: None, steps: list[tuple[str, Any]]) -> None:
    with transaction.atomic():
        _hold_the_laws(steps)
        transaction.set_rollback(True)


def _hold_the_laws(steps: list[tuple[str, Any]]) -> None:
    by = User.objects.create_superuser(f"u{uuid4().hex[:8]}")
    record = Contact.objects.create(name="Grace", monday_id="71").pk
    tally = Told()
    for kind, argument in steps:
        before = _held(record)
        if kind == "choose":
            choose(record, argument, by, tally)
        elif kind == "undo":
            take_back(record, by, is_applied=argument)
        else:
            look(record, kind, argument["fields"], argument["takes"])
        rows = list(SyncConflict.objects.filter(entity_id=record))
        _one_open_a_kind(rows)
        _no_choice_lost(record, rows, tally)
        _no_value_forgotten(record, before, rows)


def _one_open_a_kind(rows: list[SyncConflict]) -> None:
    kinds = [row.kind for row in rows if row.is_open]
    assert len(kinds) == len(set(kinds))


def _no_choice_lost(record: UUID, rows: list[SyncConflict], tally: Told) -> None:
    """Each stored choice waits, was settled, came back or proved needless, with one line each."""
    lines = ActivityLine.objects.filter(entity_id=record)
    chosen = lines.filter(kind="conflict_chosen").count()
    ended = lines.filter(kind__in=("conflict_settled", "conflict_returned")).count()
    waiting = sum(len(row.stored_resolution.fields) for row in rows if row.is_open)
    assert chosen == ended + waiting
    assert chosen >= tally.choices


Held = dict[UUID, set[tuple[str, str]]]


def _held(record: UUID) -> Held:
    rows = SyncConflict.objects.filter(entity_id=record, resolved_at=None)
    return {row.pk: _values(row) for row in rows}


def _values(row: SyncConflict) -> set[tuple[str, str]]:
    """The values to keep; an overwritten edit's current value may change, its lost one may not."""
    data = (row.npd_data, row.base_data, row.monday_data)
    if row.kind == "overwritten":
        data = (row.monday_data,)
    return {(key, values[key]) for key in row.conflict_fields for values in data if values.get(key)}


def _no_value_forgotten(record: UUID, before: Held, rows: list[SyncConflict]) -> None:
    """Values that leave a conflict stay in the closed conflict or in the record's log."""
    lines = ActivityLine.objects.filter(entity_id=record, kind__in=("overwritten", "conflict_over"))
    logged = {(line.key, line.values.get(side)) for line in lines for side in ("npd", "base", "monday")}
    for row in [row for row in rows if row.pk in before]:
        entries = row.merge_selections.items()
        remembered = {(key, entry[side]) for key, entry in entries for side in ("npd", "base", "monday")}
        remembered |= _values(row) | (logged if row.kind != "fields" else set())
        brought_up_to_date = set(row.conflict_fields) if row.is_open and row.kind != "overwritten" else set()
        assert {value for value in before[row.pk] if value[0] not in brought_up_to_date} <= remembered
