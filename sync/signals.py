"""post_save and post_delete of a synced record wake a worker when the transaction commits."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete, post_save

from sync import wake
from sync.models import SyncedModel


def connect() -> None:
    """Listen to every model; those that are not synced are passed over."""
    post_save.connect(wake_on_commit, dispatch_uid="sync.wake.save")
    post_delete.connect(wake_on_commit, dispatch_uid="sync.wake.delete")


def wake_on_commit(sender: type[Any], **kwargs: Any) -> None:
    """Send the wake-up once the change is visible; a failure to send it never fails the save."""
    if issubclass(sender, SyncedModel):
        entity_type = sender.entity_type()
        transaction.on_commit(lambda: wake.board(entity_type), robust=True)
