"""Approvals of deletes and clears: how many are too many, who decides, when a request is obsolete."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID, uuid4

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import models, transaction
from django.db.models.functions import Cast

from sync import choices, registry
from sync.clock import SyncNow
from sync.kernel import humanize
from sync.models import ApprovalRequest, BoardLink, Decision, FieldMapping, SyncMetadata, Tombstone
from sync.models.state import approval_payload_key
from sync.outbox.queue_rows import enqueue
from sync.records.authors import log_action_many
from sync.registry import EntitySpec, link_of

# The limit: it counts what was wanted within the hour, whatever became of it, what waits, and the size of the board.


OPEN_REQUEST_STATES = (choices.ApprovalState.PENDING, choices.ApprovalState.APPROVED, choices.ApprovalState.REJECTED)
ENDED_REQUEST_STATES = (choices.ApprovalState.DONE, choices.ApprovalState.KEPT, choices.ApprovalState.RELEASED)
HOUR = timedelta(hours=1)

# Below so many linked records the percentage doesn't count: two of ten is a person tidying up.
SMALL_BOARD = 50

_DONE_UNASKED_WITHIN_HOUR = models.Q(state=choices.ApprovalState.DONE, decided_at=None, at__gt=SyncNow() - HOUR)
# An answer to a part of a mass, or a cause that is gone, says nothing of the rest, which may be yet to come.
_COUNTED = models.Q(state__in=OPEN_REQUEST_STATES) | models.Q(state__in=ENDED_REQUEST_STATES, at__gt=SyncNow() - HOUR)


@dataclass(frozen=True)
class ApprovalLimit:
    """What one hour may delete or empty: `records`, and `percent` of `board_size` linked records.

    None: no limit.
    """

    records: int | None
    percent: int | None
    board_size: int

    def is_exceeded_by(self, number: int) -> bool:
        """Whether so many records in an hour are more than is let through without a person."""
        too_many = self.records is not None and number > self.records
        share = self.percent is not None and self.board_size >= SMALL_BOARD
        return too_many or (share and number * 100 > (self.percent or 0) * self.board_size)

    @property
    def text(self) -> str:
        parts = [f"more than {self.records}"] if self.records is not None else []
        if self.percent is not None and self.board_size >= SMALL_BOARD:
            parts.append(f"more than {self.percent} % of the board")
        return " or ".join(parts)


def approval_limit(link: BoardLink) -> ApprovalLimit:
    """Return the limit of a board now; a setting of 0 switches its half off."""
    linked = registry.linked_records(link.entity_type).count()
    # Those deleted within the hour count too: otherwise a mass delete would make its own board small.
    deleted = Tombstone.objects.filter(entity_type=link.entity_type, deleted_at__gt=SyncNow() - HOUR)
    size = linked + deleted.exclude(monday_id=None).count()
    return ApprovalLimit(settings.GUARD_RECORDS or None, settings.GUARD_PERCENT or None, size)


@dataclass(frozen=True)
class ApprovalFacts:
    """What was asked about before some deletes or clears, and what counts toward the limit.

    `requests` are those that are open or were let through within the hour, in the order in which they were stored.
    `counted` are the records that count already, by kind; they and the limit are read only where something is new.
    """

    requests: tuple[ApprovalRequest, ...] = ()
    counted: Mapping[choices.ApprovalKind, frozenset[UUID]] = field(default_factory=dict)
    limit: ApprovalLimit | None = None

    def about(self, kinds: Collection[choices.ApprovalKind], ids: Collection[UUID]) -> ApprovalFacts:
        """Return them with the requests of these kinds and records alone."""
        requests = tuple(act for act in self.requests if act.kind in kinds and act.entity_id in ids)
        return replace(self, requests=requests)

    @property
    def open_requests(self) -> dict[tuple[UUID, str, str], ApprovalRequest]:
        """Those that wait, or that a person decided, by record, kind and field."""
        open_requests = [request for request in self.requests if request.state in OPEN_REQUEST_STATES]
        return {(request.entity_id, request.kind, request.key): request for request in open_requests}

    def states(self, kind: choices.ApprovalKind) -> dict[tuple[UUID, str], str]:
        """Return how the requests of a kind stand, by record and field."""
        # An open request is stored after one that was done, so the later row wins.
        return {(request.entity_id, request.key): request.state for request in self.requests if request.kind == kind}

    def is_over_limit(self, kind: choices.ApprovalKind, entity_ids: Set[UUID]) -> bool:
        """Whether these records, with those counted already and those foreseen, are over the limit of an hour."""
        assert self.limit is not None
        # A set of records: one that is asked for again after a crash counts once.
        return self.limit.is_exceeded_by(len(entity_ids | self.counted[kind]))


def known_requests(
    link: BoardLink,
    kinds: Iterable[choices.ApprovalKind],
    ids: Iterable[UUID],
    foreseen: Sequence[ApprovalRequest] = (),
) -> ApprovalFacts:
    """Read what was asked about these records, in one query; `foreseen` counts as if it were stored after the rest."""
    asked_kinds = list(kinds)
    asked_ids = set(ids)
    of_records = ApprovalRequest.objects.filter(
        entity_type=link.entity_type, kind__in=asked_kinds, entity_id__in=asked_ids
    )
    stored = of_records.filter(_DONE_UNASKED_WITHIN_HOUR | models.Q(state__in=OPEN_REQUEST_STATES)).order_by("id")
    later = [request for request in foreseen if request.kind in asked_kinds and request.entity_id in asked_ids]
    return ApprovalFacts((*stored, *later))


def with_counts(
    facts: ApprovalFacts,
    link: BoardLink,
    kinds: Iterable[choices.ApprovalKind],
    foreseen: Sequence[ApprovalRequest] = (),
) -> ApprovalFacts:
    """Read what counts toward the limit, too: what was wanted within the hour, what is foreseen, the board's size."""
    counted = {kind: set(foreseen_records(link, kind)) for kind in kinds}
    rows = ApprovalRequest.objects.filter(_COUNTED, entity_type=link.entity_type, kind__in=list(counted))
    pairs = [*rows.values_list("kind", "entity_id"), *((request.kind, request.entity_id) for request in foreseen)]
    for kind, entity_id in pairs:
        if kind in counted:
            counted[choices.ApprovalKind(kind)].add(entity_id)
    return replace(facts, counted={kind: frozenset(ids) for kind, ids in counted.items()}, limit=approval_limit(link))


