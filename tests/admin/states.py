"""Records in every state that the admin can show, written straight into the tables."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from conflicts.models import SyncConflict
from npd.models import Contact, Organization
from sync import models, registry
from sync.choices import Cause, QueueDirection, QueueStatus, RecordSyncStatus, SyncDirection, SyncStatus
from sync.clock import SyncNow, sync_now
from sync.models.boards_and_account import ALL_CALLS
from sync.monday.columns import make_converter
from sync.reconcile.field_values import stored_values


def boards() -> dict[str, models.BoardLink]:
    """Board links with the mappings that the models register, as the set-up makes them."""
    models.MondayAccount.objects.get_or_create(id=1)
    made = {}
    for number, spec in enumerate(registry.entities(), start=1):
        link = models.BoardLink.objects.create(
            entity_type=spec.entity_type, board_id=f"900{number}", npd_id_column="npd_id", match_key=spec.match_key
        )
        for position, mapping in enumerate(spec.mappings):
            models.FieldMapping.objects.create(
                link=link, key=mapping.key, label=mapping.label, fields=list(mapping.fields),
                column_id=mapping.column_id, converter=mapping.converter, position=position,
            )  # fmt: skip
        made[spec.entity_type] = link
    return made


def stop_board(
    entity_type: str = "organization", until: datetime | None = None, reason: str = "The board was archived."
) -> None:
    """As a pass does that finds the board archived."""
    until = until or sync_now() + timedelta(minutes=1)
    stop = {"since": sync_now().isoformat(), "until": until.isoformat(), "reason": reason}
    models.BoardLink.objects.filter(entity_type=entity_type).update(stops={ALL_CALLS: stop})


def of(record: models.SyncedModel) -> dict[str, Any]:
    """What a row says that is about this record."""
    return {"entity_type": record.entity_type(), "entity_id": record.pk}


def approval(record: models.SyncedModel, kind: str, state: str = "pending", **values: Any) -> models.ApprovalRequest:
    """What would be deleted or emptied of a record, which waits for a person or was decided."""
    given = {"label": str(record)} | values
    return models.ApprovalRequest.objects.create(**of(record), kind=kind, state=state, **given)


def intent(record: models.SyncedModel, **values: Any) -> models.Intent:
    """A write to a record's item that has no answer yet."""
    given = {"board_id": "1", "lease_token": uuid4(), "idempotency_key": uuid4().hex, "deadline": sync_now()}
    return models.Intent.objects.create(**of(record) | given | values)


def contact(name: str, **values: Any) -> Contact:
    """A contact, whose outbox row is gone as if it had been worked."""
    made = Contact.objects.create(name=name, **values)
    models.SyncQueue.objects.filter(entity_id=made.id).delete()
    return made


def mark(record: models.SyncedModel, status: RecordSyncStatus, item: str | None = None) -> None:
    """Write the bookkeeping columns, which no trigger takes for a change."""
    last = SyncNow() if status == RecordSyncStatus.SYNCED else None
    rows = type(record)._default_manager.filter(pk=record.pk)
    rows.update(sync_status=status, monday_id=item, monday_last_synced=last)
    record.refresh_from_db()


def ledger(record: models.SyncedModel, status: SyncStatus, **values: Any) -> models.SyncMetadata:
    return models.SyncMetadata.objects.create(
        entity_type=record.entity_type(), entity_id=str(record.pk), remote_id=record.monday_id,
        sync_status=status, last_sync_attempt=sync_now(), **values,
    )  # fmt: skip


def synced(name: str, item: str, **values: Any) -> Contact:
    """A contact that is the same on both sides."""
    made = contact(name, **values)
    mark(made, RecordSyncStatus.SYNCED, item)
    ledger(made, SyncStatus.COMPLETED, base=agreed(made, item), last_successful_sync=sync_now())
    return made


def agreed(contact: Contact, item: str) -> dict[str, Any]:
    """The bases of a contact whose values are the same on both sides."""
    base = {}
    for mapping in registry.entity("contact").mappings:
        if mapping.optional:
            continue
        local = stored_values(contact, mapping)
        remote = make_converter(mapping.converter).to_remote(local, None)
        base[mapping.key] = {"local": local, "remote": remote, "item": item, "column": mapping.key, "version": 1}
    return base


def waiting(name: str, reason: str = "Monday answered 500.", seconds: int = 300) -> Contact:
    """A contact whose second try comes in five minutes."""
    made = contact(name)
    due = sync_now() + timedelta(seconds=seconds)
    models.SyncQueue.objects.create(**of(made), attempts=1, next_retry=due, error_message=reason, reason=reason)
    ledger(made, SyncStatus.PENDING, note=reason)
    return made


