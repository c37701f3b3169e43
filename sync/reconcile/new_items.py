"""What becomes of an item that no record has.

Decides of docs/reference/merge.md, “A record and its item”, the rows *none | …*, and of the items that bear an NPD ID
those of a linked record (*a second item bears its NPD ID*; duplicates.py has the rest) and of a deleted one (*new or
late, bearing the tombstone's NPD ID*).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.core.exceptions import ValidationError

from sync.boards.sync_filter import FilterSide
from sync.choices import SyncDirection, TombstoneState
from sync.kernel.messages import UnmatchedReason, unmatched_sentence
from sync.models import IgnoredItem, SyncedModel, Tombstone
from sync.monday.board_items import Item
from sync.monday.conversion import AmbiguousSplit, UnknownValue
from sync.reconcile.board_filter import exclusion_sentence, item_verdict, record_verdict
from sync.reconcile.facts import STALE_READ_WINDOW, ItemContext, ItemFacts, LockedItem
from sync.reconcile.field_values import (
    BoardContext,
    RelatedNotFound,
    as_uuid,
    clean_values,
    is_active_on,
    item_data,
    item_values,
    match_text_of_item,
    match_text_of_record,
    named_by,
    npd_id_of,
    related_reference,
    stored_values,
    update_values,
)
from sync.reconcile.identity import ANSWERED, answered_items, asked_by, link_problem, owner_question, quoted_names
from sync.reconcile.pass_plan import (
    GIVING,
    IDENTIFIED,
    OFF_BOARD_STATES,
    REPORTED_STATES,
    ItemAct,
    ItemPlan,
    Outcome,
    PassFacts,
    Plan,
    RecordPlan,
)
from sync.reconcile.removed_items import edits_since_agreed
from sync.records.inbox import UNMATCHED_ITEM_WAIT_SECONDS
from sync.records.tombstones import OPEN_TOMBSTONE_STATES, REMOVED_TOMBSTONE_STATES
from sync.records.unmatched_items import IGNORED, UnmatchedFinding
from sync.registry import target_of

# What is noted of an item that no record has.


def item_finding(board: BoardContext, facts: ItemFacts, reason: UnmatchedReason, **details: str) -> UnmatchedFinding:
    name, values = (facts.item.name, item_values(board, facts.item)) if facts.item else ("", {})
    return UnmatchedFinding(facts.item_id, name, reason, details, values)


def listed_finding(board: BoardContext, item: Item) -> UnmatchedFinding:
    """Return what a listing says of an item that no record has, until its pass finds out why."""
    reason, details = UnmatchedReason.QUEUED, _type_words(board)
    verdict = item_verdict(board, item)
    if verdict.holds is False:
        reason = UnmatchedReason.LEFT_OUT
        details["filter"] = exclusion_sentence(board, FilterSide.ITEM, verdict)
    elif not board.link.creates_records:
        reason = UnmatchedReason.NO_KEY if match_text_of_item(board, item) == "" else UnmatchedReason.CREATION_OFF
    return UnmatchedFinding(item.id, item.name, reason, details, item_values(board, item))


def _type_words(board: BoardContext) -> dict[str, str]:
    """Return how sentences call the board's records, and what they are matched by."""
    opts = board.model._meta
    label = board.match_mapping.label.lower() if board.match_mapping else "key"
    return {"label": label, "type": str(opts.verbose_name), "types": str(opts.verbose_name_plural)}


# The rule. Items are decided one after another: a later one sees the record that an earlier one became, or was linked
# with, as if that were written already.


def decide_items(context: ItemContext, items: Sequence[ItemFacts]) -> tuple[ItemPlan, ...]:
    plans: list[ItemPlan] = []
    for facts in items:
        plans.append(decide_item(context, facts, plans))
    return tuple(plans)


