"""Approvals of deletes and clears: the limit, a person's decision, and the release of obsolete requests."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import models, transaction
from django.db.models.functions import Cast

from sync import registry
from sync.choices import (
    ActivityKind,
    ApprovalKind,
    ApprovalState,
    Cause,
    RecordSyncStatus,
    RemovedItemPolicy,
    TombstoneState,
)
from sync.clock import SyncNow
from sync.fields import lookups
from sync.kernel import grouped, humanize
from sync.models import ActivityLine, ApprovalRequest, BoardLink, FieldMapping, SyncMetadata, Tombstone
from sync.models.records_and_items import approval_payload_key
from sync.outbox import enqueue
from sync.records.authors import log_action_many
from sync.words.message import Message

# Still to be decided, carried out (approved), or put back (rejected).
OPEN_REQUEST_STATES = (ApprovalState.PENDING, ApprovalState.APPROVED, ApprovalState.REJECTED)
CLEARS = (ApprovalKind.CLEAR_MONDAY, ApprovalKind.CLEAR_NPD)

# States of tombstones whose item is still to be removed.
UNSETTLED_TOMBSTONES = (TombstoneState.WAITING, TombstoneState.PENDING_APPROVAL)

HOUR = timedelta(hours=1)

# The percentage doesn't apply to smaller boards: two of ten is a person tidying up.
SMALL_BOARD = 50

# Acts that went without approval: repeating one within the hour needs no request either.
_DONE_UNASKED_WITHIN_HOUR = models.Q(state=ApprovalState.DONE, decided_at=None, at__gt=SyncNow() - HOUR)
# What was carried out counts for an hour, because the rest of a mass deletion may follow; what was rejected or has lost
# its cause doesn't, because nobody wants it any more.
_COUNTED = models.Q(state__in=(ApprovalState.DONE, ApprovalState.REFILLED), at__gt=SyncNow() - HOUR)
_COUNTED |= models.Q(state__in=(ApprovalState.PENDING, ApprovalState.APPROVED))


@dataclass(frozen=True)
class ApprovalLimit:
    """How many records one hour may delete or empty: `records`, and `percent` of `board_size`; None: no limit."""

    records: int | None
    percent: int | None
    board_size: int

    @property
    def applied_percent(self) -> int | None:
        return self.percent if self.board_size >= SMALL_BOARD else None

    def is_exceeded_by(self, number: int) -> bool:
        """Whether this number of records in an hour needs a person's approval."""
        if self.records is not None and number > self.records:
            return True
        return self.applied_percent is not None and number * 100 > self.applied_percent * self.board_size

    @property
    def text(self) -> str:
        parts = [humanize.count_with_noun(self.records, "item")] if self.records is not None else []
        if self.applied_percent is not None:
            parts.append(f"{self.applied_percent} % of the board")
        return " or ".join(parts)


def approval_limit(link: BoardLink) -> ApprovalLimit:
    """Return a board's current limit; a setting of 0 switches its half off."""
    linked = lookups.linked_records(link.entity_type).count()
    # Records deleted within the hour count too, or a mass delete would shrink its own board.
    deleted = Tombstone.objects.filter(entity_type=link.entity_type, deleted_at__gt=SyncNow() - HOUR)
    size = linked + deleted.exclude(monday_id=None).count()
    return ApprovalLimit(settings.GUARD_RECORDS or None, settings.GUARD_PERCENT or None, size)


