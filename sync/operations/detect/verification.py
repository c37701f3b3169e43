"""The sampled proof of “synced”: how samples are drawn, compared on both sides, stored and summed up."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db.models import Max, Sum
from django.utils.dateparse import parse_datetime

from sync import registry
from sync.choices import Cause, Priority, RecordSyncStatus
from sync.clock import SyncNow, sync_now
from sync.connectors.base.board_items import Item
from sync.connectors.base.errors import BudgetExhausted, ConnectorError
from sync.kernel import humanize
from sync.limits import metered_client, quota
from sync.limits.pass_budget import board_costs, call_cost
from sync.merge import Unknown
from sync.models import BoardLink, SyncAudit
from sync.models.state import VERIFICATION_WINDOW
from sync.operations.detect.comparison import compared_fields, records_with_jobs
from sync.operations.detect.missed_webhooks import LONGEST_DELAY
from sync.outbox.claim import Claim
from sync.outbox.lease import Lease
from sync.outbox.queue_rows import enqueue_many
from sync.reconcile.batch import Batch, RecordSync
from sync.reconcile.board_filter import item_verdict, record_verdict
from sync.reconcile.field_values import BoardContext, still_holds, stored_values
from sync.reconcile.sides import load
from sync.records import availability
from sync.registry import link_of


@dataclass(frozen=True)
class VerificationResult:
    """When `synced` records were last sampled, how many were compared and differed, and when one last did."""

    at: datetime | None = None
    sampled: int = 0
    drifted: int = 0
    diverged_at: datetime | None = None

    def summary(self, now: datetime) -> str:
        """Return it as a sentence, also where nothing was verified yet."""
        if self.at is None:
            if settings.AUDIT_CALLS_A_DAY <= 0:
                return "Not verified: verification is off (SYNC_AUDIT_CALLS_A_DAY is 0)."
            return (
                "Not verified yet: some synced records are read again within 15 minutes or so, and then several "
                "times a day."
            )
        span = humanize.time_span((now - (self.diverged_at or self.at)).total_seconds())
        if not self.drifted:
            checked = f"{self.sampled:,} of {self.sampled:,} checked records"
            return f"Verified {span} ago: {checked} were the same on both sides."
        return (
            f"Differences, found {span} ago: {self.drifted:,} of {self.sampled:,} checked records said “synced” and "
            "differed. They are synced again, or you are asked."
        )


def latest_verification(entity_type: str | None = None) -> VerificationResult:
    """Return what the last day of samples found, of one type's board or of all."""
    rows = SyncAudit.objects.filter(sampled__gt=0)
    if entity_type is not None:
        rows = rows.filter(entity_type=entity_type)
    newest = rows.aggregate(at=Max("at"))["at"]
    if newest is None:
        return VerificationResult()
    day = rows.filter(at__gt=newest - VERIFICATION_WINDOW)
    diverged = day.filter(drifted__gt=0).aggregate(at=Max("at"))
    sums = day.aggregate(sampled=Sum("sampled"), drifted=Sum("drifted"))
    return VerificationResult(newest, sums["sampled"], sums["drifted"], diverged["at"])


def combine_results(boards: Iterable[VerificationResult]) -> VerificationResult:
    """Return the results of several boards as one."""
    verified_boards = [one for one in boards if one.at is not None]
    return VerificationResult(
        at=max((one.at for one in verified_boards if one.at), default=None),
        sampled=sum(one.sampled for one in verified_boards),
        drifted=sum(one.drifted for one in verified_boards),
        diverged_at=max((one.diverged_at for one in verified_boards if one.diverged_at), default=None),
    )


def verification_summary(entity_type: str | None = None) -> str:
    """Return `latest_verification` as a sentence."""
    return latest_verification(entity_type).summary(sync_now())


# Comparing one record: whether it equals its base on both sides, field by field.


@dataclass(frozen=True)
class Divergence:
    """A difference without a cause: a field's values as displayed, or what is wrong with the item."""

    reason: str
    key: str = ""
    values: dict[str, str] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as stored in SyncAudit.details."""
        return {"key": self.key, "words": self.reason} | (self.values or {})


class UnreadableValue(LookupError):
    """A value can't be read now, so nothing can be said of the record."""


def divergences(board: BoardContext, sample: RecordSync, item: Item | None) -> list[Divergence]:
    """Return what differs between base, NPD and Monday; raises UnreadableValue."""
    if item is None:
        return [Divergence("Monday doesn't show its item.")]
    if item.state != "active":
        return [Divergence(f"Its item is {item.state}.")]
    if item.board_id is not None and item.board_id != board.link.board_id:
        return [Divergence("Its item is on another board.")]
    found = []
    # A relation that is left out of the sync has its own note on the record, and is not compared.
    for mapping, convert, sides in compared_fields(board, sample, item, without=sample.ledger.held):
        known = {"npd": sides.local, "monday": sides.remote} | ({"agreed": sides.base[0]} if sides.base else {})
        for side in (*known.values(), *(sides.base or ())):
            if isinstance(side, Unknown):
                raise UnreadableValue(f"{mapping.label}: {side.reason}")
        if sides.stand or (sides.base is None and sides.equal):
            continue
        values = {name: convert.display(v) for name, v in known.items() if not isinstance(v, Unknown)}
        text = f"{mapping.label}: NPD says “{values['npd']}”, Monday “{values['monday']}”"
        agreed = f", last synced was “{values['agreed']}”." if "agreed" in values else "; it was never synced."
        found.append(Divergence(text + agreed, mapping.key, values))
    return found


# One sample: drawn, read in one call, checked again, stored.