def decide_item(context: ItemContext, facts: ItemFacts, before: Sequence[ItemPlan] = ()) -> ItemPlan:
    """Return what becomes of an item; `before` is what was decided of the pass's items before it."""
    if not is_active_on(context.board, facts.item):
        return _gone(context.board, facts)
    assert facts.item is not None
    return _ItemRule(context, facts, facts.item, before).decide()


def wants_records(context: ItemContext, facts: ItemFacts) -> bool:
    """Whether it has to be known which records the item could be; not of one that waits, or is not on the board."""
    if facts.item is None or not is_active_on(context.board, facts.item):
        return False
    rule = _ItemRule(context, facts, facts.item)
    return rule.owner_of_other_type is None and rule.wait() is None


def _gone(board: BoardContext, facts: ItemFacts) -> ItemPlan:
    """The deleted records whose item it was find out what that means."""
    item, closes = facts.item, ""
    own = [tombstone for tombstone in facts.tombstones if tombstone.entity_type == board.link.entity_type]
    of_item = [t for t in own if t.monday_id == facts.item_id and t.state != TombstoneState.RESTORED]
    # Also of one that is settled an edit may be told that a write of ours went over.
    waiting = [t for t in of_item if t.state in OPEN_TOMBSTONE_STATES or facts.events.has_new_edit]
    if item is not None and item.state in REPORTED_STATES:
        closes = f"The item “{item.name}” was {item.state} on Monday, so there is nothing to ask any more."
    woken = tuple(tombstone.entity_id for tombstone in waiting)
    return ItemPlan(facts, detail="There is no such active item on the board.", woken=woken, closes=closes)