@dataclass(frozen=True)
class ApprovalFacts:
    """The stored requests about some deletes or clears, and the state of the limit; read only if there may be one."""

    # Open ones, and those of the last hour that were carried out without approval, in stored order.
    requests: tuple[ApprovalRequest, ...] = ()
    counted: Mapping[ApprovalKind, frozenset[UUID]] = field(default_factory=dict)  # records that count already
    limit: ApprovalLimit | None = None

    def about(self, kinds: Collection[ApprovalKind], ids: Collection[UUID]) -> ApprovalFacts:
        """Return the facts with only the requests of these kinds and records."""
        requests = [request for request in self.requests if request.kind in kinds and request.entity_id in ids]
        return replace(self, requests=tuple(requests))

    def without(self, requests: Collection[ApprovalRequest]) -> ApprovalFacts:
        """Return the facts without these requests."""
        return replace(self, requests=tuple(request for request in self.requests if request not in requests))

    def for_acts_begun(self, begun: Mapping[tuple[UUID, str], datetime | None]) -> ApprovalFacts:
        """Return the facts without what was carried out before these acts (by record and field) had begun.

        The same act tried again needs no second permission, but a later one on the same record asks anew.
        """

        def is_about(request: ApprovalRequest) -> bool:
            began = begun.get((request.entity_id, request.key))
            # A planned request isn't stored yet, so it has no time.
            if request.state != ApprovalState.DONE or began is None or request.pk is None:
                return True
            return request.at >= began

        return replace(self, requests=tuple(filter(is_about, self.requests)))

    @property
    def open_requests(self) -> dict[tuple[UUID, str, str], ApprovalRequest]:
        """The pending and decided requests, by record, kind and field."""
        open_requests = [request for request in self.requests if request.state in OPEN_REQUEST_STATES]
        return {(request.entity_id, request.kind, request.key): request for request in open_requests}

    def states(self, kind: ApprovalKind) -> dict[tuple[UUID, str], str]:
        """Return the states of a kind's requests, by record and field."""
        # The later row wins: an open request is stored after the one that was done.
        return {(request.entity_id, request.key): request.state for request in self.requests if request.kind == kind}

    def is_over_limit(self, kind: ApprovalKind, entity_ids: Set[UUID]) -> bool:
        """Whether these records exceed the limit of an hour, together with those counted already."""
        assert self.limit is not None
        # A set, so that a record requested again after a crash counts once.
        return self.limit.is_exceeded_by(len(entity_ids | self.counted[kind]))

    def verdicts(
        self, kind: ApprovalKind, wanted: Collection[tuple[UUID, str]]
    ) -> dict[tuple[UUID, str], tuple[bool, ApprovalState | None]]:
        """Return for each of these acts whether it may go now, and the state to store if it wasn't counted yet.

        A deletion is named by its record and an empty text, and the emptying of a field by its record and the field.
        Acts that were done or approved before may go, and new acts if they are within the limit. An act that is
        repeated within the hour counts once. An act that goes without approval is stored before its intent, so that it
        counts even after a crash.
        """
        states = self.states(kind)
        new = set(wanted) - states.keys()
        is_over_limit = bool(new) and self.is_over_limit(kind, {entity_id for entity_id, _ in new})
        new_verdict = (False, ApprovalState.PENDING) if is_over_limit else (True, ApprovalState.DONE)
        allowed = (ApprovalState.APPROVED, ApprovalState.DONE)
        return {act: new_verdict if act in new else (states[act] in allowed, None) for act in wanted}


def read_approvals(
    link: BoardLink,
    kinds: Collection[ApprovalKind],
    ids: Collection[UUID] = (),
    planned_requests: Sequence[ApprovalRequest] = (),
) -> ApprovalFacts:
    """Read the requests of these kinds about these records, the limit, and the records that count toward it.

    Those are the ones carried out within the hour, those that wait or are approved, and those that are due soon. The
    requests that earlier passes of a dry run planned are added to both.
    """
    rows = ApprovalRequest.objects.filter(entity_type=link.entity_type, kind__in=list(kinds))
    stored = rows.filter(_DONE_UNASKED_WITHIN_HOUR | models.Q(state__in=OPEN_REQUEST_STATES), entity_id__in=list(ids))
    counted = {kind: set(records_due_soon(link, kind)) for kind in kinds}
    planned = [(request.kind, request.entity_id) for request in planned_requests]
    for kind, entity_id in [*rows.filter(_COUNTED).values_list("kind", "entity_id"), *planned]:
        if kind in counted:
            counted[ApprovalKind(kind)].add(entity_id)
    facts = ApprovalFacts((*stored.order_by("id"), *planned_requests)).about(kinds, ids)
    return replace(facts, counted={kind: frozenset(ids) for kind, ids in counted.items()}, limit=approval_limit(link))


