"""Decides what happens to an item that no record has.

Implements, of docs/reference/merge/record-and-item.md:

- R10 to R16, R21 to R23: once nobody has edited it for some seconds, it is linked with the record that has its NPD ID,
  left to the pass of the one that has its match key, asked about if there are several, or becomes a record. A removed
  item ends its job.
- R18, R19: an item with the NPD ID of a linked record is its duplicate (duplicates.py), or
  takes the place of its removed item. If the filter leaves that record out, both items keep the NPD ID, and the nightly
  listing looks at the second one again.
- R17: an item about which a question is open becomes no record meanwhile, unless it gets another match key; one that a
  person called a copy of a record's item is archived, unless it was edited since or that item has left: then the
  question stays, with the reason
- D20 of removed-and-deleted.md: an item with the NPD ID of a deleted record never makes a new record;
  the deleted record's pass decides about it.
"""

from collections.abc import Iterable, Sequence
from copy import copy
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from django.core.exceptions import ValidationError

from conflicts.reports import COPY, ConflictKind, ConflictReport, OpenConflict
from sync.choices import SyncDirection, TombstoneState, UnmatchedReason
from sync.fields import field_values
from sync.fields.field_values import BoardContext
from sync.kernel.acts import ARCHIVE_COPY, CREATE_RECORD, LINK
from sync.kernel.humanize import time_span
from sync.models import ActivityLine, IgnoredItem, SyncedModel, Tombstone
from sync.models.records_and_items import REPORTED_STATES, unmatched_sentence
from sync.monday.board_items import Item
from sync.monday.conversion import AmbiguousSplit, UnknownValue
from sync.monday.lag import ECHO_WINDOW
from sync.monday.text_forms import match_key
from sync.reconcile import outcomes, pass_plan, read_lag
from sync.reconcile.board_filter import item_verdict, record_verdict
from sync.reconcile.facts import CHANGED, ItemFacts, PassFacts
from sync.reconcile.lost_updates import edits_removed_with_item
from sync.reconcile.missing import questions
from sync.reconcile.missing.removed_items import MISSED_EDIT, edits_since_agreed
from sync.records.inbox import UNMATCHED_ITEM_WAIT_SECONDS
from sync.records.item_links import IGNORED_KEY, UnmatchedFinding
from sync.records.tombstones import OPEN_TOMBSTONE_STATES, REMOVED_TOMBSTONE_STATES
from sync.words.message import Message, code_of, reason_of, sentences

# How long an item that can't be read waits for its next check.
CHECK_SOON = timedelta(minutes=1)

# The same for an obstacle that may last for days, until another record's pass, a person or the board changes it. That
# usually wakes the item, and each check costs calls.
CHECK_SELDOM = timedelta(minutes=30)


def decide_unmatched(facts: PassFacts, plan: pass_plan.Plan) -> None:
    """Decide about the items that no record has, one after another."""
    if not facts.item_claims:
        return
    answered_items = questions.answered_items(facts, plan)
    answered_records = {key for answer in plan.applied_answers for key in (answer.asked_id, *answer.record_ids)}
    for item_facts in sorted(facts.unmatched, key=partial(_turn, facts.board)):
        if item_facts.item_id in answered_items:
            plan.items.append(released(item_facts, outcomes.ANSWERED.detail))
            continue
        decided = decide_item(facts, item_facts, plan)
        if decided.assigns and decided.record and decided.record.pk in answered_records:
            decided = released(item_facts, outcomes.ANSWERED.detail)
        plan.items.append(decided)
    _release_overruled_records(plan)


def _turn(board: BoardContext, item_facts: ItemFacts) -> int:
    """Return when an item is decided about: whatever order they come in, the same ones are asked about.

    For one of which a person wants a record nothing is waited for. One with only a name is asked about if another one
    becomes a record of that name.
    """
    item = item_facts.item
    if item_facts.is_creation_requested:
        return 0
    if item is None or field_values.npd_id_of(board, item):
        return 1
    return 2 if field_values.match_key_of_item(board, item) == "" else 1


