"""What becomes of an item whose record was deleted in NPD: MERGE's rows "deleted | …" of a record and its item.

The tombstone knows the record as it was, the ledger what both sides last agreed on. An item that stands as agreed goes
the board link's way (archive, delete, unlink, ask); one that somebody edited since is asked about; nothing is sent for
a record whose settings let nothing be sent.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings

from sync.choices import Cause, Priority, RecordGone, SyncDirection, TombstoneState
from sync.clock import sync_now
from sync.connectors.monday.items import Item, LookResult
from sync.connectors.monday.removals import ARCHIVED
from sync.engine.asking import CAME_BACK, UNLINK, ask, removal_of, still_seen
from sync.engine.burying import lets_rest
from sync.engine.comparing import edits_since_base
from sync.engine.graves import Grave, dig, open_graves
from sync.engine.matching import bearer
from sync.engine.paused_graves import hold_graves
from sync.engine.removing import remove
from sync.engine.subjects import Batch, Outcome
from sync.enqueue import enqueue_item
from sync.graveyard import OPEN, REMOVED
from sync.hooks import Choice
from sync.models import BoardLink, SyncedModel

ACTIVE = "active"
FINAL = (TombstoneState.KEPT, TombstoneState.UNLINKED, TombstoneState.RESTORED)
"""States that no look changes: the item was left where it is on purpose."""
QUIET_SECONDS = 10.0
"""Seconds until an item that bears another record's NPD ID is looked at as a newcomer."""
LOOK_SOON = 5.0
"""Seconds until a look finds out whether the record that was being linked with the item has it."""


def begin(batch: Batch) -> None:
    """Dig up the look's graves, and end those for which Monday needn't be asked."""
    dig(batch)
    owners = _owners(batch, [grave.stone.monday_id for grave in batch.graves])
    for grave in batch.graves:
        _decide_unread(grave, owners)


def settle(batch: Batch, found: LookResult) -> None:
    """Decide every open grave by its item, and send what the decisions ask for; raises LeaseLost."""
    linked_now = {subject.link_to for subject in batch.subjects if subject.link_to}
    wanted: dict[RecordGone, list[Grave]] = {}
    graves = open_graves(batch)
    policy = _policy(batch) if graves else RecordGone.ASK
    for grave in graves:
        grave.subject.item = found.linked.get(str(grave.stone.monday_id))
        if (verdict := _decide(batch, grave, linked_now, policy)) is not None:
            wanted.setdefault(verdict, []).append(grave)
    remove(batch, hold_graves(batch, wanted))


def _policy(batch: Batch) -> RecordGone:
    """As it is now, and not as it was when the board was taken: a run may last for minutes."""
    links = BoardLink.objects.filter(pk=batch.board.link.pk)
    return RecordGone(links.values_list("record_gone", flat=True).get())


def _decide_unread(grave: Grave, owners: dict[str, SyncedModel]) -> None:
    record, item_id = grave.subject.record, grave.stone.monday_id
    if grave.stone.state in FINAL:
        grave.rest(None, grave.stone.note)
    elif item_id is None:
        grave.rest(TombstoneState.GONE, "Deleted in NPD. It had no item on Monday.")
    elif item_id in owners:
        grave.rest(
            TombstoneState.GONE,
            f"Deleted in NPD. Its item belongs to “{owners[item_id]}” by now, so nothing is sent.",
        )
    elif not record.may_sync:
        grave.rest(
            TombstoneState.KEPT, "Deleted in NPD. Its sync was off, so its item stays on Monday as it is."
        )
    elif record.sync_direction == SyncDirection.MONDAY_TO_NPD:
        grave.rest(
            TombstoneState.KEPT,
            "Deleted in NPD. Its direction let nothing be sent, so its item stays on Monday as it is.",
        )


def _owners(batch: Batch, items: Iterable[str | None]) -> dict[str, SyncedModel]:
    records = batch.board.model._default_manager.filter(monday_id__in=[item for item in items if item])
    return {str(record.monday_id): record for record in records}


