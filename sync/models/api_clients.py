"""What programs that write by API leave here: their own ids of our records, and answers to repeated requests."""

from __future__ import annotations

from typing import ClassVar

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models import Q

from sync.clock import SyncNow
from sync.models.state import Tombstone

SOURCE_LENGTH, VALUE_LENGTH = 50, 255


class ExternalId(models.Model):
    """What another system (`source`) calls a record.

    `released_at` is set while the record is deleted: the id is free for another record, and comes back with this
    one if it is restored meanwhile. A trigger of the tombstones does both, whichever way the record is deleted.
    """

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField(max_length=50)
    entity_id = models.UUIDField()
    source = models.CharField(max_length=SOURCE_LENGTH)
    value = models.CharField(max_length=VALUE_LENGTH)
    at = models.DateTimeField(db_default=SyncNow())
    released_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "sync_external_ids"
        # Who may see or change them is whoever may see or change the record.
        default_permissions = ()
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["entity_type", "source", "value"],
                condition=Q(released_at=None),
                name="sync_external_ids_one_record_an_id",
            ),
            models.UniqueConstraint(
                fields=["entity_type", "entity_id", "source"], name="sync_external_ids_one_id_a_source"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source}:{self.value}"


class StoredAnswer(models.Model):
    """What the first request under an Idempotency-Key was answered, for the same request once more.

    Written in the transaction of what the request did. `fingerprint` is a keyed hash of its body and query;
    `body` is null where the answer held a secret, which is not kept.
    """

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    path = models.CharField(max_length=255)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    status = models.SmallIntegerField()
    content_type = models.CharField(max_length=100)
    headers: models.JSONField[dict[str, str], dict[str, str]] = models.JSONField(default=dict)
    body = models.TextField(null=True)
    at = models.DateTimeField(db_default=SyncNow())

    class Meta:
        db_table = "sync_stored_answers"
        # No page lists these rows: they are one program's own.
        default_permissions = ()
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["user", "path", "key"], name="sync_stored_answers_one_a_key")
        ]
        indexes: ClassVar[list[models.Index]] = [
            # Serves their deletion after a day.
            models.Index(fields=["at"], name="sync_stored_answers_by_age")
        ]

    def __str__(self) -> str:
        return f"answer to {self.path}"


RELEASE_EXTERNAL_IDS = """
    IF NEW.state = 'restored' THEN
        UPDATE sync_external_ids AS former SET released_at = NULL
        WHERE former.entity_type = NEW.entity_type AND former.entity_id = NEW.entity_id
            AND former.released_at IS NOT NULL AND NOT EXISTS (
                SELECT 1 FROM sync_external_ids AS other
                WHERE other.entity_type = former.entity_type AND other.source = former.source
                    AND other.value = former.value AND other.released_at IS NULL);
    ELSIF TG_OP = 'INSERT' OR NEW.deleted_at IS DISTINCT FROM OLD.deleted_at THEN
        UPDATE sync_external_ids SET released_at = sync_now()
        WHERE entity_type = NEW.entity_type AND entity_id = NEW.entity_id AND released_at IS NULL;
    END IF;
    RETURN NULL;
"""

# Here and not in the tombstones' own Meta, whose module need not know this table.
pgtrigger.register(
    pgtrigger.Trigger(
        name="sync_external_ids_released",
        when=pgtrigger.After,
        operation=pgtrigger.Insert | pgtrigger.UpdateOf("state", "deleted_at"),  # type: ignore[no-untyped-call]
        func=RELEASE_EXTERNAL_IDS,
    )
)(Tombstone)