def _release_overruled_records(plan: pass_plan.Plan) -> None:
    """Release the records that an item overrules, so that the next pass decides about them.

    Either the item takes the place of the one that the plan links, creates or reports as removed, or the plan's item
    goes to another record.
    """
    assigning = [item_plan for item_plan in plan.items if item_plan.assigns]
    item_of_record = {item_plan.record.pk: item_plan.facts.item_id for item_plan in assigning if item_plan.record}
    for record_plan in plan.records.values():
        item_id = item_of_record.get(record_plan.id)
        has_own = bool(record_plan.link_to or record_plan.creates or record_plan.removal)
        is_given_away = item_id is None and record_plan.link_to in item_of_record.values()
        if is_given_away or (item_id is not None and has_own and item_id != record_plan.link_to):
            record_plan.start_anew(outcomes.Ending(outcomes.Outcome.RELEASED, Message("has_another_item_now")))


def decide_item(facts: PassFacts, item_facts: ItemFacts, plan: pass_plan.Plan) -> pass_plan.ItemPlan:
    """Return the plan of an item; `plan` has the records that earlier items of the pass became or are linked with."""
    item = item_facts.item
    if wait := read_lag.wait_for_unmatched_item(facts, item, item_facts.events):
        ending = outcomes.Ending(outcomes.Outcome.DEFERRED, read_lag.UNSHOWN_ITEM, wait)
        return pass_plan.ItemPlan(item_facts, ending, keeps_finding=True)
    if field_values.is_active_on(facts.board, item):
        return _ItemRule(facts, item_facts, plan).decide()
    # Without a record nothing can be lost, so nothing waits.
    tombstones = _tombstones_of_board(facts.board, item_facts.tombstones)
    deleted = [tombstone for tombstone in tombstones if tombstone.monday_id == item_facts.item_id]
    # A settled deletion also gets a pass for a new edit: our write may have overwritten it.
    to_enqueue = [row.entity_id for row in deleted if row.state in OPEN_TOMBSTONE_STATES or item_facts.has_new_edit]
    settled = _settled_item(item_facts, Message("no_such_item"))
    settled.to_enqueue = tuple(to_enqueue)
    if item is not None and item.state in REPORTED_STATES:
        settled.closing_reason = Message("over_item_removed", item=item.name, state=item.state)
    return settled


def _tombstones_of_board(board: BoardContext, tombstones: Iterable[Tombstone]) -> list[Tombstone]:
    """Return those of the board's deleted records, without restored ones."""
    of_type = [tombstone for tombstone in tombstones if tombstone.entity_type == board.link.entity_type]
    return [tombstone for tombstone in of_type if tombstone.state != TombstoneState.RESTORED]


def _settled_item(item_facts: ItemFacts, detail: str) -> pass_plan.ItemPlan:
    return pass_plan.ItemPlan(item_facts, outcomes.Ending(outcomes.Outcome.DONE, detail))