def foreseen_records(link: BoardLink, kind: choices.ApprovalKind) -> Iterable[UUID]:
    """Return the records that are known to ask for the same soon, so that no half of a mass goes ahead."""
    if kind == choices.ApprovalKind.ITEMS:
        # Each of these deleted records will ask for its item's deletion.
        pending = Tombstone.objects.filter(
            entity_type=link.entity_type, state=choices.TombstoneState.WAITING, deleted_at__gt=SyncNow() - HOUR
        )
        return pending.exclude(monday_id=None).values_list("entity_id", flat=True)
    if kind == choices.ApprovalKind.RECORDS and link.removed_item_policy == choices.RemovedItemPolicy.DELETE:
        # Each of these records will be deleted by the board's policy.
        removed = SyncMetadata.objects.of(link.entity_type).filter(removed_since__gt=SyncNow() - HOUR)
        return [UUID(entity_id) for entity_id in removed.values_list("entity_id", flat=True)]
    return []


def limit_exceeded_by_removals(entity_type: str, ids: Iterable[UUID]) -> str:
    """Return the limit that deleting these records now would exceed, so that their items wait; empty where none."""
    if (link := link_of(entity_type)) is None or not (deleted := set(ids)):
        return ""
    facts = with_counts(ApprovalFacts(), link, [choices.ApprovalKind.ITEMS])
    return facts.limit.text if facts.limit and facts.is_over_limit(choices.ApprovalKind.ITEMS, deleted) else ""