log = structlog.get_logger(__name__)
# As many items as one call can ask for by their ids (developer.monday.com/api-reference/reference/items).
SAMPLE_SIZE = 100
DAY = timedelta(days=1)

MAX_DETAILS = 20


def verify_if_due() -> SyncAudit | None:
    """Take the next sample where the day's calls, spread evenly, have one to spend and no change needs it."""
    calls = settings.AUDIT_CALLS_A_DAY
    if calls <= 0:
        return None
    spent = SyncAudit.objects.filter(at__gt=SyncNow() - DAY).aggregate(calls=Sum("calls"), last=Max("at"))
    is_rested = spent["last"] is None or sync_now() - spent["last"] >= DAY / calls
    if (spent["calls"] or 0) >= calls or not is_rested:
        return None
    if not metered_client.is_configured() or quota.forecast().ends_at is not None:
        return None
    # The board whose last sample is oldest comes first.
    last: dict[str, datetime] = dict(SyncAudit.objects.values_list("entity_type").annotate(Max("at")))
    links = [link for spec in registry.entities() if (link := link_of(spec.entity_type))]
    for link in sorted(links, key=lambda link: (link.entity_type in last, last.get(link.entity_type))):
        if availability.of(link).is_available and (result := verify_board(link)) is not None:
            return result
    return None


def verify_board(link: BoardLink) -> SyncAudit | None:
    """Verify one board with one call; None where there is nothing to sample or the quota has no room."""
    board = BoardContext.load(link)
    synced = board.model._default_manager.filter(sync_status=RecordSyncStatus.SYNCED).exclude(monday_id=None)
    size = min(SAMPLE_SIZE, board_costs(link.pk).size)
    samples = _settled_samples(board, list(synced.order_by("?").values_list("pk", flat=True)[:size]))
    if not samples:
        return None
    try:
        items = _read_items(board, [str(sample.record.monday_id) for sample in samples.values()])
    # Samples come last: where the quota has no call left for one, none is taken.
    except BudgetExhausted:
        return None
    except ConnectorError as error:
        log.warning("verification not read", board=link.entity_type, reason=error.sentence)
        return SyncAudit.objects.create(
            entity_type=link.entity_type, sampled=0, calls=1, details=[{"words": error.sentence}]
        )
    compared, differing, unread = _compare_samples(board, samples, items)
    if differing or unread:
        enqueue_many(link.entity_type, [*differing, *unread], cause=Cause.SWEEP, priority=Priority.SWEEP)
    if differing:
        log.error("drift", board=link.entity_type, sampled=compared, drifted=len(differing))
    names = board.model._default_manager.in_bulk(list(differing)[:MAX_DETAILS])
    details = [
        {"record": str(key), "name": str(names.get(key, "")), "fields": [found.to_json() for found in differing[key]]}
        for key in names
    ]
    return SyncAudit.objects.create(
        entity_type=link.entity_type, sampled=compared, drifted=len(differing), calls=1, details=details
    )


def _settled_samples(board: BoardContext, ids: Iterable[UUID]) -> dict[UUID, RecordSync]:
    """Return those of these records that say `synced` now and have no job, intent or event under way."""
    batch = Batch(Lease(board.link), board, uuid.uuid4(), is_preview=True)
    load(batch, [Claim(key, None, []) for key in sorted(ids)])
    busy = records_with_jobs(batch) | {s.id for s in batch.record_syncs if s.intents or s.events}
    return {
        s.id: s
        for s in batch.record_syncs
        if s.id not in busy and s.record.monday_id and s.record.sync_status == RecordSyncStatus.SYNCED
    }


def _read_items(board: BoardContext, item_ids: Sequence[str]) -> dict[str, Item]:
    """Read the items in one call; raises ConnectorError, also where the board itself is gone."""
    link = board.link
    with call_cost(link, len(item_ids)):
        connector = metered_client.connector(link.system)
        found = connector.read_batch(link.board_id, item_ids, board.columns, link.npd_id_column, [], types=board.types)
    return found.linked


def _compare_samples(
    board: BoardContext, samples: dict[UUID, RecordSync], items: dict[str, Item]
) -> tuple[int, dict[UUID, list[Divergence]], list[UUID]]:
    """Return how many records were compared, what differs, and the records that can't be judged."""
    later, now = _settled_samples(board, samples), sync_now()
    compared, differing, unread = 0, {}, []
    for key, sample in samples.items():
        item = items.get(str(sample.record.monday_id))
        sample.item = item
        # A pair that the filter leaves out, by what either side says now, proves nothing by a difference.
        verdicts = [record_verdict(board, sample.record), *([item_verdict(board, sample.item)] if sample.item else [])]
        if any(verdict.holds is False for verdict in verdicts):
            unread.append(key)
            continue
        try:
            found = divergences(board, sample, item)
        except UnreadableValue:
            unread.append(key)
            continue
        edited = parse_datetime(item.updated_at) if item and item.updated_at else None
        moments = (edited, sample.ledger.last_sync_attempt)
        is_fresh = any(moment is not None and now - moment < LONGEST_DELAY for moment in moments)
        # The change, or its webhook, may be on its way on either side, so it proves no divergence.
        if found and (is_fresh or key not in later or not _is_unchanged(board, sample, later[key])):
            continue
        compared += 1
        if found:
            differing[key] = found
    return compared, differing, unread


def _is_unchanged(board: BoardContext, sample: RecordSync, later: RecordSync) -> bool:
    """Whether NPD still had the same values when it was read again."""
    same = all(still_holds(later.record, stored_values(sample.record, m)) for m in board.mappings)
    return same and later.record.monday_id == sample.record.monday_id and later.ledger.base == sample.ledger.base