class _ItemRule:
    """The rows of “A record and its item” for one active item of the board."""

    def __init__(self, facts: PassFacts, item_facts: ItemFacts, plan: pass_plan.Plan) -> None:
        assert item_facts.item is not None
        self.facts = facts
        self.item_facts = item_facts
        self.board = facts.board
        self.now = facts.now
        self.item = item_facts.item
        self.plan = plan
        self.match_key = field_values.match_key_of_item(self.board, self.item)
        self.npd_id = field_values.npd_id_of(self.board, self.item)
        self.npd_uuid = field_values.npd_uuid_of(self.board, self.item)

    def decide(self) -> pass_plan.ItemPlan:
        # A person's choice and the item's owner come first, then the deleted record that it belongs to; only what is
        # left is filtered and matched.
        owner = self.item_facts.owner
        if owner is not None and not isinstance(owner, self.board.model):
            # It stays that record's item until a person decides about it.
            return self._end(Message("item_of_other_kind", kind=str(owner._meta.verbose_name), owner=str(owner)))
        if (waiting := self._wait()) is not None:
            return waiting
        if self.item_facts.chosen_id is not None:
            return self._link_chosen()
        owner = owner or self._linked.get(self.item.id)
        if owner is not None:
            item_plan = self._end(Message("item_of_owner_by_now", owner=str(owner)))
            item_plan.record = owner
            return item_plan
        if self._is_asked_as_copy:
            return self._decide_copy()
        tombstone = self._tombstone
        ignored = self.item_facts.ignored
        # It was unlinked from this deleted record, or from a record that had it later.
        was_unlinked = tombstone and (tombstone.state == TombstoneState.UNLINKED or (ignored and ignored.left_alone))
        # An unlinked item has lost its NPD ID: it is decided like an item without a record.
        if tombstone and (self.npd_id or not was_unlinked):
            return self._leave_to_deleted_record(tombstone)
        verdict = item_verdict(self.board, self.item)
        if verdict.holds is not True:
            until = self._unreadable_until if verdict.holds is None else None
            item_plan = self._leave(UnmatchedReason.LEFT_OUT, until=until, filter=verdict.sentence)
        else:
            item_plan = self._wait_for_key() or self._match_or_create()
        self._end_question(item_plan)
        return item_plan

    @property
    def _is_asked_as_copy(self) -> bool:
        """Whether it is asked, or answered, if it is a copy of a record's item, and nobody wants a record of it."""
        question = self.item_facts.question
        if question is None or self.item_facts.asked_record is None or self.item_facts.is_creation_requested:
            return False
        if self._npd_id_record is not None or self._got_other_key(question, self.item_facts.asked_record):
            return False
        return question.asks == COPY

    def _got_other_key(self, question: OpenConflict, record: SyncedModel) -> bool:
        """Whether its match key was changed since the question showed it, to another one than the record's.

        Such an item was a template for somebody else. A copy may begin with another key, such as a name with “(copy)”.
        """
        match = self.board.match_mapping
        if match is None or not self.match_key or self.item_facts.copied_record is not None:
            return False
        shown = question.about.get("item", {}).get("values", {}).get(match.key, "")
        present = field_values.item_values(self.board, self.item)[match.key]
        is_other = self.match_key != field_values.match_key_of_record(self.board, record)
        return is_other and match_key(shown) != match_key(present)

    def _decide_copy(self) -> pass_plan.ItemPlan:
        """Plan to archive it if a person answered so about what it still is; else the question stays."""
        question = self.item_facts.question
        record = self.item_facts.asked_record
        assert question is not None
        assert record is not None
        item_plan = self._leave(UnmatchedReason.DUPLICATE, names=f"“{record}”")
        shown = {self.item.id: item_plan.finding.values} if item_plan.finding else {}
        asked = self._asked_again()
        asked.data |= {"what": asked.data.get("sentence", asked.what)}
        questions.name_edits(self.board, asked, shown, question)
        is_as_shown = question.shown == shown and question.is_answered_as_shown
        if self.item_facts.copied_record is None:
            item_plan.question = asked if question.shown != shown else None
            return item_plan
        if is_as_shown and field_values.is_active_on(self.board, self.item_facts.original_item):
            return pass_plan.ItemPlan(self.item_facts, outcomes.OPEN, ARCHIVE_COPY, record, keeps_finding=True)
        problem = Message("copy_is_the_last", record=str(record))
        if not is_as_shown:
            problem = Message("copy_edited", item=self.item.name)
        item_plan.question = asked
        asked.reject_answer(problem)
        return item_plan

    def _asked_again(self) -> ConflictReport:
        """Return the open question about it, with the item as it is."""
        question = self.item_facts.question
        record = self.item_facts.asked_record
        assert question is not None
        assert record is not None
        data = {**question.about, "item": field_values.item_data(self.board, self.item)}
        key = (record.entity_type(), record.pk, self.item.id, ConflictKind.IDENTITY)
        return ConflictReport(*key, data=data)

    def _end_question(self, item_plan: pass_plan.ItemPlan) -> None:
        """Close the question about it if its cause has ended; keep it, with the reason, if its answer has no effect."""
        question = self.item_facts.question
        if question is None or self.item_facts.asked_record is None:
            return
        if item_plan.ending == outcomes.OPEN or item_plan.candidates:
            return
        if self.item_facts.is_answered_as_new and item_plan.act != CREATE_RECORD:
            problem = sentences(Message("no_record_created", item=self.item.name), item_plan.ending.detail)
            item_plan.question = self._asked_again()
            item_plan.question.reject_answer(problem)
        elif not question.seeks_item and not item_plan.closing_reason:
            item_plan.closing_reason = sentences(Message("nothing_asked", item=self.item.name), item_plan.ending.detail)

    @property
    def _linked(self) -> dict[str, SyncedModel]:
        """The records that their own plans link, as they will be, by item."""
        plans = [plan for plan in self.plan.records.values() if plan.link_to]
        return {str(plan.link_to): plan.linked_record for plan in plans}

    def _as_planned(self, record: SyncedModel, *, by_person: bool = False) -> SyncedModel:
        """Return the record with the item that this pass assigns; a person's choice overrides the record's plan."""
        owners = [plan.record for plan in self.plan.items if plan.assigns and plan.record]
        owners += [] if by_person else self._linked.values()
        return next((owner for owner in owners if owner.pk == record.pk), record)

    @property
    def _npd_id_record(self) -> SyncedModel | None:
        if self.item_facts.npd_id_record is not None:
            return self._as_planned(self.item_facts.npd_id_record)
        return next((record for record in self._created if record.pk == self.npd_uuid), None)

    @property
    def _matching(self) -> list[SyncedModel]:
        matching = [self._as_planned(record) for record in self.item_facts.matching]
        if not self.match_key:
            return matching
        matching_ids = {record.pk for record in matching}  # while settling, records of earlier items are stored already
        created = [record for record in self._created if record.pk not in matching_ids]
        return matching + [
            record for record in created if field_values.match_key_of_record(self.board, record) == self.match_key
        ]

    @property
    def _created(self) -> list[SyncedModel]:
        return [plan.record for plan in self.plan.items if plan.act == CREATE_RECORD and plan.record]

    @property
    def _tombstone(self) -> Tombstone | None:
        """The deleted record that the item belongs to, by its NPD ID, or else because it had this item.

        An item with the NPD ID of an existing record belongs to that record. One that was moved here from another
        type's board belongs to the record of that type.
        """
        if self._npd_id_record is not None:
            return None
        changed = {plan.tombstone.pk: plan.tombstone for plan in self.plan.items if plan.tombstone}
        tombstones = [changed.get(tombstone.pk, tombstone) for tombstone in self.item_facts.tombstones]
        with_npd_id = [entry for entry in tombstones if entry.entity_id == self.npd_uuid]
        of_item = [entry for entry in tombstones if entry.monday_id == self.item.id]
        of_board = _tombstones_of_board(self.board, (*with_npd_id, *of_item))
        moved = [entry for entry in with_npd_id if entry.state != TombstoneState.RESTORED]
        return next(iter((*of_board, *moved)), None)

    def _leave(
        self, reason: UnmatchedReason, *, detail: str = "", until: datetime | None = None, **details: str
    ) -> pass_plan.ItemPlan:
        """Leave the item without a record for this reason, for good or until a time."""
        finding = item_finding(self.board, self.item_facts, reason, **details)
        return self._end(detail or unmatched_sentence(reason, **details), until, finding)

    def _end(
        self, detail: str, until: datetime | None = None, finding: UnmatchedFinding | None = None
    ) -> pass_plan.ItemPlan:
        ending = outcomes.Ending(outcomes.Outcome.DONE, detail)
        if until is not None:
            ending = outcomes.Ending(outcomes.Outcome.DEFERRED, detail, (until - self.now).total_seconds())
        return pass_plan.ItemPlan(self.item_facts, ending, finding=finding)

    def _wait(self) -> pass_plan.ItemPlan | None:
        """Return a plan that waits: for a call's outcome, for a quiet time, or until the item can be read."""
        item_facts = self.item_facts
        # The call may remove the NPD ID from a duplicate; the item looks unmatched until its outcome is known.
        if item_facts.unconfirmed_until:
            return self._leave(UnmatchedReason.UNCONFIRMED, until=item_facts.unconfirmed_until)
        if item_facts.chosen_id is not None:
            return None
        quiet_wait = timedelta(seconds=UNMATCHED_ITEM_WAIT_SECONDS)
        if item_facts.last_event and item_facts.last_event + quiet_wait > self.now:
            return self._leave(UnmatchedReason.BEING_EDITED, until=item_facts.last_event + quiet_wait)
        if self.match_key is None:
            label = self.board.match_label
            return self._leave(UnmatchedReason.KEY_UNREADABLE, until=self._unreadable_until, label=label)
        if self.npd_id is None:
            return self._leave(UnmatchedReason.NPD_ID_UNREADABLE, until=self._unreadable_until)
        return None

    def _wait_for_key(self) -> pass_plan.ItemPlan | None:
        """Return a plan that waits, because a new item's match key may still be filled in."""
        wait = timedelta(seconds=self.board.settings.new_item_wait_seconds)
        until = (self.item_facts.known_since or self.now) + wait
        if self.match_key or until <= self.now or self.item_facts.is_creation_requested or self.item_facts.is_unplanned:
            return None
        if self._doubtful_namesakes:
            return None  # whose it is may be asked at once
        words = _type_words(self.board)
        then = ""
        if self.board.link.creates_records:
            then = Message("created_after", type=words["type"], after=time_span(wait.total_seconds()))
        return self._leave(UnmatchedReason.NO_KEY_YET, until=until, label=words["label"], then=then)

    @property
    def _unreadable_until(self) -> datetime:
        """When an unreadable item is tried again: later if its column is missing, because its return wakes the item."""
        match = self.board.match_mapping
        is_missing = self.board.link.npd_id_problem or (match is not None and match.problem)
        return self.now + (CHECK_SELDOM if is_missing else CHECK_SOON)

    def _match_or_create(self) -> pass_plan.ItemPlan:
        ignored = self.item_facts.ignored
        item_facts = self.item_facts
        # Not left alone means: only not that record's; without a record, it was the item of one deleted long ago.
        if ignored and not item_facts.is_creation_requested and (ignored.left_alone or ignored.entity_id is None):
            return self._leave_ignored(ignored)
        record = self._npd_id_record
        if record is not None and not (item_facts.is_answered_as_new and record.monday_id is None):
            exclusion = self._record_exclusion(record)
            if record.monday_id is not None and record.is_left_out:
                exclusion = Message("npd_id_of_left_out", record=str(record))
            return self._leave(UnmatchedReason.LEFT_OUT, filter=exclusion) if exclusion else self._by_npd_id(record)
        matching = self._matching if not item_facts.wants_new_record else []
        matching = [record for record in matching if not ignored or record.pk != ignored.entity_id]
        hits = [record for record in matching if not self._record_exclusion(record)]
        if asking := [record for record in hits if record.pk in item_facts.asking_records and not record.monday_id]:
            # The answer to that record's question says whose item it is.
            return self._leave(UnmatchedReason.AMBIGUOUS, names=questions.quoted_names(asking))
        if matching and not hits:
            return self._leave(UnmatchedReason.LEFT_OUT, filter=self._record_exclusion(matching[0]))
        if len(hits) == 1 and hits[0].monday_id is None and hits[0].may_sync:
            # Its own pass searches the board: another item may bear its NPD ID, or match too.
            return self._leave_to_records(hits)
        return self._ask(hits) if hits else self._without_match()

    def _without_match(self) -> pass_plan.ItemPlan:
        """Plan an item that matches no record: a new record, unless it may be one of the same name, or none is made."""
        item_facts = self.item_facts
        namesakes = self._doubtful_namesakes
        if seeking := [record for record in namesakes if record.monday_id is None]:
            return self._leave_to_records(seeking)
        if not self.board.link.creates_records and not item_facts.is_creation_requested:
            return self._leave(_reason_without_creation(self.match_key), until=None, **_type_words(self.board))
        item_plan = self._create()
        if item_plan.act == CREATE_RECORD and namesakes:
            return self._ask(namesakes, questions.whether_namesake)
        if item_plan.act == CREATE_RECORD and item_facts.is_unplanned and not item_facts.is_creation_requested:
            return self._leave(UnmatchedReason.UNPLANNED, until=None, **_type_words(self.board))
        # Held, because nobody could be recognized: an item with a match key can be.
        if self.board.link.creates_held and not self.match_key and not item_facts.is_creation_requested:
            until = self.now + CHECK_SELDOM
            return self._leave(UnmatchedReason.CREATES_HELD, until=until, **_type_words(self.board))
        return item_plan

    @property
    def _namesakes(self) -> list[SyncedModel]:
        """The records that have its name, as this pass leaves them, without one that it is not, as a person said."""
        not_this = self.item_facts.ignored.entity_id if self.item_facts.ignored else None
        name = match_key(self.item.name)
        made = [record for record in self._created if field_values.name_key_of_record(self.board, record) == name]
        namesakes = {record.pk: record for record in [*map(self._as_planned, self.item_facts.namesakes), *made] if name}
        return [record for key, record in namesakes.items() if key != not_this and not self._record_exclusion(record)]

    @property
    def _doubtful_namesakes(self) -> list[SyncedModel]:
        """Those of them that it may be: not both have a match key, and nobody has asked for a record of its own."""
        if self.item_facts.is_creation_requested:
            return []
        synced = [record for record in self._namesakes if record.may_sync]
        key_of = field_values.match_key_of_record
        return [record for record in synced if not (self.match_key and key_of(self.board, record))]

    def _leave_to_records(self, records: Sequence[SyncedModel]) -> pass_plan.ItemPlan:
        """Leave it to these records' own passes to link it, or to ask, once each, whose it is.

        Until they have, it is looked at again: one may get another item or key first, or be deleted or left out.
        """
        waiting = [record for record in records if record.pk not in self.item_facts.asking_records]
        until = self.now + CHECK_SELDOM if waiting else None
        item_plan = self._leave(UnmatchedReason.AMBIGUOUS, until=until, names=questions.quoted_names(records))
        item_plan.to_enqueue = tuple(record.pk for record in waiting)
        return item_plan

    def _leave_ignored(self, ignored: IgnoredItem) -> pass_plan.ItemPlan:
        item_plan = self._end(Message("is_ignored", why=ignored.reason))
        item_plan.keeps_finding = True
        # The kept item of a record that was deleted long ago (`prune_tombstones`): a person can still create one.
        if not ignored.left_alone:
            reason = UnmatchedReason.RECORD_DELETED
            item_plan.finding = item_finding(self.board, self.item_facts, reason, problems=ignored.reason)
        elif self.item_facts.claim.payload.get(IGNORED_KEY):
            item_plan.closing_reason = Message("over_ignored", item=self.item.name)
        return item_plan

    def _record_exclusion(self, record: SyncedModel) -> str:
        """Return why the filter keeps the item from being this record's; an empty text if it doesn't."""
        verdict = record_verdict(self.board, record)
        if verdict.holds is True:
            return ""
        return sentences(verdict.sentence, Message("about_who_would_get_it", record=str(record)))

    def _by_npd_id(self, record: SyncedModel) -> pass_plan.ItemPlan:
        """Plan an item with the NPD ID of this record."""
        if record.monday_id is None:
            if not record.may_sync and self.item_facts.is_of_unlinked:
                return self._ask([record])
            return self._assign(record, Message("item_linked", item=self.item.name))
        if not record.may_sync:
            return self._leave(UnmatchedReason.SYNC_OFF, names=f"“{record}”")
        if self._may_take_place(record):
            item_plan = self._assign(record, Message("took_its_place", item=self.item.name))
            item_plan.lines = self._edits_on_original()
            return item_plan
        item_plan = self._leave(UnmatchedReason.DUPLICATE, names=f"“{record}”")
        if self.item_facts.npd_id_record is None or self.item_facts.npd_id_record.monday_id != record.monday_id:
            # This pass links the record with its own item; the duplicate waits until that is stored.
            item_plan.ending = outcomes.Ending(outcomes.Outcome.RELEASED, item_plan.ending.detail)
            return item_plan
        item_plan.ending = outcomes.OPEN
        item_plan.act = pass_plan.CLEAR_NPD_ID
        item_plan.record = record
        return item_plan

    def _may_take_place(self, record: SyncedModel) -> bool:
        """Whether it may replace the record's own item, which was archived or deleted.

        A person duplicated the item and archived the original, or a restored database knows only the original. As a
        duplicate, the remaining item would lose its NPD ID or be archived too. An item with another match key is a
        duplicate all the same (used as a template for somebody else): a person is asked.
        """
        original = self.item_facts.original_item
        if original is None or original.id != record.monday_id or original.state not in REPORTED_STATES:
            return False
        record_key = field_values.match_key_of_record(self.board, record)
        original_key = field_values.match_key_of_item(self.board, original)
        return self.match_key is not None and self.match_key in (record_key, original_key)

    def _edits_on_original(self) -> dict[str, ActivityLine]:
        """Return the history lines about what was edited on the record's own item and never reached NPD."""
        original = self.item_facts.duplicate_of
        assert original is not None
        # As this pass has planned it, but with its item as it was read.
        plan = self.plan.records.get(original.id) or pass_plan.RecordPlan(original)
        plan = plan.compared_with(self.item_facts.original_item)
        missed = [edit.key for edit in edits_since_agreed(self.board, plan) if code_of(edit.reason) == MISSED_EDIT]
        return edits_removed_with_item(self.board, plan, missed, plan.history.events, Message("left_with_that"))

    def _leave_to_deleted_record(self, tombstone: Tombstone) -> pass_plan.ItemPlan:
        """Plan an item of a deleted record: never a new record, because the deleted record's own pass decides."""
        item = self.item
        name = field_values.tombstone_name(tombstone) or Message("a_record")
        detail = Message("belongs_to_deleted", record=name)
        stays = sentences(detail, Message("item_stays"))
        if tombstone.entity_type != self.board.link.entity_type:
            return self._end(stays)
        decided_items = {deleted.item_id for deleted in self.plan.open_deleted} & self.facts.items.by_id.keys()
        if item.id in decided_items:
            return self._end(sentences(detail, Message("decided_by_this_sync")))
        if tombstone.state in (TombstoneState.KEPT, TombstoneState.UNLINKED):
            item_plan = self._end(stays)
            item_plan.to_enqueue = (tombstone.entity_id,) if self.item_facts.has_new_edit else ()
            return item_plan
        stale_until = tombstone.settled_at and tombstone.settled_at + ECHO_WINDOW
        if stale_until and stale_until > self.now:
            # Monday may still show it as it was before our removal.
            return self._end(sentences(detail, Message("left_as_we_know")), stale_until)
        changed = None
        if item.id != tombstone.monday_id:
            if tombstone.state in OPEN_TOMBSTONE_STATES and tombstone.monday_id:
                return self._end(sentences(detail, Message("first_item_first")), self.now + CHECK_SELDOM)
            # A settled deletion waits again, for this item as for its first one. Without a base, the item is compared
            # with the deleted record: what differs is asked about, else the board's policy applies.
            changed = copy(tombstone)
            changed.monday_id = item.id
            changed.state = TombstoneState.WAITING if tombstone.state in REMOVED_TOMBSTONE_STATES else tombstone.state
        item_plan = self._end(sentences(detail, Message("synced_with_that")))
        item_plan.tombstone = changed
        item_plan.to_enqueue = (tombstone.entity_id,)
        return item_plan

    def _link_chosen(self) -> pass_plan.ItemPlan:
        """Link the item with the record that a person chose, if that is still possible."""
        chosen = self.item_facts.chosen_record
        if chosen is not None:
            chosen = self._as_planned(chosen, by_person=True)
        problem = questions.link_problem(chosen, self.item_facts.owner)
        if chosen is None or problem:
            item_plan = self._end(sentences(Message("not_linked"), problem))
            item_plan.keeps_finding = True
            return item_plan
        item_plan = self._assign(chosen, Message("item_linked_by_person", item=self.item.name))
        item_plan.closing_reason = Message("over_linked", item=self.item.name, record=str(chosen))
        return item_plan

    def _assign(self, record: SyncedModel, sentence: Message) -> pass_plan.ItemPlan:
        """Link the two; the record's own pass merges them and writes the NPD ID."""
        linked = field_values.with_item(record, self.item.id)
        item_plan = self._end(Message("linked_with", record=str(record)))
        item_plan.act = LINK
        item_plan.record = linked
        item_plan.sentence = sentence
        return item_plan

    def _ask(
        self, hits: Sequence[SyncedModel], question_about: questions.AboutItem = questions.which_record
    ) -> pass_plan.ItemPlan:
        asked_record = self.item_facts.asked_record
        # It stays the question of the record that was asked first.
        hits = sorted(hits, key=lambda record: asked_record is None or record.pk != asked_record.pk)
        question = question_about(self.board, hits, self.item)
        detail = Message("who_is_this", question=question.what)
        item_plan = self._leave(UnmatchedReason.AMBIGUOUS, detail=detail, names=questions.quoted_names(hits))
        item_plan.candidates = tuple(hits)
        item_plan.question = question
        return item_plan

    def _create(self) -> pass_plan.ItemPlan:
        assert self.item_facts.new_record_id is not None
        record, problems = record_from_item(self.board, self.item, self.item_facts.new_record_id, self.facts.related)
        if problems:
            return self._leave(UnmatchedReason.INVALID, problems=problems)
        if (verdict := record_verdict(self.board, record)).holds is not True:
            detail = sentences(verdict.sentence, Message("record_would_not_match"))
            return self._leave(UnmatchedReason.LEFT_OUT, filter=detail)
        plan = self._end(Message("became", record=str(record)))
        plan.act = CREATE_RECORD
        plan.record = record
        namesakes = questions.quoted_names([namesake for namesake in self._namesakes if namesake.pk != record.pk])
        plan.sentence = Message("record_created", item=self.item.name, namesakes=namesakes)
        if self.item_facts.is_creation_requested:
            plan.closing_reason = Message("over_new_record", item=self.item.name)
        return plan


