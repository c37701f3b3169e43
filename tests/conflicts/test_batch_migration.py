"""Batches that were stored before a row had one outcome: each is carried over, and back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from conflicts import bulk_resolution
from conflicts.models import BatchEntry, ConflictBatch, SyncConflict

BEFORE, AFTER = [("conflicts", "0005_asked_items")], [("conflicts", "0006_one_outcome_a_row")]

JOINED = "It is in conflict again, together with other fields of the record."

ROWS = {
    # name: (outcome, reason, undo, why it was not undone), (outcome, reason)
    "waits": (("ready", "", "", ""), ("ready", "")),
    "stored": (("stored", "", "", ""), ("stored", "")),
    "changed": (("changed", "Phone changed.", "", ""), ("handed_back", "Phone changed.")),
    "refused": (("refused", "Sync is off.", "", ""), ("handed_back", "Sync is off.")),
    "left out": (("left_out", "It is resolved already.", "", ""), ("left_out", "It is resolved already.")),
    "to be undone": (("stored", "", "wanted", ""), ("undo_wanted", "")),
    "being undone": (("stored", "", "asked", ""), ("undo_requested", "")),
    "undone": (("stored", "", "done", ""), ("undone", "")),
    "not undone": (("stored", "", "refused", "NPD moved."), ("not_undone", "NPD moved.")),
}


def migrate(target: list[tuple[str, str]]) -> Any:
    executor = MigrationExecutor(connection)
    executor.migrate(target)
    return executor.loader.project_state(target).apps


@pytest.fixture
def old() -> Iterator[Any]:
    """The tables as they were, with a batch of each state and a row of each pair of states."""
    apps = migrate(BEFORE)
    conflicts, batches, entries = (
        apps.get_model("conflicts", name).objects for name in ("SyncConflict", "ConflictBatch", "BatchEntry")
    )
    for state in ("prepared", "running", "done", "undoing", "undone"):
        batch = batches.create(resolution_type="keep_npd", state=state, total=len(ROWS), plan={"npd": 1})
        for name, (row, _new) in ROWS.items():
            conflict = conflicts.create(
                entity_type="contact", entity_id=uuid4(), monday_item_id="7", conflict_fields=["phone"],
                npd_data={"phone": "1"}, monday_data={"phone": "2"},
                merge_selections={
                    "phone": {"choose": "npd", "undo": JOINED}, "notes": {"choose": "npd", "undo": "NPD moved."},
                },
            )  # fmt: skip
            outcome, reason, undo, undo_reason = row
            entries.create(
                batch=batch, conflict=conflict, name=name, seen={"phone": ["1", "2"]}, chosen_at="2026-11-01",
                outcome=outcome, reason=reason, undo=undo, undo_reason=undo_reason,
            )  # fmt: skip
    yield apps
    call_command("migrate", verbosity=0)


@pytest.mark.django_db(transaction=True)
def test_running_and_past_batches_are_carried_over_and_back(old: Any) -> None:
    migrate(AFTER)
    assert BatchEntry.objects.count() == 5 * len(ROWS)
    for batch in ConflictBatch.objects.all():
        found = {row.name: (row.outcome, row.reason) for row in batch.entries.all()}
        assert found == {name: new for name, (_old, new) in ROWS.items()}
        assert {row.chosen_at for row in batch.entries.all()} == {"2026-11-01"}
        assert sum(bulk_resolution.status_counts(batch).values()) == len(ROWS)
    kept = SyncConflict.objects.first()
    assert kept is not None
    assert kept.merge_selections["phone"] == {"choose": "npd", "undo": JOINED, "undo_code": "joined_another"}
    assert "undo_code" not in kept.merge_selections["notes"]
    apps = migrate(BEFORE)
    rows = apps.get_model("conflicts", "BatchEntry").objects
    expected = {name: row for name, (row, _new) in ROWS.items()}
    expected["refused"] = ("changed", "Sync is off.", "", "")
    fields = ("outcome", "reason", "undo", "undo_reason")
    assert {row.name: tuple(getattr(row, name) for name in fields) for row in rows.all()} == expected