def removals_wait(link: BoardLink) -> bool:
    """Whether so many items are gone that the board's policy deletes no record of them without a person."""
    facts = with_counts(ApprovalFacts(), link, [choices.ApprovalKind.RECORDS])
    return facts.is_over_limit(choices.ApprovalKind.RECORDS, frozenset())


# A person's decision: approve, or reject, which keeps what would be lost.


def approve(acts: models.QuerySet[ApprovalRequest], by: AbstractBaseUser) -> int:
    """Approve these requests; returns how many, each carried out in its record's next pass."""
    return _decide(acts, by, choices.ApprovalState.APPROVED)


def reject(acts: models.QuerySet[ApprovalRequest], by: AbstractBaseUser) -> int:
    """Keep what these would delete or empty; returns how many requests that were.

    An emptied field gets its value back from the other side; a deleted record's item stays as it is; a record
    whose item was removed stays, and a person is asked what becomes of it.
    """
    return _decide(acts, by, choices.ApprovalState.REJECTED)


def _decide(acts: models.QuerySet[ApprovalRequest], by: AbstractBaseUser, state: choices.ApprovalState) -> int:
    name = by.get_username()
    verb = "Approved" if state is choices.ApprovalState.APPROVED else "Rejected"
    with transaction.atomic():
        # Only those still pending: somebody else may have decided others meanwhile.
        rows = ApprovalRequest.objects.filter(pk__in=acts.values("pk"), state=choices.ApprovalState.PENDING)
        # In the order of ids, so that two decisions on the same rows lock them in the same order.
        pending = list(rows.select_for_update().order_by("pk"))
        ApprovalRequest.objects.filter(pk__in=[act.pk for act in pending]).update(
            state=state, decided_at=SyncNow(), decided_by=by.pk
        )
        alike: dict[tuple[str, str], list[ApprovalRequest]] = {}
        for act in pending:
            alike.setdefault((act.entity_type, act.kind), []).append(act)
        for (entity_type, _), group in alike.items():
            lines = _decision_lines(group, verb, name)
            Decision.objects.bulk_create(lines)
            # Several fields of a record need one pass only: its job is told of them all.
            for key in dict.fromkeys(act.key for act in group):
                payload = {"by": name, approval_payload_key(key): str(lines[0].fold_id)}
                ids = [act.entity_id for act in group if act.key == key]
                enqueue(entity_type, ids, cause=choices.Cause.PERSON, priority=choices.Priority.PERSON, payload=payload)
        log_action_many(by, pending, f"{verb}.")
    return len(pending)


def _decision_lines(group: Sequence[ApprovalRequest], verb: str, name: str) -> list[Decision]:
    """What one click decided, as entries of one act: the last is listed, the others are folded into it."""
    kind = choices.ApprovalKind(group[0].kind)
    number = len(group)
    act_id = uuid4()
    fields = humanize.count_with_noun(number, "field")
    subject = {
        choices.ApprovalKind.ITEMS: f"the removal of {humanize.count_with_noun(number, 'item')} on Monday",
        choices.ApprovalKind.RECORDS: f"the deletion of {registry.count_of_type(number, group[0].entity_type)} in NPD",
        choices.ApprovalKind.CLEAR_MONDAY: f"the emptying of {fields} on Monday",
        choices.ApprovalKind.CLEAR_NPD: f"the emptying of {fields} in NPD",
    }[kind]
    return [
        Decision(
            entity_type=act.entity_type,
            entity_id=act.entity_id,
            remote_id=act.remote_id,
            key=act.key,
            kind="approval",
            sentence=f"{verb} {subject}{': ' if number == 1 else ', among them '}{_within(act)}.",
            values=act.values,
            actor=name,
            cause={"by": name, "causes": ["person"]},
            folded=act is not group[-1],
            fold_id=act_id,
        )
        for act in group
    ]