def record_from_item(
    board: BoardContext, item: Item, new_record_id: UUID, related: field_values.RelatedRecords
) -> tuple[SyncedModel, str]:
    """Return a record with the item's values, and why it can't be created, in sentences.

    A value that NPD can't store stays on the board as a blocked field, unless NPD requires the field.
    """
    record = board.model(id=new_record_id, monday_id=item.id)
    problems = list[Message]()
    for mapping in board.mappings:
        is_npd_only = mapping.direction in (SyncDirection.NPD_TO_MONDAY, SyncDirection.NONE)
        if not mapping.column_id or (is_npd_only and not mapping.required):
            continue
        converter = board.converter(mapping, record)
        try:
            cell = converter.cell_value(item.reading(mapping.column_id))
            raw = converter.to_local(cell, field_values.local_values(record, mapping))
            named = field_values.records_named(related, board.model, raw)
            relations = {name: field_values.relation_value(other) for name, other in named.items()}
            values = field_values.clean_values(record, {**raw, **relations})
            for name, value in (field_values.update_values(board.model, values) | named).items():
                setattr(record, name, value)
        except (UnknownValue, AmbiguousSplit, ValidationError, field_values.RelatedNotFound) as invalid:
            if mapping.required:
                problems.append(Message("problem_of_field", label=mapping.label, quote=reason_of(invalid)))
    return record, sentences(*problems)