def records_due_soon(link: BoardLink, kind: ApprovalKind) -> Iterable[UUID]:
    """Return the records for which an act of this kind will be requested soon.

    They count, so that a mass deletion isn't carried out in part.
    """
    if kind == ApprovalKind.ITEMS:
        # Each of these deleted records will request its item's deletion.
        pending = Tombstone.objects.filter(
            entity_type=link.entity_type, state=TombstoneState.WAITING, deleted_at__gt=SyncNow() - HOUR
        )
        return pending.exclude(monday_id=None).values_list("entity_id", flat=True)
    if kind == ApprovalKind.RECORDS and link.removed_item_policy == RemovedItemPolicy.DELETE:
        # Each of these records will be deleted by the board's policy.
        removed = SyncMetadata.objects.of(link.entity_type).filter(removed_since__gt=SyncNow() - HOUR)
        return [UUID(entity_id) for entity_id in removed.values_list("entity_id", flat=True)]
    return []


def limit_exceeded_by_item_removals(entity_type: str, ids: Iterable[UUID]) -> str:
    """Return the limit that removing the items of these records now would exceed, as text, or an empty text."""
    if (link := lookups.link_of(entity_type)) is None or not (deleted := set(ids)):
        return ""
    facts = read_approvals(link, [ApprovalKind.ITEMS])
    assert facts.limit is not None
    return facts.limit.text if facts.is_over_limit(ApprovalKind.ITEMS, deleted) else ""


def is_over_deletion_limit(link: BoardLink) -> bool:
    """Whether so many items were removed that the policy's deletion of their records needs approval."""
    facts = read_approvals(link, [ApprovalKind.RECORDS])
    # No new ones: those known already count.
    return facts.is_over_limit(ApprovalKind.RECORDS, frozenset())


def approve(requests: models.QuerySet[ApprovalRequest], by: AbstractBaseUser) -> int:
    """Approve requests; return how many. The records' next passes carry them out."""
    return _decide(requests, by, ApprovalState.APPROVED)


def reject(requests: models.QuerySet[ApprovalRequest], by: AbstractBaseUser) -> int:
    """Reject requests; return how many.

    An emptied field gets its value back from the other side, a deleted record's item stays as it is, and a record with
    a removed item stays and becomes a conflict.
    """
    return _decide(requests, by, ApprovalState.REJECTED)


def _decide(requests: models.QuerySet[ApprovalRequest], by: AbstractBaseUser, state: ApprovalState) -> int:
    name = by.get_username()
    code = "approved" if state is ApprovalState.APPROVED else "rejected"
    with transaction.atomic():
        # Somebody else may have decided some of them meanwhile.
        rows = ApprovalRequest.objects.filter(pk__in=requests.values("pk"), state=ApprovalState.PENDING)
        # In the order of ids, so that two decisions lock the same rows in the same order.
        pending = list(rows.select_for_update().order_by("pk"))
        ApprovalRequest.objects.filter(pk__in=[request.pk for request in pending]).update(
            state=state, decided_at=SyncNow(), decided_by=by.pk
        )
        for group in grouped(pending, lambda request: (request.entity_type, request.kind)).values():
            entity_type = group[0].entity_type
            # The last entry is listed, the others are folded into it.
            act_id = uuid4()
            ActivityLine.objects.bulk_create(
                ActivityLine(
                    entity_type=entity_type,
                    entity_id=request.entity_id,
                    remote_id=request.remote_id,
                    key=request.key,
                    kind=ActivityKind.APPROVAL,
                    sentence=Message(code, kind=request.get_kind_display(), request=request.label),
                    values=request.values,
                    actor=name,
                    cause={"by": name, "causes": ["person"]},
                    folded=request is not group[-1],
                    fold_id=act_id,
                )
                for request in group
            )
            # `enqueue` merges payloads, so a record's one job ends up with a key for each field.
            for key, of_field in grouped(group, lambda request: request.key).items():
                payload = {"by": name, approval_payload_key(key): str(act_id)}
                ids = [request.entity_id for request in of_field]
                enqueue(entity_type, ids, cause=Cause.PERSON, payload=payload)
        log_action_many(by, pending, f"{code.capitalize()}.")
    return len(pending)