def _within(act: ApprovalRequest) -> str:
    return act.label.replace("The ", "the ", 1) if act.kind == choices.ApprovalKind.ITEMS else act.label


# A request whose cause is gone is released, even where no pass comes to notice it.


UNSETTLED_TOMBSTONES = (choices.TombstoneState.WAITING, choices.TombstoneState.PENDING_APPROVAL)
CLEARS = (choices.ApprovalKind.CLEAR_MONDAY, choices.ApprovalKind.CLEAR_NPD)


def release_obsolete(ids: Collection[UUID] | None = None) -> int:
    """End every open request whose cause is gone, or those of these records; returns how many were released or done."""
    requests = ApprovalRequest.objects.filter(state__in=OPEN_REQUEST_STATES)
    requests = requests if ids is None else requests.filter(entity_id__in=ids)
    return sum(_release_of_type(spec, requests.filter(entity_type=spec.entity_type)) for spec in registry.entities())


def _release_of_type(spec: EntitySpec, requests: models.QuerySet[ApprovalRequest]) -> int:
    acts = requests.filter(kind=choices.ApprovalKind.ITEMS)
    tombstones = Tombstone.objects.filter(entity_type=spec.entity_type, entity_id=models.OuterRef("entity_id"))
    # The item has left the board, so an approved request was carried out.
    removed = tombstones.filter(state__in=(choices.TombstoneState.ARCHIVED, choices.TombstoneState.DELETED))
    ended = _close_requests(acts.filter(models.Exists(removed)), carried_out=True)
    # A tombstone that is settled, or no longer exists, wants nothing deleted.
    ended += _close_requests(acts.exclude(models.Exists(tombstones.filter(state__in=UNSETTLED_TOMBSTONES))))

    acts = requests.filter(kind=choices.ApprovalKind.RECORDS)
    records = spec.model._default_manager.filter(pk=models.OuterRef("entity_id"))
    # The record is deleted, so an approved request was carried out.
    ended += _close_requests(acts.exclude(models.Exists(records)), carried_out=True)
    # A record that is unlinked, unsynced, or whose item was restored needs no deletion.
    unlinked = records.filter(models.Q(monday_id=None) | models.Q(sync_status=choices.RecordSyncStatus.DISABLED))
    ledgers = SyncMetadata.objects.of(spec.entity_type).filter(removed_since=None)
    restored = ledgers.filter(entity_id=Cast(models.OuterRef("entity_id"), models.TextField()))
    ended += _close_requests(acts.filter(models.Exists(unlinked) | models.Exists(restored)))

    # A field can be emptied only while it is mapped and its record is synced and has an item.
    synced = records.exclude(monday_id=None).exclude(sync_status=choices.RecordSyncStatus.DISABLED)
    mapped = FieldMapping.objects.filter(link__entity_type=spec.entity_type, key=models.OuterRef("key"))
    syncable = models.Exists(synced) & models.Exists(mapped.exclude(column_id=""))
    return ended + _close_requests(requests.filter(kind__in=CLEARS).exclude(syncable))


def _close_requests(acts: models.QuerySet[ApprovalRequest], *, carried_out: bool = False) -> int:
    """An approved request whose aim is reached was carried out, a rejected one was kept.

    All others are released.
    """
    ids = list(acts.values_list("pk", flat=True))
    if not ids:
        return 0
    open_requests = ApprovalRequest.objects.filter(pk__in=ids, state__in=OPEN_REQUEST_STATES)
    decided, end = (
        (choices.ApprovalState.APPROVED, choices.ApprovalState.DONE)
        if carried_out
        else (choices.ApprovalState.REJECTED, choices.ApprovalState.KEPT)
    )
    # Decided ones first; whatever is left open after that is released.
    ended = open_requests.filter(state=decided).update(state=end, at=SyncNow())
    return ended + open_requests.update(state=choices.ApprovalState.RELEASED, at=SyncNow())