def assigned_items(plan: pass_plan.Plan) -> dict[str, SyncedModel]:
    """Return the items that records get by this pass."""
    linked = {record_plan.link_to: record_plan.record for record_plan in plan.records.values() if record_plan.link_to}
    assigning = [item_plan for item_plan in plan.items if item_plan.assigns]
    return linked | {item_plan.facts.item_id: item_plan.record for item_plan in assigning if item_plan.record}


def item_finding(board: BoardContext, facts: ItemFacts, reason: UnmatchedReason, **details: str) -> UnmatchedFinding:
    name = facts.item.name if facts.item else ""
    values = field_values.item_values(board, facts.item) if facts.item else {}
    return UnmatchedFinding(facts.item_id, name, reason, details, values)


def listed_finding(board: BoardContext, item: Item) -> UnmatchedFinding:
    """Return the finding of a listing about an unmatched item; the item's own pass replaces it."""
    reason = UnmatchedReason.QUEUED
    details = _type_words(board)
    verdict = item_verdict(board, item)
    if verdict.holds is False:
        reason = UnmatchedReason.LEFT_OUT
        details["filter"] = verdict.sentence
    elif not board.link.creates_records:
        reason = _reason_without_creation(field_values.match_key_of_item(board, item))
    return UnmatchedFinding(item.id, item.name, reason, details, field_values.item_values(board, item))