@dataclass(frozen=True)
class _ItemRule:
    """The table “a record and its item” for one active item of the board."""

    context: ItemContext
    facts: ItemFacts
    item: Item
    before: Sequence[ItemPlan] = ()

    @property
    def board(self) -> BoardContext:
        return self.context.board

    def decide(self) -> ItemPlan:
        if (owner := self.owner_of_other_type) is not None:
            kind = owner._meta.verbose_name
            detail = f"It is the item of the {kind} “{owner}”, moved here; what becomes of it is asked there."
            return ItemPlan(self.facts, detail=detail)
        if (waiting := self.wait()) is not None:
            return waiting
        return self._link_chosen() if self.facts.chosen_id is not None else self._settle_unowned()

    def _settle_unowned(self) -> ItemPlan:
        if (owner := self.facts.owner or self.context.linked.get(self.item.id)) is not None:
            return ItemPlan(self.facts, detail=f"It is the item of “{owner}” by now.", act=ItemAct.OWNED, record=owner)
        tombstone, ignored = self._tombstone, self.facts.ignored
        # By this deleted record, or by another one that had the item after it.
        was_unlinked = tombstone and (tombstone.state == TombstoneState.UNLINKED or (ignored and ignored.unlinked))
        # One that was unlinked bears no NPD ID: what is remembered of it decides, as of any item.
        if tombstone and (npd_id_of(self.board, self.item) or not was_unlinked):
            return self._settle_deleted(tombstone)
        verdict = item_verdict(self.board, self.item)
        if verdict.holds is not True:
            detail = exclusion_sentence(self.board, FilterSide.ITEM, verdict)
            until = self.context.now + self._unreadable_wait if verdict.holds is None else None
            return self._left(UnmatchedReason.LEFT_OUT, until=until, filter=detail)
        named = self.context.now
        if not self._match_key:
            named = (self.facts.known_since or named) + self.context.nameless_wait
        if named > self.context.now and not self.facts.may_create:
            words = _type_words(self.board)
            # In UTC: it is stored, and read in many time zones.
            now, at = self.context.now.astimezone(UTC), named.astimezone(UTC)
            when = f"at {at:%H:%M} UTC" if at.date() == now.date() else f"on {at:%-d %b %Y}"
            then = f"Becomes a {words['type']} {when}." if self.board.link.creates_records else ""
            return self._left(UnmatchedReason.NO_KEY_YET, until=named, label=words["label"], then=then)
        return self._match_or_create()

    # What was so when the pass began, as the plans before this one leave it.

    @property
    def owner_of_other_type(self) -> SyncedModel | None:
        """It stays that record's until a person has said what becomes of it."""
        owner = self.facts.owner
        return owner if owner is not None and not isinstance(owner, self.board.model) else None

    def _as_given(self, record: SyncedModel, *, by_person: bool = False) -> SyncedModel:
        """The record with the item that this pass gives it; a person's choice comes before what its own rules find."""
        given = [plan.record for plan in self.before if plan.act in GIVING and plan.record]
        given += [] if by_person else self.context.linked.values()
        return next((one for one in given if one.pk == record.pk), record)

    @property
    def _named(self) -> SyncedModel | None:
        if self.facts.named is not None:
            return self._as_given(self.facts.named)
        npd_id = as_uuid(npd_id_of(self.board, self.item) or "")
        return next((one for one in self._made if one.pk == npd_id), None)

    @property
    def _matching(self) -> list[SyncedModel]:
        found, key = [self._as_given(record) for record in self.facts.matching], self._match_key
        return found + [one for one in self._made if key and match_text_of_record(self.board, one) == key]

    @property
    def _made(self) -> list[SyncedModel]:
        return [plan.record for plan in self.before if plan.act is ItemAct.CREATE and plan.record]

    @property
    def _tombstone(self) -> Tombstone | None:
        """The deleted record to which the item belongs, by its NPD ID, else as the item that it had.

        An item that bears the NPD ID of a record that is there belongs to that one.
        """
        if self._named is not None:
            return None
        changed = {plan.tombstone.pk: plan.tombstone for plan in self.before if plan.tombstone}
        known = [changed.get(tombstone.pk, tombstone) for tombstone in self.facts.tombstones]
        own = [
            tombstone
            for tombstone in known
            if tombstone.entity_type == self.board.link.entity_type and tombstone.state != TombstoneState.RESTORED
        ]
        npd_id = as_uuid(npd_id_of(self.board, self.item) or "")
        by_npd_id = next((tombstone for tombstone in own if npd_id and tombstone.entity_id == npd_id), None)
        return by_npd_id or next((tombstone for tombstone in own if tombstone.monday_id == self.item.id), None)

    @property
    def _match_key(self) -> str | None:
        return match_text_of_item(self.board, self.item)

    # How its job ends.

    def _left(
        self, reason: UnmatchedReason, *, detail: str = "", until: datetime | None = None, **details: str
    ) -> ItemPlan:
        """No record has it, for this reason; it is left alone, for good or for a while."""
        finding = item_finding(self.board, self.facts, reason, **details)
        return self._end(detail or unmatched_sentence(reason, **details), until, finding)

    def _end(self, detail: str, until: datetime | None = None, finding: UnmatchedFinding | None = None) -> ItemPlan:
        if until is None:
            return ItemPlan(self.facts, detail=detail, finding=finding)
        seconds = (until - self.context.now).total_seconds()
        return ItemPlan(self.facts, Outcome.DEFERRED, detail, seconds, finding=finding)

    def wait(self) -> ItemPlan | None:
        """It is left alone for a while: a call is in the air, it isn't quiet, or can't be read."""
        facts, now = self.facts, self.context.now
        # The call may part a duplicate from its record: until it has landed, or can't any more, it looks unmatched.
        if facts.unconfirmed_until:
            return self._left(UnmatchedReason.UNCONFIRMED, until=facts.unconfirmed_until)
        if facts.chosen_id is not None:
            return None
        last = facts.events.last
        if last and (quiet := last + timedelta(seconds=UNMATCHED_ITEM_WAIT_SECONDS)) > now:
            return self._left(UnmatchedReason.BEING_EDITED, until=quiet)
        if self._match_key is None:
            label = _type_words(self.board)["label"]
            return self._left(UnmatchedReason.KEY_UNREADABLE, until=now + self._unreadable_wait, label=label)
        if npd_id_of(self.board, self.item) is None:
            return self._left(UnmatchedReason.NPD_ID_UNREADABLE, until=now + self._unreadable_wait)
        return None

    @property
    def _unreadable_wait(self) -> timedelta:
        """A column known to be gone wakes its items when it is back (board_columns.py); until then it is left alone."""
        match = self.board.match_mapping
        is_missing = self.board.link.npd_id_problem or (match is not None and match.problem)
        return timedelta(minutes=30 if is_missing else 1)

    # Which record it is.

    def _match_or_create(self) -> ItemPlan:  # noqa: PLR0911 - a table
        ignored, facts = self.facts.ignored, self.facts
        if ignored and not facts.may_create and (ignored.unlinked or ignored.entity_id is None):
            return self._ignored(ignored)
        owner = self._named
        if owner is not None and (detail := self._owner_exclusion(owner)):
            return self._left(UnmatchedReason.LEFT_OUT, filter=detail)
        if owner is not None:
            return self._settle_with_npd_id(owner)
        found = self._matching if not facts.as_new else []
        found = [record for record in found if not ignored or record.pk != ignored.entity_id]
        hits = [record for record in found if not self._record_exclusion(record)]
        if found and not hits:
            return self._left(UnmatchedReason.LEFT_OUT, filter=self._record_exclusion(found[0]))
        if len(hits) == 1 and hits[0].monday_id is None and hits[0].may_sync:
            return self._link(hits[0])
        if hits:
            return self._ask(hits)
        if not self.board.link.creates_records and not facts.may_create:
            detail = "No record matches, and new items of this board don't become records (a setting of the board)."
            reason = UnmatchedReason.CREATION_OFF if self._match_key else UnmatchedReason.NO_KEY
            return self._end(detail, finding=item_finding(self.board, facts, reason, **_type_words(self.board)))
        if self.board.link.creates_held and not self._match_key and not facts.may_create:
            until = self.context.now + timedelta(minutes=30)
            return self._left(UnmatchedReason.CREATES_HELD, until=until, **_type_words(self.board))
        return self._create()

    def _ignored(self, ignored: IgnoredItem) -> ItemPlan:
        plan = replace(self._end(f"It is ignored: {ignored.reason}"), keeps_finding=True)
        if not ignored.unlinked:
            finding = item_finding(self.board, self.facts, UnmatchedReason.INVALID, problems=ignored.reason)
            return replace(plan, finding=finding)
        if self.facts.claim.payload.get(IGNORED):
            return replace(plan, closes=f"The item “{self.item.name}” is ignored, so there is nothing to ask any more.")
        return plan

    def _record_exclusion(self, record: SyncedModel) -> str:
        """Why the filter lets the item not be this record's; empty where it does."""
        verdict = record_verdict(self.board, record)
        if verdict.holds is True:
            return ""
        detail = exclusion_sentence(self.board, FilterSide.RECORD, verdict)
        return f"{detail} That is so of “{record}”, whose item it would be."

    def _owner_exclusion(self, owner: SyncedModel) -> str:
        """Why the filter leaves the record alone whose NPD ID the item bears; a pair is out by its own item, too."""
        if owner.monday_id is not None and owner.is_left_out:
            return f"The filter leaves “{owner}” out, whose NPD ID it has. Both items keep it."
        return self._record_exclusion(owner)

    def _settle_with_npd_id(self, owner: SyncedModel) -> ItemPlan:  # noqa: PLR0911 - a table
        """The item bears the NPD ID of a record that is there."""
        if owner.monday_id is None and owner.may_sync:
            return self._link(owner)
        if owner.monday_id is not None and not owner.may_sync:
            detail = f"It has the NPD ID of “{owner}”, whose sync is off. Nothing was done."
            return self._left(UnmatchedReason.SYNC_OFF, detail=detail, names=f"“{owner}”")
        if self._may_take_place(owner):
            if waiting := self._wait_for_first(owner):
                return waiting
            sentence = f"Its item left the board; “{self.item.name}” has its NPD ID, and is its item now."
            return self._give(owner, ItemAct.REPLACE, sentence)
        if owner.monday_id is not None:
            plan = self._left(UnmatchedReason.DUPLICATE, names=f"“{owner}”")
            if self.facts.named is None or self.facts.named.monday_id != owner.monday_id:
                # The record gets its own item by this pass: nothing is done to a second one before that is stored.
                return replace(plan, outcome=Outcome.RELEASED)
            return replace(plan, outcome=Outcome.OPEN, act=ItemAct.DUPLICATE, record=owner)
        return self._ask([owner])

    def _may_take_place(self, owner: SyncedModel) -> bool:
        """Whether it may take the place of the record's own item, which was archived or deleted.

        A person duplicated the item and archived the first; or a restored database knows only the item of before.
        Taken for duplicates, the living ones would lose their NPD ID, or leave the board after the first. One that says
        by its match key that it is somebody else by now (duplicated as a form to fill in) is a duplicate all the same:
        a person is asked.
        """
        first, key = self.facts.first_item, self._match_key
        if first is None or first.id != owner.monday_id or first.state not in REPORTED_STATES or key is None:
            return False
        # It shows the match key of the record, or the one with which the first item left.
        return key in (match_text_of_record(self.board, owner), match_text_of_item(self.board, first))

    def _wait_for_first(self, owner: SyncedModel) -> ItemPlan | None:
        """What was edited on the first item and never synced would be nowhere: a person decides about that one first.

        Whoever keeps the record then has it linked with this item, which bears its NPD ID. What was edited in NPD is
        merged with this one.
        """
        first = self.facts.first
        if first is None or first.item is None or not any(one.reason for one in edits_since_agreed(self.board, first)):
            return None
        detail = (
            f"“{first.item.name}”, the item of “{owner}”, left the board with values that were never synced. First "
            "decide what happens to the record."
        )
        until = self.context.now + timedelta(minutes=30)
        plan = self._left(UnmatchedReason.DUPLICATE, detail=detail, until=until, names=f"“{owner}”")
        return plan if first.ledger.remote_state in OFF_BOARD_STATES else replace(plan, woken=(owner.pk,))

    def _settle_deleted(self, tombstone: Tombstone) -> ItemPlan:
        """Never a new record by itself: the deleted record's own pass decides, as of an item that is there."""
        now, item = self.context.now, self.item
        name = tombstone.data.get("name", "a record")
        detail = f"It belongs to “{name}”, which was deleted in NPD."
        if item.id in self.context.deleted_items:
            return self._end(f"{detail} This sync decided what happens to it.")
        if tombstone.state in (TombstoneState.KEPT, TombstoneState.UNLINKED):
            woken = (tombstone.entity_id,) if self.facts.events.has_new_edit else ()
            return replace(self._end(f"{detail} The item stays, and makes no new record."), woken=woken)
        stale_until = tombstone.settled_at and tombstone.settled_at + STALE_READ_WINDOW
        if stale_until and stale_until > now:
            # Monday may still show it as it was before our call.
            return self._end(f"{detail} It has left the board, as far as is known.", stale_until)
        changed = None
        if item.id != tombstone.monday_id:
            if tombstone.state in OPEN_TOMBSTONE_STATES and tombstone.monday_id:
                # How long to leave a second item of a deletion: one that waits for a person, or fails, may take days.
                soon = tombstone.state == TombstoneState.WAITING and tombstone.deleted_at + timedelta(hours=1) > now
                return self._end(f"{detail} Its first item comes first.", now + timedelta(minutes=1 if soon else 30))
            # A deletion that was settled waits again: it was not this item that left the board.
            changed = copy(tombstone)
            changed.monday_id = item.id
            changed.state = TombstoneState.WAITING if tombstone.state in REMOVED_TOMBSTONE_STATES else tombstone.state
        plan = self._end(f"{detail} It is synced with that record.")
        return replace(plan, tombstone=changed, woken=(tombstone.entity_id,))

    def _link_chosen(self) -> ItemPlan:
        """A person chose the record: it is linked where it still can be; else the item stands as before."""
        chosen = self._as_given(self.facts.chosen, by_person=True) if self.facts.chosen else None
        problem = link_problem(chosen, self.facts.owner)
        if chosen is None or problem:
            return not_linked(self.facts, problem)
        plan = self._give(chosen, ItemAct.LINK, f"Linked with the item “{self.item.name}”, as a person chose.")
        closes = f"The item “{self.item.name}” was linked with “{chosen}”, so there is nothing to ask any more."
        return replace(plan, closes=closes)

    def _link(self, record: SyncedModel) -> ItemPlan:
        return self._give(record, ItemAct.LINK, f"Linked with the item “{self.item.name}” on the board.")

    def _give(self, record: SyncedModel, act: ItemAct, sentence: str) -> ItemPlan:
        """The record's own pass merges the two sides and writes the NPD ID."""
        given = _with_item(record, self.item.id)
        return replace(self._end(f"Linked with {record}."), act=act, record=given, sentence=sentence)

    def _ask(self, hits: Sequence[SyncedModel]) -> ItemPlan:
        question = owner_question(hits, self.item, item_data(self.board, self.item))
        detail = f"Who is this? {question['what']}"
        plan = self._left(UnmatchedReason.AMBIGUOUS, detail=detail, names=quoted_names(hits))
        return replace(plan, act=ItemAct.ASK, asked=tuple(hits), question=question)

    def _create(self) -> ItemPlan:
        # The NPD ID that it bears was a record's that is here no more (a restored database); else it is a new one.
        npd_id = as_uuid(npd_id_of(self.board, self.item) or "")
        new_id = self.facts.new_id if npd_id is None or self.facts.as_new or self.facts.is_npd_id_taken else npd_id
        assert new_id is not None
        record, found = record_from_item(self.board, self.item, new_id, self.context.related.get(self.item.id, {}))
        if problems := " ".join(found):
            return replace(self._left(UnmatchedReason.INVALID, problems=problems), problems=problems)
        if (verdict := record_verdict(self.board, record)).holds is not True:
            detail = exclusion_sentence(self.board, FilterSide.RECORD, verdict)
            detail = f"{detail} A record created from it would not match, so none was created."
            return self._left(UnmatchedReason.LEFT_OUT, filter=detail)
        closes = f"“{self.item.name}” became a record of its own, so there is nothing to ask any more."
        sentence = f"Created from the item “{self.item.name}” on the board."
        return replace(
            self._end(f"Became {record}."),
            act=ItemAct.CREATE,
            record=record,
            sentence=sentence,
            closes=closes if self.facts.as_new else "",
        )


