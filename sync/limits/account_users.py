"""The users of the Monday account, by id: what people columns and the names of editors are read with."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import structlog

from sync import connectors
from sync.choices import Cause, Priority, QueueDirection, SyncDirection
from sync.clock import SyncNow, sync_now
from sync.connectors.base.connector import Connector
from sync.connectors.base.errors import ConnectorError, Scope
from sync.limits import breaker, metered_client
from sync.limits.breaker import monday_account
from sync.models import FieldMapping, MondayAccount, SyncMetadata
from sync.outbox import pauses
from sync.outbox.queue_rows import enqueue_many

log = structlog.get_logger(__name__)

MAX_AGE = timedelta(days=1)
"""How long the stored users are trusted while no field waits for somebody who isn't among them."""


def refresh_users(connector: Connector) -> ConnectorError | None:
    """Read the account's users and store them; return the error where the token lacks the scope users:read.

    Then the stored users stay. Raises ConnectorError where Monday can't be asked at all.
    """
    monday_account()
    try:
        users = connector.users()
    # Any other error means a missing permission (users:read): the stored users stay.
    except ConnectorError as error:
        if error.scope in (Scope.TRANSPORT, Scope.UNREACHABLE, Scope.LIMIT):
            raise
        log.info("the account's users can't be read", reason=error.sentence)
        return error
    MondayAccount.objects.filter(id=1).update(users=users, users_at=SyncNow())
    return None


def refresh_users_if_due() -> None:
    """Read the account's users for people columns: daily, and at each call while such a field is blocked.

    Records whose people field is blocked get a pass when somebody joined, left or changed address. A failure
    is left to the next call.
    """
    people_mappings = list(
        FieldMapping.objects.filter(converter__in=connectors.get().people_converters)
        .exclude(direction=SyncDirection.NONE)
        .exclude(column_id="")
        .select_related("link")
    )
    if (
        not people_mappings
        or not metered_client.is_configured()
        or pauses.active_pause("")
        or not breaker.probe_if_due()
    ):
        return
    before, blocked = monday_account(), []
    for mapping in people_mappings:
        entity_type = mapping.link.entity_type
        held = SyncMetadata.objects.filter(entity_type=entity_type, held__has_key=mapping.key)
        if ids := sorted(UUID(entity_id) for entity_id in held.values_list("entity_id", flat=True)):
            blocked.append((entity_type, ids))
    # While a field is blocked by an unknown address, the users are read again at every call.
    is_fresh = before.users_at is not None and before.users_at > sync_now() - MAX_AGE
    if is_fresh and not blocked:
        return
    try:
        refresh_users(metered_client.connector())
    except ConnectorError as error:
        log.warning("the account's users not refreshed", reason=error.sentence)
        return
    # Unchanged users unblock nobody.
    if monday_account().users == before.users:
        return
    for entity_type, ids in blocked:
        enqueue_many(entity_type, ids, cause=Cause.SWEEP, priority=Priority.SWEEP, direction=QueueDirection.TO_NPD)
