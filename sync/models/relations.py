"""Relations on a board that name something which no record is yet."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.contrib.postgres.indexes import HashIndex
from django.db import models
from django.utils.translation import gettext_lazy as _


class AwaitedRelation(models.Model):
    """A record's relation on its board that waits for a record of `target_type`; that table's triggers wake it.

    `target` is “item ” and an item's id, or “name ” and a name in lower case. It is read by nothing but those
    triggers; what the field itself says stands in the ledger's `held`.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    entity_type = models.CharField(max_length=50)
    entity_id = models.UUIDField()
    key = models.CharField(_("field"), max_length=50)
    target_type = models.CharField(max_length=50)
    target = models.TextField()

    class Meta:
        db_table = "sync_awaited_relations"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["entity_type", "entity_id", "key"], name="sync_awaited_relations_one_a_field"
            )
        ]
        indexes: ClassVar[list[Any]] = [
            # Serves "who waits for this item or name" in the target table's triggers. By hash: a name can be
            # longer than a B-tree takes.
            HashIndex(fields=["target"], name="sync_awaited_relations_target"),
        ]

    def __str__(self) -> str:
        return f"{self.entity_type} {self.entity_id} waits for the {self.target_type} of {self.target}"