def record_from_item(
    board: BoardContext, item: Item, new_id: UUID, related: Mapping[str, SyncedModel | str]
) -> tuple[SyncedModel, list[str]]:
    """Return a record with the item's values, and why it can't be made, in sentences.

    A value that NPD can't take stays on the board and is blocked there, but for those that NPD requires. `related` are
    the records that its relations name, by field, or why there is none.
    """
    record, problems = board.model(id=new_id, monday_id=item.id), list[str]()
    for mapping in board.mappings:
        one_way = mapping.direction in (SyncDirection.NPD_TO_MONDAY, SyncDirection.NONE)
        if not mapping.column_id or (one_way and not mapping.required):
            continue
        convert = board.converter(mapping, record)
        try:
            raw = convert.to_local(
                convert.stored_value(item.reading(mapping.column_id)), stored_values(record, mapping)
            )
            named = {name: _related(related[name]) for name, value in raw.items() if value and name in related}
            references = {name: related_reference(one) for name, one in named.items()}
            values = clean_values(record, {**raw, **references})
            for name, value in (update_values(board.model, values) | named).items():
                setattr(record, name, value)
        except (UnknownValue, AmbiguousSplit, ValidationError, RelatedNotFound) as invalid:
            if mapping.required:
                problems.append(f"{mapping.label}: {invalid}")
    return record, problems


