"""The users of the Monday account, by id: what people columns and the names of editors are read with."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import structlog

from sync import account as accounts
from sync import pausing
from sync.account import account
from sync.choices import Cause, Priority, QueueDirection, SyncDirection
from sync.clock import SyncNow, sync_now
from sync.connectors.monday.answers import Api
from sync.connectors.monday.errors import MondayError, Scope
from sync.connectors.monday.platform import all_users
from sync.enqueue import enqueue_many
from sync.models import FieldMapping, MondayAccount, SyncMetadata

log = structlog.get_logger(__name__)

GOOD_FOR = timedelta(days=1)
"""How long the directory is believed while no field waits for somebody whom it doesn't know."""


def refresh(client: Api) -> MondayError | None:
    """Read the directory anew and keep it; return the refusal where the token may not (scope users:read).

    Then what was known stays as it was. Raises MondayError where Monday can't be asked at all.
    """
    account()
    try:
        users = all_users(client)
    except MondayError as error:
        if error.scope in (Scope.TRANSPORT, Scope.UNREACHABLE, Scope.LIMIT):
            raise
        log.info("the account's users can't be read", reason=error.sentence)
        return error
    MondayAccount.objects.filter(id=1).update(users=users, users_at=SyncNow())
    return None


def keep_fresh() -> None:
    """Read the directory anew where a people column needs it: once a day, and at each call while a field is held.

    Records whose people field is held are looked at again when somebody joined, left or has another address. A
    failure is left to the next call.
    """
    mapped = list(
        FieldMapping.objects.filter(converter="people")
        .exclude(direction=SyncDirection.NONE)
        .exclude(column_id="")
        .select_related("link")
    )
    if not mapped or not accounts.is_configured() or pausing.is_paused("") or not accounts.ready():
        return
    before, waiting = account(), list(_waiting(mapped))
    fresh = before.users_at is not None and before.users_at > sync_now() - GOOD_FOR
    if fresh and not waiting:
        return
    try:
        refresh(accounts.client())
    except MondayError as error:
        log.warning("the account's users not refreshed", reason=error.sentence)
        return
    if account().users == before.users:
        return
    for entity_type, ids in waiting:
        enqueue_many(
            entity_type, ids, cause=Cause.SWEEP, priority=Priority.SWEEP, direction=QueueDirection.TO_NPD
        )


def _waiting(mapped: list[FieldMapping]) -> Iterator[tuple[str, list[UUID]]]:
    """The records whose people field is held, by entity type."""
    for mapping in mapped:
        entity_type = mapping.link.entity_type
        held = SyncMetadata.objects.filter(entity_type=entity_type, held__has_key=mapping.key)
        ids = sorted(UUID(entity_id) for entity_id in held.values_list("entity_id", flat=True))
        if ids:
            yield entity_type, ids
