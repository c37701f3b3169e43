"""Records in every state that the admin can show, written straight into the tables."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from conflicts.models import SyncConflict
from npd.models import Contact, Organization
from sync import models, registry
from sync.choices import Cause, QueueDirection, QueueStatus, RecordSyncStatus, SyncDirection, SyncStatus
from sync.clock import SyncNow, sync_now
from sync.fields.field_values import local_values
from sync.limits import breaker
from sync.models.boards_and_account import ALL_CALLS, Stop
from sync.monday.columns import make_converter
from tests.support.words import said


def boards() -> dict[str, models.BoardLink]:
    """Board links with the registered mappings, as the set-up makes them."""
    if links := models.BoardLink.objects.all():
        return {link.entity_type: link for link in links}
    models.MondayAccount.objects.get_or_create(id=1)
    links = {}
    for number, spec in enumerate(registry.entities(), start=1):
        link = models.BoardLink.objects.create(
            entity_type=spec.entity_type, board_id=f"900{number}", npd_id_column="npd_id", match_key=spec.match_key
        )
        models.FieldMapping.objects.bulk_create(
            models.FieldMapping(
                link=link, key=mapping.key, label=mapping.label, fields=list(mapping.fields),
                column_id=mapping.column_id, converter=mapping.converter, position=position, required=mapping.required,
            )
            for position, mapping in enumerate(spec.mappings)
        )  # fmt: skip
        links[spec.entity_type] = link
    return links


def stop_board(
    entity_type: str = "organization", until: datetime | None = None, reason: str = "The board was archived."
) -> None:
    """Stop a board as a pass does that finds it archived."""
    until = until or sync_now() + timedelta(minutes=1)
    stop = {"since": sync_now().isoformat(), "until": until.isoformat(), "reason": said(reason), "code": "board"}
    models.BoardLink.objects.filter(entity_type=entity_type).update(stops={ALL_CALLS: stop})


def stop_account(until: datetime | None = None, reason: str = "Monday doesn't answer.", **values: Any) -> None:
    """Stop all calls as an outage does."""
    now = sync_now()
    stop = Stop(now, until or now + timedelta(minutes=1), said(reason), **{"code": "outage", **values})
    breaker.store_stop(breaker.monday_account(), ALL_CALLS, stop)


def ids_of(record: models.SyncedModel) -> dict[str, Any]:
    return {"entity_type": record.entity_type(), "entity_id": record.pk}


def approval(record: models.SyncedModel, kind: str, state: str = "pending", **values: Any) -> models.ApprovalRequest:
    """A deletion or clearing that waits for approval or was decided."""
    label_and_values = {"label": str(record)} | values
    return models.ApprovalRequest.objects.create(**ids_of(record), kind=kind, state=state, **label_and_values)


def intent(record: models.SyncedModel, **values: Any) -> models.Intent:
    """A write to a record's item that has no answer yet."""
    defaults = {"board_id": "1", "idempotency_key": uuid.uuid4().hex, "deadline": sync_now()}
    return models.Intent.objects.create(**ids_of(record) | defaults | values)


def contact(name: str, **values: Any) -> Contact:
    """A contact without its outbox row, as if a worker had handled it."""
    record = Contact.objects.create(name=name, **values)
    models.SyncQueue.objects.filter(entity_id=record.id).delete()
    return record


def mark(record: models.SyncedModel, status: RecordSyncStatus, item: str | None = None) -> None:
    """Write the bookkeeping columns, which triggers don't count as a change."""
    last = SyncNow() if status == RecordSyncStatus.SYNCED else None
    rows = type(record)._default_manager.filter(pk=record.pk)
    rows.update(sync_status=status, monday_id=item, monday_last_synced=last)
    record.refresh_from_db()


def sync_state(record: models.SyncedModel, status: SyncStatus, **values: Any) -> models.SyncMetadata:
    return models.SyncMetadata.objects.create(
        entity_type=record.entity_type(), entity_id=str(record.pk), remote_id=record.monday_id,
        sync_status=status, last_sync_attempt=sync_now(), **values,
    )  # fmt: skip


def synced(name: str, item: str, **values: Any) -> Contact:
    record = contact(name, **values)
    mark(record, RecordSyncStatus.SYNCED, item)
    sync_state(record, SyncStatus.COMPLETED, base=agreed(record, item), last_successful_sync=sync_now())
    return record


def agreed(contact: Contact, item: str) -> dict[str, Any]:
    """The bases of a contact with equal values on both sides."""
    base = {}
    for mapping in registry.entity("contact").mappings:
        if mapping.optional:
            continue
        local = local_values(contact, mapping)
        remote = make_converter(mapping.converter).to_remote(local, None)
        base[mapping.key] = {"local": local, "remote": remote, "item": item, "column": mapping.key, "version": 1}
    return base


def waiting(name: str, reason: str = "Monday answered 500.", seconds: int = 300) -> Contact:
    """A contact that waits for its second attempt."""
    record = contact(name)
    due = sync_now() + timedelta(seconds=seconds)
    models.SyncQueue.objects.create(
        **ids_of(record), attempts=1, next_retry=due, error_message=said(reason), reason=said(reason)
    )
    sync_state(record, SyncStatus.PENDING, note=said(reason))
    return record


def dead(name: str, error: str = "Monday refused the item: invalid value.") -> Contact:
    """A contact whose attempts are used up."""
    record = contact(name)
    models.SyncQueue.objects.create(**ids_of(record), attempts=5, status=QueueStatus.FAILED, error_message=said(error))
    sync_state(record, SyncStatus.FAILED, last_error=said(error), error_count=5)
    return record