def dead(name: str, error: str = "Monday refused the item: invalid value.") -> Contact:
    """A contact whose tries are used up."""
    made = contact(name)
    models.SyncQueue.objects.create(**of(made), attempts=5, status=QueueStatus.FAILED, error_message=error)
    ledger(made, SyncStatus.FAILED, last_error=error, error_count=5)
    return made


def conflicting(name: str, item: str, field: str = "phone") -> tuple[Contact, SyncConflict]:
    """A contact of which both sides changed one field."""
    made = contact(name, phone="+44 20 7946 0812")
    mark(made, RecordSyncStatus.CONFLICT, item)
    ledger(made, SyncStatus.COMPLETED, conflicts={"fields": [field]})
    found = SyncConflict.objects.create(
        entity_type="contact", entity_id=made.id, monday_item_id=item, conflict_fields=[field],
        npd_data={field: "+44 20 7946 0812"}, base_data={field: "+44 20 7946 0018"},
        monday_data={field: "+44 20 7946 0018 ext. 4"},
    )  # fmt: skip
    found.refresh_from_db()
    return made, found


def held(name: str, item: str) -> Contact:
    """A contact whose email Monday refuses."""
    made = contact(name, email="nobody@invalid")
    mark(made, RecordSyncStatus.PENDING, item)
    entry = {"reason": "Monday refuses this email: it isn't valid.", "code": "invalid", "side": "npd"}
    ledger(made, SyncStatus.COMPLETED, blocked_fields={"email": entry})
    return made


def removed(name: str, item: str, who: str = "Maya Lind", how: str = "archived", minutes: float = 0) -> Contact:
    """A contact whose item somebody on Monday removed so many minutes ago, and about which nobody is asked yet."""
    made, since = synced(name, item), sync_now() - timedelta(minutes=minutes)
    note = f"The item “{name}” was {how} on Monday. Nothing was changed in NPD."
    rows = models.SyncMetadata.objects.filter(entity_id=str(made.pk))
    rows.update(remote_state=how, removed_since=since, removed_passes=1, note=note)
    actor = f"{who} on Monday" if who else ""
    models.Decision.objects.create(**of(made), remote_id=item, kind="removed", sentence=note, actor=actor)
    return made


def disabled(name: str) -> Contact:
    made = contact(name, sync_enabled=False)
    ledger(made, SyncStatus.SKIPPED)
    return made


def candidate(item: str, seconds: int = 240) -> models.SyncQueue:
    """An item of the contacts board that no record has."""
    return models.SyncQueue.objects.create(
        entity_type="contact", remote_id=item, direction=QueueDirection.TO_NPD, causes=Cause.WEBHOOK,
        next_retry=sync_now() + timedelta(seconds=seconds),
        reason="It has no email yet, so nobody can say whether it is known.",
    )  # fmt: skip


def decided(
    record: models.SyncedModel, sentence: str, actor: str = "", kind: str = "pull", **values: Any
) -> models.Decision:
    return models.Decision.objects.create(
        entity_type=record.entity_type(), entity_id=record.pk, kind=kind, sentence=sentence, actor=actor,
        **values,
    )  # fmt: skip


def told_by_webhook(item: str, name: str) -> models.WebhookEvent:
    """A delivery that tells an item's name."""
    return models.WebhookEvent.objects.create(
        trigger_id=name, board_id="9002", item_id=item, type="create_pulse",
        body={"event": {"pulseId": int(item), "pulseName": name}},
    )  # fmt: skip


def one_of_each() -> dict[str, Any]:
    boards()
    made: dict[str, Any] = {
        "synced": synced("Zoë Ångström", "5001", email="zoe@example.com", phone="+46 8 123 45", notes="Line\nLine"),
        "waiting": waiting("李小龍"),
        "dead": dead("Petra Keller"),
        "held": held("محمد علي", "5004"),
        "disabled": disabled("Otto Off"),
        "candidate": candidate("7001"),
    }
    made["unmatched"] = models.UnmatchedItem.objects.create(
        entity_type="contact", item_id="7001", reason_code="no_key_yet", details={"label": "email"}
    )
    made["conflicting"], made["conflict"] = conflicting("Ann Clash", "5006")
    made["organization"] = Organization.objects.create(name="Example Ltd", aliases=["Example, Inc.", "ExCo"])
    Contact.objects.filter(pk=made["synced"].pk).update(organization=made["organization"])
    models.SyncQueue.objects.filter(entity_id=made["synced"].pk).delete()
    mark(made["synced"], RecordSyncStatus.SYNCED, "5001")
    contact("One Way", sync_direction=SyncDirection.NPD_TO_MONDAY)
    decided(made["synced"], "Phone came from Monday: “+46 8 123 45” replaced an empty value.", "Bob, on Monday")
    return made