def _related(found: SyncedModel | str) -> SyncedModel:
    if isinstance(found, str):
        raise RelatedNotFound(found)
    return found


def not_linked(facts: ItemFacts, why: object) -> ItemPlan:
    """Return that an item could not be linked as a person chose; it stands as before."""
    return ItemPlan(facts, detail=f"It could not be linked. {why}", keeps_finding=True)


# What still holds of it as it is written.


def item_as_locked(board: BoardContext, plan: ItemPlan, now: LockedItem) -> ItemPlan:
    """Return the plan where it still holds by the rows as they are locked; else that nothing is done after all."""
    if plan.act in GIVING and plan.facts.chosen_id is not None:
        problem = link_problem(now.records.get(plan.facts.chosen_id), now.owner)
        return not_linked(plan.facts, problem) if problem else plan
    return plan if _still_holds(plan, now) else released(plan)


def _still_holds(plan: ItemPlan, now: LockedItem) -> bool:
    if plan.act is ItemAct.ASK:
        return _standing(plan.asked) == _standing(now.records.values())
    if plan.act in GIVING:
        return _may_be_given(plan, now)
    if plan.tombstone is not None:
        stands = {(one.pk, one.state, one.monday_id) for one in plan.facts.tombstones}
        return now.tombstone is not None and (now.tombstone.pk, now.tombstone.state, now.tombstone.monday_id) in stands
    return True


