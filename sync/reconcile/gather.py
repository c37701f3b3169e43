"""Gather: the queries and the calls by which a pass learns what is so. It decides nothing and writes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from uuid import UUID

from sync import registry
from sync.connectors.base.board import EventKind
from sync.models import Decision, Intent, IntentState, SyncedModel, WebhookEvent

# Records.

# Their history: recent events, writes of ours, loops.

# Relations and edit times.

# Identity: who could be whose.

# Removed items and deleted records.

# Items without a record.

# Duplicates.


def unconfirmed_before(ids: Iterable[UUID]) -> set[UUID]:
    """Return which of these records had a create that was given up without its outcome being known."""
    given_up = Intent.objects.filter(entity_id__in=list(ids), item_id="", state=IntentState.VOID, lookups__gt=0)
    return set(given_up.values_list("entity_id", flat=True))


def writes_about(ids: Collection[UUID]) -> dict[UUID, list[Intent]]:
    """Return everything that was announced about these records and is still remembered."""
    found: dict[UUID, list[Intent]] = {}
    for intent in Intent.objects.filter(entity_id__in=ids) if ids else ():
        found.setdefault(intent.entity_id, []).append(intent)
    return found


def unlinked_pairs(ids: Collection[UUID]) -> set[tuple[UUID, str]]:
    """Return which items each of these records has been unlinked from."""
    unlinked = Decision.objects.filter(entity_id__in=ids, kind="unlinked") if ids else ()
    return {(line.entity_id, line.remote_id) for line in unlinked if line.entity_id}


def creators_of(item_ids: Collection[str]) -> dict[str, str]:
    """Return the Monday user who made each item, as its webhook told; of the others none has come."""
    rows = WebhookEvent.objects.filter(item_id__in=item_ids).of_kind(EventKind.CREATED).order_by("-id")
    return {str(row.item_id): row.user_id for row in rows} if item_ids else {}


def owners_of(entity_type: str, item_ids: Collection[str]) -> dict[str, SyncedModel]:
    """Return the records whose items these are: of this type, else of another one, from whose board they came."""
    found: dict[str, SyncedModel] = {}
    for spec in sorted(registry.entities(), key=lambda spec: spec.entity_type != entity_type):
        if left := [item_id for item_id in item_ids if item_id not in found]:
            found |= {str(owner.monday_id): owner for owner in spec.model._default_manager.filter(monday_id__in=left)}
    return found