def _decide(batch: Batch, grave: Grave, linked_now: set[str], policy: RecordGone) -> RecordGone | None:
    """End the grave, ask, or return what is to be done with its item."""
    item = grave.subject.item
    if item is not None:
        grave.subject.ledger.gone_since = None
    if (item is None or item.state != ACTIVE) and grave.choice and grave.choice.choose == "monday":
        grave.brings_back = True
        grave.subject.end(Outcome.SETTLED)
    elif item is None:
        _not_shown(grave)
    elif item.state != ACTIVE:
        _gone(grave, item)
    elif item.board_id not in (None, batch.board.link.board_id):
        grave.rest(
            TombstoneState.KEPT,
            f"Deleted in NPD. Its item “{item.name}” was moved to another board ({item.board_id}); it stays there.",
        )
    elif (other := bearer(batch, item)) is not None:
        grave.rest(
            TombstoneState.GONE,
            f"Deleted in NPD. Its item “{item.name}” bears the NPD ID of “{other}” by now, so nothing is sent.",
        )
        _consider(batch, item)
    elif item.id in linked_now:
        grave.subject.wait_seconds = LOOK_SOON
        grave.subject.end(Outcome.SNOOZED, "Another record is being linked with its item.")
    else:
        return _by_what_stands(batch, grave, item, policy)
    return None


def _consider(batch: Batch, item: Item) -> None:
    """The item is looked at as any that no record has."""
    kind = batch.board.link.entity_type
    enqueue_item(kind, item.id, cause=Cause.DEPENDENCY, priority=Priority.EDIT, due_in_seconds=QUIET_SECONDS)


def _not_shown(grave: Grave) -> None:
    """Monday may just have failed to show the item: it is believed when it says so after the quiet time too."""
    ledger, now = grave.subject.ledger, sync_now()
    ledger.gone_since = ledger.gone_since or now
    left = settings.GONE_QUIET_SECONDS - (now - ledger.gone_since).total_seconds()
    if grave.stone.state in OPEN and left > 0:
        grave.note = (
            "Deleted in NPD. Monday doesn't show its item; it is looked for once more in a few minutes."
        )
        grave.subject.wait_seconds = left
        grave.subject.end(Outcome.SNOOZED, grave.note)
        return
    grave.rest(
        TombstoneState.GONE,
        "Deleted in NPD. Monday doesn't show its item any more; nothing is left to do.",
    )


def _gone(grave: Grave, item: Item) -> None:
    """The item has left the board: by us, where a call of ours got no answer, or by somebody."""
    state = TombstoneState.ARCHIVED if item.state == ARCHIVED else TombstoneState.DELETED
    ours = [intent for intent in grave.subject.intents if (intent.body or {}).get("removes")]
    if ours or grave.stone.state == state:
        for intent in ours:
            grave.subject.intents_found[intent.pk] = item.id
        return lets_rest(grave, state, item)
    return grave.rest(
        TombstoneState.GONE, f"Deleted in NPD. Its item “{item.name}” was {item.state} on Monday already."
    )


def _by_what_stands(batch: Batch, grave: Grave, item: Item, policy: RecordGone) -> RecordGone | None:
    came_back = grave.stone.state in REMOVED or grave.subject.ledger.remote_state == CAME_BACK
    if came_back:
        grave.subject.ledger.remote_state = CAME_BACK
    grave.edited = edits_since_base(batch.board, grave.subject, item)
    if grave.choice is not None:
        return _chosen(grave, grave.choice, policy)
    if came_back or grave.edited or policy is RecordGone.ASK:
        ask(grave, policy)
        return None
    return policy


def _chosen(grave: Grave, choice: Choice, policy: RecordGone) -> RecordGone | None:
    """Carry out what a person chose, where the item still says what they saw."""
    if not still_seen(grave, choice):
        grave.rejected = "The item was edited after you chose. Look at it again and choose anew."
        ask(grave, policy)
        return None
    if choice.choose == "npd":
        return removal_of(policy)
    if choice.choose == "monday":
        grave.brings_back = True
        grave.subject.end(Outcome.SETTLED)
        return None
    if choice.value == UNLINK:
        return RecordGone.UNLINK
    grave.rejected = "That is none of the ways out. Choose one of those that are offered."
    ask(grave, policy)
    return None