def _standing(records: Iterable[SyncedModel]) -> dict[UUID, tuple[str | None, bool]]:
    return {record.pk: (record.monday_id, record.may_sync) for record in records}


def _may_be_given(plan: ItemPlan, now: LockedItem) -> bool:
    """Whether nobody has it by now, or has ignored it, or has its match key only since it was decided."""
    facts, record = plan.facts, plan.record
    is_by_key = not facts.as_new if plan.act is ItemAct.CREATE else plan.act is ItemAct.LINK and facts.named is None
    is_found_anew = is_by_key and not now.matching <= {one.pk for one in facts.matching}
    if is_found_anew or (now.ignored is not None and facts.ignored is None):
        return False
    if plan.act is ItemAct.CREATE:
        return True
    current = now.records.get(record.pk) if record else None
    if current is None or now.owner is not None:
        return False
    if plan.act is ItemAct.REPLACE:
        return facts.first_item is not None and current.monday_id == facts.first_item.id
    return current.monday_id is None and current.may_sync


def after_rejection(board: BoardContext, plan: ItemPlan, problem: str, *, is_there: bool) -> ItemPlan:
    """Return what becomes of an item of which NPD's database took no record; `is_there`: it has one by now."""
    if is_there:
        return released(plan)
    finding = item_finding(board, plan.facts, UnmatchedReason.DATABASE_REJECTED, problems=problem)
    detail = unmatched_sentence(UnmatchedReason.DATABASE_REJECTED, problems=problem)
    return ItemPlan(plan.facts, detail=detail, finding=finding)