def release_item_removal(entity_type: str, entity_id: UUID) -> None:
    """End the open requests to remove the item of a deleted record that is being restored."""
    requests = ApprovalRequest.objects.filter(entity_type=entity_type, entity_id=entity_id, kind=ApprovalKind.ITEMS)
    _close_requests(requests.filter(state__in=OPEN_REQUEST_STATES))


def release_obsolete(ids: Collection[UUID] | None = None) -> int:
    """End open requests whose deletion or clear isn't wanted any more; return how many. With `ids`, only of these."""
    requests = ApprovalRequest.objects.filter(state__in=OPEN_REQUEST_STATES)
    if ids is not None:
        requests = requests.filter(entity_id__in=ids)
    ended = 0
    for spec in registry.entities():
        of_type = requests.filter(entity_type=spec.entity_type)
        item_removals = of_type.filter(kind=ApprovalKind.ITEMS)
        tombstones = Tombstone.objects.filter(entity_type=spec.entity_type, entity_id=models.OuterRef("entity_id"))
        # The item has left the board, so an approved request was carried out.
        removed = tombstones.filter(state__in=(TombstoneState.ARCHIVED, TombstoneState.DELETED))
        ended += _close_requests(item_removals.filter(models.Exists(removed)), carried_out=True)
        # A settled or pruned tombstone needs no deletion.
        ended += _close_requests(
            item_removals.exclude(models.Exists(tombstones.filter(state__in=UNSETTLED_TOMBSTONES)))
        )

        record_deletions = of_type.filter(kind=ApprovalKind.RECORDS)
        records = spec.model.objects.filter(pk=models.OuterRef("entity_id"))
        # The record is deleted, so an approved request was carried out.
        ended += _close_requests(record_deletions.exclude(models.Exists(records)), carried_out=True)
        # A record without an item, unsynced, or with a restored item needs no deletion.
        left_alone = records.filter(models.Q(monday_id=None) | models.Q(sync_status=RecordSyncStatus.DISABLED))
        sync_states = SyncMetadata.objects.of(spec.entity_type).filter(removed_since=None)
        restored = sync_states.filter(entity_id=Cast(models.OuterRef("entity_id"), models.TextField()))
        ended += _close_requests(record_deletions.filter(models.Exists(left_alone) | models.Exists(restored)))

        # A field can be emptied only while it is mapped and its record is synced and has an item.
        synced = records.exclude(monday_id=None).exclude(sync_status=RecordSyncStatus.DISABLED)
        mapped = FieldMapping.objects.filter(link__entity_type=spec.entity_type, key=models.OuterRef("key"))
        syncable = models.Exists(synced) & models.Exists(mapped.exclude(column_id=""))
        ended += _close_requests(of_type.filter(kind__in=CLEARS).exclude(syncable))
    return ended


def _close_requests(requests: models.QuerySet[ApprovalRequest], *, carried_out: bool = False) -> int:
    """End the open ones of these requests; return how many.

    If it was carried out, approved ones become DONE. If not, rejected ones become KEPT. All others become RELEASED.
    """
    ids = list(requests.values_list("pk", flat=True))
    if not ids:
        return 0
    open_requests = ApprovalRequest.objects.filter(pk__in=ids, state__in=OPEN_REQUEST_STATES)
    if carried_out:
        approved = open_requests.filter(state=ApprovalState.APPROVED)
        ended = approved.update(state=ApprovalState.DONE, at=SyncNow())
    else:
        rejected = open_requests.filter(state=ApprovalState.REJECTED)
        ended = rejected.update(state=ApprovalState.KEPT, at=SyncNow())
    # All that are still open.
    return ended + open_requests.update(state=ApprovalState.RELEASED, at=SyncNow())
