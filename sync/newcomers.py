"""Items of a board that no record has: the queue's rows about them, and what the items are called.

A create of our own can have its webhook here before its answer; the row that the webhook wrote then names an
item that a record has by now, and is no newcomer.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Exists, OuterRef, Q, QuerySet

from sync import registry
from sync.choices import QueueStatus
from sync.models import SyncQueue, WebhookEvent


def of_new_items() -> Q:
    """Return the condition that a queue row is about an item that no record has."""
    condition = Q(entity_id=None)
    for spec in registry.entities():
        linked = spec.model._default_manager.filter(monday_id=OuterRef("remote_id"))
        known = Q(Exists(linked.order_by()), entity_type=spec.entity_type)
        condition &= ~known
    return condition


def waiting_items() -> QuerySet[SyncQueue]:
    """Return the rows of items that wait to become records, the one looked at next first."""
    return SyncQueue.objects.filter(of_new_items(), status=QueueStatus.PENDING).order_by("next_retry", "id")


def item_names(item_ids: Iterable[str | None]) -> dict[str, str]:
    """Return the items' names as their latest webhooks told them; one query, none told is missing."""
    wanted = {item_id for item_id in item_ids if item_id}
    if not wanted:
        return {}
    told = WebhookEvent.objects.filter(item_id__in=wanted, body__event__has_key="pulseName")
    latest = told.order_by("item_id", "-received_at", "-id").distinct("item_id")
    return {
        str(item_id): str(name)
        for item_id, name in latest.values_list("item_id", "body__event__pulseName")
        if name
    }