CHANGED_MEANWHILE = "It changed while it was synced."


def released(plan: ItemPlan, detail: str = CHANGED_MEANWHILE) -> ItemPlan:
    """Return that nothing was done with an item after all, so that its next pass decides anew."""
    return ItemPlan(plan.facts, Outcome.RELEASED, detail, keeps_finding=True)


# The rule of a pass.


def item_context(facts: PassFacts, plan: Plan | None = None) -> ItemContext:
    """Return what is so for all items of a pass, with what its `plan` gives to records already."""
    context = ItemContext(facts.board, facts.now, timedelta(seconds=facts.settings.new_item_wait_seconds))
    if plan is None:
        return context
    shown = {one.facts.tombstone.monday_id for one in plan.open_deleted} & facts.found.linked.keys()
    linked = {key: _with_item(record, key) for key, record in given_items(plan).items()}
    return replace(context, deleted_items=frozenset(map(str, shown)), linked=linked)


def _with_item(record: SyncedModel, item_id: str) -> SyncedModel:
    given = copy(record)
    given.monday_id = item_id
    return given


def given_items(plan: Plan) -> dict[str, SyncedModel]:
    """Return the items that records get by this pass."""
    found = {one.link_to: one.record for one in plan.records.values() if one.link_to}
    return found | {one.facts.item_id: one.record for one in plan.items if one.act in GIVING and one.record}