def conflict(record: models.SyncedModel, item: str, kind: str = "fields", **values: Any) -> SyncConflict:
    """An open conflict or question, without values unless they are given."""
    defaults = {"conflict_fields": [], "npd_data": {}, "base_data": {}, "monday_data": {}}
    conflict = SyncConflict.objects.create(**ids_of(record), monday_item_id=item, kind=kind, **defaults | values)
    conflict.refresh_from_db()
    return conflict


def conflicting(name: str, item: str, field: str = "phone") -> tuple[Contact, SyncConflict]:
    """A contact with one field changed on both sides."""
    record = contact(name, phone="+44 20 7946 0812")
    mark(record, RecordSyncStatus.CONFLICT, item)
    sync_state(record, SyncStatus.COMPLETED, conflicts={"fields": [field]})
    sides = {"npd": "+44 20 7946 0812", "base": "+44 20 7946 0018", "monday": "+44 20 7946 0018 ext. 4"}
    values = {f"{side}_data": {field: value} for side, value in sides.items()}
    return record, conflict(record, item, conflict_fields=[field], **values)


def blocked(name: str, item: str | None = None, **blocked_fields: dict[str, Any]) -> Contact:
    record = contact(name)
    mark(record, RecordSyncStatus.PENDING, item)
    sync_state(record, SyncStatus.COMPLETED, blocked_fields=blocked_fields)
    return record


def with_invalid_email(name: str, item: str) -> Contact:
    return blocked(name, item, email={"reason": said("Monday refuses this email: it isn't valid."), "code": "invalid"})


def removed(
    name: str, item: str, person: str = "Maya Lind", removal: str = "archived", minutes: float = 0, **values: Any
) -> Contact:
    """A contact whose item was removed on Monday so many minutes ago; nobody is asked yet."""
    record, since = synced(name, item, **values), sync_now() - timedelta(minutes=minutes)
    note = f"The item “{name}” was {removal} on Monday. Nothing was changed in NPD."
    rows = models.SyncMetadata.objects.filter(entity_id=str(record.pk))
    rows.update(remote_state=removal, removed_since=since, removed_passes=1, note=said(note))
    actor = f"{person} on Monday" if person else ""
    models.ActivityLine.objects.create(
        **ids_of(record), remote_id=item, kind="removed", sentence=said(note), actor=actor
    )
    return record


def disabled(name: str) -> Contact:
    record = contact(name, sync_enabled=False)
    sync_state(record, SyncStatus.SKIPPED)
    return record


def unmatched(item: str, code: str = "no_key_yet", kind: str = "contact", **values: Any) -> models.UnmatchedItem:
    details = {"label": "email"}
    return models.UnmatchedItem.objects.create(
        entity_type=kind, item_id=item, reason_code=code, details=details, **values
    )


def candidate(item: str, seconds: int = 240) -> models.SyncQueue:
    """A job for an item of the contacts board that has no record."""
    return models.SyncQueue.objects.create(
        entity_type="contact", remote_id=item, direction=QueueDirection.TO_NPD, causes=Cause.WEBHOOK,
        next_retry=sync_now() + timedelta(seconds=seconds),
        reason=said("It has no email yet, so nobody can say whether it is known."),
    )  # fmt: skip


def decided(
    record: models.SyncedModel, sentence: str, actor: str = "", kind: str = "pull", **values: Any
) -> models.ActivityLine:
    values |= {"kind": kind, "sentence": said(sentence), "actor": actor}
    return models.ActivityLine.objects.create(**ids_of(record), **values)


def told_by_webhook(item: str, name: str) -> models.WebhookEvent:
    return models.WebhookEvent.objects.create(
        trigger_id=name, board_id="9002", item_id=item, type="create_pulse",
        body={"event": {"pulseId": int(item), "pulseName": name}},
    )  # fmt: skip


def one_of_each() -> dict[str, Any]:
    boards()
    world: dict[str, Any] = {
        "synced": synced("Zoë Ångström", "5001", email="zoe@example.com", phone="+46 8 123 45", notes="Line\nLine"),
        "waiting": waiting("李小龍"),
        "dead": dead("Petra Keller"),
        "invalid": with_invalid_email("محمد علي", "5004"),
        "disabled": disabled("Otto Off"),
        "candidate": candidate("7001"),
    }
    world["unmatched"] = unmatched("7001")
    world["conflicting"], world["conflict"] = conflicting("Ann Clash", "5006")
    world["organization"] = Organization.objects.create(name="Example Ltd", aliases=["Example, Inc.", "ExCo"])
    Contact.objects.filter(pk=world["synced"].pk).update(organization=world["organization"])
    models.SyncQueue.objects.filter(entity_id=world["synced"].pk).delete()
    mark(world["synced"], RecordSyncStatus.SYNCED, "5001")
    contact("One Way", sync_direction=SyncDirection.NPD_TO_MONDAY)
    decided(world["synced"], "Phone came from Monday: “+46 8 123 45” replaced an empty value.", "Bob, on Monday")
    return world


def flying(name: str = "Flying") -> models.SyncQueue:
    values = {"status": "in_progress", "lease_token": uuid.uuid4(), "attempts": 1}
    return models.SyncQueue.objects.create(**ids_of(contact(name)), **values)


def finished(at: datetime, kind: str = "contact", rows: int = 1, **more: Any) -> None:
    models.SyncQueue.objects.bulk_create(
        models.SyncQueue(
            entity_type=kind, entity_id=uuid.uuid4(), status="completed", finished_at=at, created_at=at, **more
        )
        for _ in range(rows)
    )
