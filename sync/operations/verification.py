"""The verification of a board, during its comparison: whether the records that say “synced” are the same on both sides.

Only records that have nothing on its way count. Those that differ from their items have drifted; Home and the log say
so.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from sync import choices, registry
from sync.boards.webhooks import LONGEST_DELAY
from sync.clock import SyncNow, parse_moment, sync_now
from sync.fields import field_values
from sync.kernel import humanize
from sync.merge import Action
from sync.models import BoardLink
from sync.monday.board_items import Item
from sync.operations import dry_run
from sync.outbox.claim import Claim
from sync.reconcile import pass_plan
from sync.reconcile.board_filter import record_verdict
from sync.reconcile.facts import RecordFacts
from sync.reconcile.gather.record_facts import read_facts
from sync.words.message import Message, sentences

log = structlog.get_logger(__name__)

# Drifted records that are stored for the board's page.
MAX_DIFFERENCES = 20

# Takes the place of the fields of a drifted record whose item isn't listed.
UNLISTED = {"key": "", "words": Message("item_not_shown")}

# A record that says `synced` though it differs from its item, the item, and its fields as in `BoardLink.differences`.
Drift = tuple[RecordFacts, Item | None, list[dict[str, str]]]


class Verification:
    """The records of a board that were verified, and those of them that have drifted."""

    def __init__(self) -> None:
        self.verified = 0
        self.drifted = 0
        self.differences = list[dict[str, Any]]()  # the first drifted records, with their fields
        self.newest_drift: datetime | None = None  # when the last of their items was changed, as Monday says

    def add_page(self, page: dry_run.PlannedPass) -> None:
        """Verify the records of a page of the listing."""
        drifted = []
        for plan in page.synced_plans if not page.unread_reason else ():
            if not _is_verifiable(plan.facts, page.busy):
                continue
            fields = differing_fields(plan) if plan.id in page.changed else []
            if fields is None:
                continue
            if not fields:
                self.verified += 1
            elif not _may_be_on_its_way(plan.facts, plan.item):
                drifted.append((plan.facts, plan.item, fields))
        self._add_drifted(page.facts.board, drifted)

    def add_unlisted(self, board: field_values.BoardContext, ids: Collection[UUID]) -> None:
        """Verify the records whose items a complete listing lacks: those that say `synced` have drifted."""
        drifted = [
            (facts, None, [UNLISTED])
            for facts in _verifiable_records(board, ids).values()
            if facts.record.may_sync
            and not _may_be_on_its_way(facts, None)
            # It is drift, too, if the filter can't tell.
            and record_verdict(board, facts.record).holds is not False
        ]
        self._add_drifted(board, drifted)

    def _add_drifted(self, board: field_values.BoardContext, drifted: Sequence[Drift]) -> None:
        """Count the drifted records, except those that a pass or a save may have changed since they were loaded."""
        if not drifted:
            return
        reloaded = _verifiable_records(board, [before.id for before, _, _ in drifted])
        for before, item, fields in drifted:
            later = reloaded.get(before.id)
            is_unchanged = (
                later is not None
                and later.record.monday_id == before.record.monday_id
                and later.sync_state.base == before.sync_state.base
                and all(
                    field_values.still_holds(later.record, field_values.local_values(before.record, mapping))
                    for mapping in board.mappings
                )
            )
            if not is_unchanged:
                continue
            self.verified += 1
            self.drifted += 1
            edited_at = parse_moment(item.updated_at) if item else None
            self.newest_drift = max(filter(None, (self.newest_drift, edited_at)), default=None)
            if len(self.differences) < MAX_DIFFERENCES:
                self.differences.append({"record": str(before.id), "name": str(before.record), "fields": fields})

    def store(self, link: BoardLink) -> None:
        # Not if the link has another board meanwhile.
        BoardLink.objects.filter(pk=link.pk, board_id=link.board_id).update(
            verified_at=SyncNow(),
            verified_records=self.verified,
            differed_records=self.drifted,
            differences=self.differences,
        )
        if self.drifted:
            log.error("drift", board=link.entity_type, compared=self.verified, differed=self.drifted)


def verification_sentence(links: Collection[BoardLink]) -> str:
    """Return what the last verification of these boards found."""
    verified_at = max((link.verified_at for link in links if link.verified_at), default=None)
    compared = sum(link.verified_records for link in links)
    if verified_at is None or not compared:
        return Message("not_verified")
    span = humanize.time_span((sync_now() - verified_at).total_seconds())
    differed = sum(link.differed_records for link in links)
    code = "verified_with_differences" if differed else "verified"
    unverified = [registry.board_title(link.entity_type) for link in links if link.board_id and not link.verified_at]
    rest = Message("not_verified", boards=humanize.join_first(sorted(unverified))) if unverified else ""
    return sentences(Message(code, span=span, differed=differed, compared=compared), rest)


def differing_fields(plan: pass_plan.RecordPlan) -> list[dict[str, str]] | None:
    """Return the fields that differ from their base, for `BoardLink.differences`; None if a value can't be read now."""
    # Blocked fields have their own note on the record.
    compared = [field_plan for key, field_plan in plan.fields.items() if key not in plan.sync_state.blocked_fields]
    if any(field_plan.decision.action is Action.UNDECIDED for field_plan in compared):
        return None
    differing = []
    for field_plan in compared:
        # Equal on both sides and never synced: only the base is missing.
        is_first_agreement = field_plan.decision.action is Action.AGREED and field_plan.base is None
        if field_plan.decision.action is Action.NOTHING or is_first_agreement:
            continue
        npd = field_plan.display_local(field_plan.local_raw)
        monday = field_plan.converter.display_remote(field_plan.remote_raw)
        entry = {"key": field_plan.key, "npd": npd, "monday": monday}
        code = "differs_unsynced"
        if field_plan.base is not None:
            code = "differs"
            entry["agreed"] = field_plan.display_local(field_plan.base["local"])
        entry["words"] = Message(code, label=field_plan.mapping.label, **entry)
        differing.append(entry)
    return differing


def _verifiable_records(board: field_values.BoardContext, ids: Iterable[UUID]) -> dict[UUID, RecordFacts]:
    """Load those of the records that can be verified now."""
    records = read_facts(board, [Claim(record_id, None, []) for record_id in sorted(ids)]).records
    busy = dry_run.records_with_jobs(board.link, [facts.id for facts in records])
    return {facts.id: facts for facts in records if _is_verifiable(facts, busy)}


def _is_verifiable(facts: RecordFacts, busy: Collection[UUID]) -> bool:
    """Whether the record says `synced` and has no open job, intent or event."""
    says_synced = facts.record.monday_id and facts.record.sync_status == choices.RecordSyncStatus.SYNCED
    return bool(says_synced) and facts.id not in busy and not facts.open_intents and not facts.history.unchecked_events


def _may_be_on_its_way(facts: RecordFacts, item: Item | None) -> bool:
    """Whether the item's last change or the last pass is so recent that a webhook may still arrive."""
    edited = parse_moment(item.updated_at) if item else None
    moments = (edited, facts.sync_state.last_sync_attempt)
    return any(moment is not None and sync_now() - moment < LONGEST_DELAY for moment in moments)