def _reason_without_creation(match_key: str | None) -> UnmatchedReason:
    """Return why an item of a board whose items don't become records has none."""
    return UnmatchedReason.NO_KEY if match_key == "" else UnmatchedReason.CREATION_OFF


def _type_words(board: BoardContext) -> dict[str, str]:
    """Return the words for the board's records, and for what they are matched by."""
    opts = board.model._meta
    return {"label": board.match_label, "type": str(opts.verbose_name), "types": str(opts.verbose_name_plural)}


def decided_again(
    facts: PassFacts, planned: pass_plan.ItemPlan, facts_now: ItemFacts, plan: pass_plan.Plan
) -> pass_plan.ItemPlan:
    """Decide about an item again by its present facts, for settling; if anything else follows, the next pass decides.

    Only the records that `planned` names are locked. That a person's choice has become impossible is said at once.
    """
    decided = decide_item(facts, facts_now, plan)
    same_act = decided.act == planned.act and decided.record_ids == planned.record_ids
    same_tombstone = (decided.tombstone is None) is (planned.tombstone is None)
    if planned.facts.chosen_id is not None or (same_act and same_tombstone):
        return decided
    return released(planned.facts)


def after_rejection(
    board: BoardContext, plan: pass_plan.ItemPlan, problem: str, *, is_there: bool
) -> pass_plan.ItemPlan:
    """Return the plan of an item after the database rejected its record; `is_there` means that it has one by now."""
    if is_there:
        return released(plan.facts)
    finding = item_finding(board, plan.facts, UnmatchedReason.DATABASE_REJECTED, problems=problem)
    detail = unmatched_sentence(UnmatchedReason.DATABASE_REJECTED, problems=problem)
    settled = _settled_item(plan.facts, detail)
    settled.finding = finding
    return settled


def released(item_facts: ItemFacts, detail: str = CHANGED) -> pass_plan.ItemPlan:
    """Return a plan that does nothing with the item and is repeated by the next pass, or later after some rounds."""
    return pass_plan.ItemPlan(item_facts, outcomes.repeat_ending(item_facts.claim, detail), keeps_finding=True)