def decide_unmatched(facts: PassFacts, plan: Plan) -> Plan:
    if not facts.claimed.unmatched:
        return plan
    items = [_with_first_as_planned(item, plan) for item in facts.unmatched]
    context = item_context(facts, plan)
    context = replace(context, related=_related_of_items(facts, context, items))
    answered = answered_items(facts, plan)
    waiting = {item.item_id: released(ItemPlan(item), ANSWERED) for item in items if item.item_id in answered}
    decided = {one.facts.item_id: one for one in decide_items(context, [i for i in items if i.item_id not in waiting])}
    # Nor does an item go to a record of which an answer says that it is another's, or that it has an item.
    named, _, _ = asked_by(one.answer for one in plan.answers if one.done)
    for key, item in decided.items():
        if item.act in GIVING and item.record and item.record.pk in named:
            decided[key] = released(item, ANSWERED)
    plan = replace(plan, items=tuple((waiting | decided)[item.item_id] for item in items))
    given = {one.record.pk: one.facts.item_id for one in plan.items if one.act in GIVING and one.record}
    overruled = [one for one in plan.records.values() if _is_overruled(one, given)]
    return plan.with_records(
        replace(
            one, removal=None, identity=IDENTIFIED, log=tuple(line for line in one.log if line.kind != "link")
        ).drop(Outcome.RELEASED, "It is linked with another item now.")
        for one in overruled
    )


def _with_first_as_planned(item: ItemFacts, plan: Plan) -> ItemFacts:
    """Return it with what this pass found out about the record of which it may be the second item."""
    planned = plan.records.get(item.first.id) if item.first else None
    if item.first is None or planned is None:
        return item
    return replace(item, first=replace(item.first, ledger=planned.ledger))


def _is_overruled(plan: RecordPlan, given: Mapping[UUID, str]) -> bool:
    """Whether the record gets another item than its own pass would find or make, whose absence it may have found; or
    the one that it would find goes to another record.
    """
    own = given.get(plan.id)
    if own is None:
        return plan.link_to in given.values()
    return own != plan.link_to and bool(plan.link_to or plan.creates or plan.removal)


def _related_of_items(
    facts: PassFacts, context: ItemContext, items: Sequence[ItemFacts]
) -> dict[str, dict[str, SyncedModel | str]]:
    """The records that the relations of the unmatched items name, by item and field, or why there is none."""
    board, found = facts.board, dict[str, dict[str, SyncedModel | str]]()
    for one in items:
        named = named_by(board, board.model(), one.item) if one.item and wants_records(context, one) else ()
        for relation, reference in named:
            of_item = found.setdefault(one.item_id, {})
            try:
                of_item[relation.name] = facts.related.find(target_of(relation), reference)
            except RelatedNotFound as missing:
                of_item[relation.name] = str(missing)
    return found
