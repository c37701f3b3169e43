"""Random worlds for one seed: values on both sides, open calls, waiting jobs, choices and earlier events.

Hypothesis draws only the seed; hundreds of its own draws would take a hundred times as long.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from random import Random
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from conflicts.reports import RECORD_KEY, ConflictKind, FieldSelection, OpenConflict, UndoRequest
from npd.models import Contact
from sync.choices import (
    ApprovalKind,
    ApprovalState,
    Cause,
    DeletedRecordPolicy,
    RemovedItemPolicy,
    Rule,
    SyncDirection,
    TombstoneState,
)
from sync.fields.field_values import BoardContext, field_of
from sync.kernel.acts import answers_to
from sync.models import ApprovalRequest, IgnoredItem, Intent, IntentState, Tombstone, WriteLoop
from sync.models.jobs import ROUNDS_KEY
from sync.monday.board_items import GROUP, Item
from sync.reconcile.facts import DeletedFacts, RecordFacts, RecordHistory
from sync.reconcile.missing.questions import answers_of
from sync.records.approvals import ApprovalFacts, ApprovalLimit
from sync.records.item_links import NEW_ITEM_KEY, RECREATE_KEY, UNLINK_KEY
from tests.decide.builders import (
    NOW,
    TOKEN_USER,
    TOM,
    at,
    board,
    chosen,
    claim,
    created,
    edit,
    intent,
    item,
    mapping,
    organization,
    plain,
    record_facts,
    wrote,
)
from tests.decide.plan_builders import NOTHING_COUNTED, World
from tests.support.words import said

ACME, BETA = organization("70", "Acme", id=UUID(int=70)), organization(None, "Beta", id=UUID(int=71))
# The values that either side may have; the other side doesn't accept all of them.
KEYS: Mapping[str, tuple[Any, ...]] = {
    "name": ("Ann", "Bea", "x" * 300, ""),
    "email": ("ann@example.com", "bea@example.com", "cid@example.com", "no address", ""),
    "role_title": ("Boss", "Chair", "x" * 300, ""),
    "notes": ("Likes tea", "Likes coffee", "Likes\nboth", ""),
    "organization": (None, ACME, BETA),
}

BOTH = SyncDirection.BIDIRECTIONAL
CHOICES = ("npd", "monday", "base", "custom")


class Draw(Random):
    def maybe(self, percent: int) -> bool:
        return self.random() * 100 < percent

    def some(self, values: Sequence[Any], percent: int) -> list[Any]:
        return [value for value in values if self.maybe(percent)]

    def values(self, percent: int) -> dict[str, Any]:
        return {key: self.choice(KEYS[key]) for key in self.some(list(KEYS), percent)}


@dataclass
class Drawn(World):
    """`overwritten`: people's values on Monday that a write of ours replaced unread, as events show."""

    overwritten: Sequence[tuple[UUID, str]] = ()


def any_board(draw: Draw) -> BoardContext:
    fields: dict[str, dict[str, Any]] = {}
    for key in KEYS:
        differs = {
            "direction": draw.choice([BOTH, BOTH, *SyncDirection]),
            "rule": draw.choice(list(Rule)).value,
            "first_match": draw.choice(list(Rule)).value,
            "required": key == "name" or draw.maybe(30),
            "version": 2,
            "problem": "Its column is gone.",
        }
        percents = {"version": 5, "problem": 4, "direction": 30}
        fields[key] = {name: value for name, value in differs.items() if draw.maybe(percents.get(name, 50))}
    link: dict[str, Any] = {"creates_records": draw.maybe(70), "group_id": draw.choice(["", "topics"])}
    if draw.maybe(70):
        link |= {"log_read_from": draw.choice([at(-60), datetime(1990, 1, 1, tzinfo=UTC)]), "log_read_to": at(60)}
    if draw.maybe(20):
        of_records = {"role_title": ("is", ["Boss"]), "email": ("is_filled", []), "organization": ("is", ["Acme"])}
        of_items = of_records | {GROUP: ("is", ["topics"])}
        link["sync_filter"] = {"records": _conditions(draw, of_records, 30), "items": _conditions(draw, of_items, 20)}
    if draw.maybe(4):
        link["npd_id_problem"] = "The column of the NPD ID is gone."
    return board(*(mapping(key, **differs) for key, differs in fields.items()), **link)


def _conditions(draw: Draw, choices: Mapping[str, tuple[str, list[str]]], percent: int) -> list[dict[str, Any]]:
    drawn = draw.some(list(choices.items()), percent)
    return [{"field": key, "op": op, "values": values, "labels": values} for key, (op, values) in drawn]


def any_state(draw: Draw) -> str:
    """Mostly on its board; Monday may also report another state or not show it."""
    return draw.choice(["active"] * 16 + ["archived", "archived", "deleted", "deleted", "moved", "missing"])


def any_item(draw: Draw, item_id: str, values: Mapping[str, Any], npd_id: str, state: str) -> Item:
    drawn = item(npd_id=npd_id, unknown=draw.some(["email", "role_title", "npd_id"], 2), **values)
    group_id = draw.choice(["topics", "topics", "other", None])
    if state == "moved":
        return replace(drawn, id=item_id, state="active", board_id="2", group_id=group_id)
    return replace(drawn, id=item_id, state=state, board_id="1", group_id=group_id)


@dataclass
class Cell:
    """A role on Monday after some history, what both sides agreed on, and what was lost."""

    now: str
    agreed: str
    history: RecordHistory
    lost: str = ""
    typed: str = ""  # what NPD has since


def any_cell(draw: Draw, before: str, key: UUID, item_id: str) -> Cell:
    """Our write of a role, maybe over an unread edit of Tom's, and maybe another edit after it."""
    sent, since = draw.choice([role for role in ("Chair", "Head") if role != before]), draw.choice([-60, -300])
    state = draw.choice([IntentState.APPLIED] * 3 + [IntentState.OPEN, IntentState.CONFIRMED, IntentState.VOID])
    ended = at(since + 6) if state != IntentState.OPEN else None
    write = wrote(sent, before, seconds=since, state=state, settled_at=ended, entity_id=key, item_id=item_id)
    write.deadline = at(since + 5)  # if it is void, a pass found it so
    if state == IntentState.APPLIED and draw.maybe(15):
        return swallowed_cell(draw, write, before)
    lands = state in (IntentState.APPLIED, IntentState.CONFIRMED) or draw.maybe(40)
    steps = [("Mine", since + 2, TOM)] if draw.maybe(40) else []
    steps += [(sent, since + 4, TOKEN_USER)] if lands else []
    steps += [(draw.choice(["Late", before]), since + 30, TOM)] if draw.maybe(25) else []
    events, now = [], before
    for value, seconds, user in steps:
        # An event may not tell the value before.
        previous = now if draw.maybe(80) else "?"
        events.append(edit(value, previous, seconds=seconds, user_id=user if draw.maybe(90) else ""))
        now = value
    if steps and draw.maybe(20):
        now = draw.choice(["", before, *(value for value, _, _ in steps)])  # a read that lags behind, or a lost cell
    arrived = draw.some(events, 80)
    is_told = any(
        (delivery.event.value, delivery.event.user_id) == ({"value": "Mine"}, TOM)
        or (
            delivery.event.has_previous
            and (delivery.event.value, delivery.event.previous_value) == ({"value": sent}, {"value": "Mine"})
        )
        for delivery in arrived
        if delivery.event
    )
    has_answer = state in (IntentState.APPLIED, IntentState.CONFIRMED)
    history = RecordHistory(
        NOW, events=tuple(arrived), intents=(write,), token_user=draw.choice([TOKEN_USER, TOKEN_USER, ""])
    )
    lost = "Mine" if is_told and has_answer and steps[0][0] == "Mine" else ""
    return Cell(now, sent if has_answer else before, history, lost)


def swallowed_cell(draw: Draw, write: Intent, before: str) -> Cell:
    """A role that Monday answered without storing it, once or twice."""
    write.answer = {"role_title": before}
    again = copy(write)
    again.pk = UUID(int=draw.getrandbits(64))
    writes = (write, again) if draw.maybe(50) else (write,)
    history = RecordHistory(NOW, intents=writes, token_user=TOKEN_USER)
    return Cell(before, before, history, typed=write.values["role_title"]["local"]["role_title"])


def any_conflicts(
    draw: Draw, here: Mapping[str, Any], there: Mapping[str, Any], item_id: str, state: str
) -> list[OpenConflict]:
    """Most of them have a choice, made for the current value or for another one."""
    conflicts = []
    for kind in draw.some([ConflictKind.FIELDS, ConflictKind.OVERWRITTEN], 15):
        keys = ["name", "email", "role_title", "notes"]
        key = draw.choice([key for key in keys if here[key] != there[key]] or keys)
        npd, monday = (side[key] if draw.maybe(70) else draw.choice(KEYS[key]) for side in (here, there))
        if kind == ConflictKind.OVERWRITTEN:
            monday = draw.choice(KEYS[key])
        selection = FieldSelection(draw.choice(CHOICES), draw.choice(KEYS[key]), npd or None, monday or None)
        conflict = chosen(key, selection, kind, monday={key: monday or None})
        conflicts.append(conflict if draw.maybe(70) else replace(conflict, resolutions={}))
    if draw.maybe(4 if state == "active" else 40):
        shown = {"role_title": (here["role_title"], there["role_title"])} if draw.maybe(50) else {}
        selection = FieldSelection(draw.choice(answers_to("delete")), seen=shown)
        answer = {RECORD_KEY: selection} if draw.maybe(80) else {}
        conflicts.append(
            OpenConflict(UUID(int=draw.getrandbits(64)), ConflictKind.DELETE, item_id, tuple(shown), answer)
        )
    return conflicts


def undo_of(draw: Draw, facts: RecordFacts, there: str) -> UndoRequest:
    """A choice on the role that somebody wants undone, with the values before and after it."""
    entry = facts.sync_state.base.get("role_title")
    before = {
        "local": {"role_title": draw.choice(["Boss", "Duke"])},
        "remote": draw.choice(["Earl", there]),
        "base": entry,
    }
    after = entry if draw.maybe(80) else None
    selection = FieldSelection("npd", None, "Boss", "Earl")
    return UndoRequest(ConflictKind.FIELDS, "role_title", selection, before, after)


def any_payload(draw: Draw) -> dict[str, Any]:
    unlink, pressed = {UNLINK_KEY: "as Pat wants", "by": "Pat"}, {"sync_pressed": True, "by": "Pat"}
    rare: list[dict[str, Any]] = [{ROUNDS_KEY: 3}, {RECREATE_KEY: True}, {NEW_ITEM_KEY: True}, unlink, pressed, pressed]
    return draw.choice([{}] * 12 + rare)


def any_sync_state(draw: Draw, facts: RecordFacts, item_id: str | None, state: str) -> None:
    """Fill its sync state with what earlier passes may have noted; `state` is its item's."""
    sync_state = facts.sync_state
    sync_state.remote_state = "active" if item_id else ""
    for entry in sync_state.base.values():
        entry["item"] = "999" if draw.maybe(2) else item_id  # it may have been linked with another item before
        entry["version"] = 0 if draw.maybe(3) else 1
    if item_id is None or draw.maybe(10):
        sync_state.base = {}
    for key in draw.some(["name", "email", "role_title", "notes"], 5):
        reason = {"reason": said("No."), "code": "rejected", "column": key, "version": 1}
        sync_state.blocked_fields[key] = reason | {"local": {key: getattr(facts.record, key)}}
    if draw.maybe(5 if state == "active" else 85):
        sync_state.removed_since, sync_state.removed_passes = at(draw.choice([-700, -700, -60])), draw.choice([1, 3])
        sync_state.remote_state = "archived" if state == "active" else state
    if draw.maybe(5):
        sync_state.left_out = draw.choice(["record", "item"])
    if draw.maybe(30):
        sync_state.emptied = {key: at(-700).isoformat() for key in ("role_title", "organization")}
    if draw.maybe(3) and "role_title" in sync_state.base:
        sync_state.altered = {"role_title": {"reason": "Monday made something else of it."}}


def any_record(
    draw: Draw, on: BoardContext, key: UUID, item_id: str | None, state: str, *, is_untouched: bool
) -> tuple[RecordFacts, dict[str, Any], Cell | None]:
    heat = draw.choice([0, 15, 60])
    agreed = draw.values(20)
    here, there = (agreed | draw.values(heat) for _ in range(2))
    cell = None
    if item_id is not None and draw.maybe(35):
        cell = any_cell(draw, agreed.get("role_title", "Boss"), key, item_id)
        agreed["role_title"], there["role_title"] = cell.agreed, cell.now
        here["role_title"] = cell.typed or draw.choice([cell.agreed, cell.agreed, cell.agreed, "Duke"])
    if draw.maybe(10):
        agreed["organization"], there["organization"] = ACME, None
        here["organization"] = ACME
    if is_untouched:
        here = dict(agreed)
    here["name"] = here.get("name") or "Ann"  # NPD takes no record without one
    own = {
        "id": key,
        "monday_id": item_id,
        "sync_enabled": draw.maybe(90),
        "sync_direction": draw.choice([BOTH] * 6 + list(SyncDirection)),
        "created_at": at(-draw.randrange(3)),
    }
    without_base = draw.some(list(KEYS), 5)
    facts = record_facts(here, on=on, agreed=agreed, without_base=without_base, record=own)
    any_sync_state(draw, facts, item_id, state)
    facts.sync_state.made_from_item = is_untouched
    values = {name: getattr(facts.record, name) for name in KEYS}
    conflicts = any_conflicts(draw, values, {**values, **there}, item_id or "", state)
    undoes = item_id is not None and draw.maybe(8)
    undo_requests = (undo_of(draw, facts, there.get("role_title", "Boss")),) if undoes else ()
    intents = list(cell.history.intents) if cell else []
    if draw.maybe(12):
        name = draw.choice(["name", "email", "notes"])
        write = intent(name, name, {name: draw.choice(KEYS[name])}, state=IntentState.OPEN)
        write.entity_id, write.item_id, write.created_at = key, item_id or "", at(-90)
        intents.append(write)
    causes = draw.choice([Cause.SAVE, Cause.WEBHOOK, Cause.PERSON, Cause.SWEEP])
    return (
        replace(
            facts,
            claim=claim(facts.record, causes, **any_payload(draw)),
            conflicts=tuple(conflicts),
            undo_requests=undo_requests,
            history=any_history(draw, key, cell, intents),
            has_failed_job=draw.maybe(5),
        ),
        there,
        cell,
    )


def any_deleted(draw: Draw, facts: RecordFacts, number: int) -> DeletedFacts:
    record, states = facts.record, [state for state in TombstoneState if state != TombstoneState.RESTORED]
    tombstone = plain(
        Tombstone,
        id=number,
        entity_type="contact",
        entity_id=record.pk,
        monday_id=record.monday_id,
        state=draw.choice([TombstoneState.WAITING] * 6 + states),
        data={"name": record.name},
        deleted_at=at(-600),
    )
    removal = plain(Intent, item_id=record.monday_id, body={"removes": "archive_item"}, values={})
    intents = (*facts.history.intents, removal) if draw.maybe(10) else facts.history.intents
    values = vars(facts) | {"history": replace(facts.history, intents=intents)}
    if any(c.kind == ConflictKind.DELETE and c.resolutions for c in facts.conflicts):
        tombstone.state = TombstoneState.ASKED
    return DeletedFacts(**values, tombstone=tombstone)


def any_answer(draw: Draw, facts: RecordFacts, ids: Sequence[UUID], items: Sequence[str]) -> OpenConflict:
    others = [str(key) for key in ids if key != facts.id] or [str(UUID(int=9))]
    other, item_id = draw.choice(others), draw.choice([*items, "99"])
    act = draw.choice([*answers_to("identity"), "merge_records"])
    named = {"link": draw.choice([item_id, other]), "same_name": item_id, "merge_records": other}
    selection = {RECORD_KEY: FieldSelection(act, named.get(act))} if draw.maybe(85) else {}
    # The record that merging deletes: its own, or the other one.
    about = {"shown": {draw.choice([str(facts.id), other]): {}}}
    return OpenConflict(UUID(int=draw.getrandbits(64)), ConflictKind.IDENTITY, item_id, (), selection, about=about)


def any_requests(draw: Draw, records: Sequence[RecordFacts]) -> list[ApprovalRequest]:
    """Earlier requests about deletes and clears of these records."""
    requests = []
    for facts in draw.some(records, 15):
        kind = draw.choice(list(ApprovalKind))
        key = "role_title" if kind in (ApprovalKind.CLEAR_NPD, ApprovalKind.CLEAR_MONDAY) else ""
        values = {"value": draw.choice(["Boss", "Chair"])}
        states = [ApprovalState.PENDING, ApprovalState.APPROVED, ApprovalState.REJECTED, ApprovalState.DONE]
        requests.append(
            plain(ApprovalRequest, entity_id=facts.id, kind=kind, key=key, state=draw.choice(states), values=values)
        )
    return requests


def any_loops(draw: Draw) -> dict[str, WriteLoop]:
    rewrites = [{"at": at(-900).isoformat(), "write": str(UUID(int=1))}] * draw.randrange(5)
    until = draw.choice([None, at(600), at(-4000)])
    loop = plain(WriteLoop, key="role_title", times=rewrites, throttled_until=until)
    return {"role_title": loop} if draw.maybe(25) else {}


def any_edits(draw: Draw) -> tuple[Any, ...]:
    """NPD's history of a record, newest change first."""
    rows = []
    for seconds in sorted(draw.sample([-3, -30, -310, -700], draw.randrange(3)), reverse=True):
        context = SimpleNamespace(metadata={"cause": draw.choice(["", "", "sync"])})
        # An event has a row's columns, as the board's fields have them.
        values = {
            field_of(Contact, name).attname: getattr(value, "pk", value) for name, value in draw.values(100).items()
        }
        rows.append(SimpleNamespace(pgh_label="update", pgh_created_at=at(seconds), pgh_context=context, **values))
    return (*rows, SimpleNamespace(**vars(rows[-1]) | {"pgh_label": "insert"})) if rows else ()


def any_history(draw: Draw, key: UUID, cell: Cell | None, intents: list[Intent]) -> RecordHistory:
    history = cell.history if cell else RecordHistory(NOW)
    intents += [created("Boss", entity_id=key)] if draw.maybe(10) else []
    return replace(history, intents=tuple(intents), loops=any_loops(draw))


def any_rest(
    draw: Draw, records: Sequence[RecordFacts], deleted: Sequence[DeletedFacts], items: Mapping[str, Item]
) -> dict[str, Any]:
    by_id = {facts.id: facts.record for facts in records}
    requests = tuple(any_requests(draw, [*records, *deleted]))
    limit = ApprovalLimit(draw.choice([0, 1, 10, None]), None, 100)
    removals: dict[UUID, dict[str, Any]] = {}
    for key in by_id:
        is_rejected = draw.choice([False, False, False, True])
        removals[key] = {
            "is_deletion_rejected": is_rejected,
            "is_rejection_new": is_rejected,
            "is_removed_too_often": draw.maybe(10),
            "needed_by": "Acme needs it." if draw.maybe(10) else "",
        }
    return {
        "removal_policy": draw.choice(list(RemovedItemPolicy)),
        "deletion_policy": draw.choice(list(DeletedRecordPolicy)),
        "removals": removals,
        "approvals": ApprovalFacts(requests, NOTHING_COUNTED, limit),
    }


def any_world(seed: int) -> Drawn:
    """Up to three contacts, two deleted ones and four more items, similar enough to be confused."""
    draw = Draw(seed)
    on = any_board(draw)
    ids = [UUID(int=number + 1) for number in range(draw.randrange(4))]
    gone_ids = [UUID(int=number + 101) for number in range(draw.choice([0, 0, 1, 2]))]
    untouched = frozenset(draw.some(ids, 15))
    free = [str(number) for number in range(10, 20)]
    items, by_id, histories, overwritten = dict[str, Item](), dict[UUID, RecordFacts](), dict[UUID, RecordHistory](), []
    for key in [*ids, *gone_ids]:
        item_id = free.pop(0) if draw.maybe(75) else None
        state = any_state(draw)
        facts, there, cell = any_record(draw, on, key, item_id, state, is_untouched=key in untouched)
        by_id[key] = facts
        if cell is not None:
            histories[key] = cell.history
            overwritten += [(key, cell.lost)] if cell.lost else []
        if item_id is not None and state != "missing":
            npd_id = draw.choice([str(key)] * 12 + ["", str(draw.choice([*ids, *gone_ids]))])
            items[item_id] = any_item(draw, item_id, there, npd_id, state)
    unmatched = [free.pop(0) for _ in range(draw.randrange(4))]
    for number in list(unmatched):
        npd_id, state = draw.choice(["", "", str(UUID(int=9))]), any_state(draw)
        values = draw.values(30) | {"email": draw.choice(KEYS["email"])}
        if (ids or gone_ids) and draw.maybe(40):
            npd_id = str(draw.choice([*ids, *gone_ids]))
        items |= {number: any_item(draw, number, values, npd_id, state)} if state != "missing" else {}
    items_of_deleted = [by_id[key].record.monday_id for key in gone_ids]
    unmatched += [item_id for item_id in items_of_deleted if item_id and draw.maybe(30)]
    if draw.maybe(2):
        items = {
            key: replace(item, values={k: v for k, v in item.values.items() if k != "notes"})
            for key, item in items.items()
        }
    records = [by_id[key] for key in ids]
    for place, claimed in enumerate(records):
        if draw.maybe(8):
            answer = any_answer(draw, claimed, ids, unmatched or ["10"])
            records[place] = replace(claimed, conflicts=(*claimed.conflicts, answer))
    deleted = [any_deleted(draw, by_id[key], number) for number, key in enumerate(gone_ids)]
    jobs = {key: draw.choice([{}] * 6 + [{"create": True}, {"as_new": True}]) for key in unmatched}
    if ids:
        jobs |= {key: {"link_to": str(draw.choice(ids))} for key in draw.some(unmatched, 8)}
    return Drawn(
        on,
        records,
        items,
        [key for key in unmatched if draw.maybe(90)],
        deleted=deleted,
        related=(ACME, BETA),
        jobs=jobs,
        ignored={key: any_ignored(draw, key, ids) for key in draw.some(unmatched, 10)},
        events={key: at(-draw.choice([2, 60])) for key in draw.some(unmatched, 20)},
        unlinked={key: any_ignored(draw, "10", [key]) for key in draw.some(ids, 4)},
        edits={key: any_edits(draw) for key in ids},
        heard={by_id[key].record.monday_id or "": history.events for key, history in histories.items()},
        answer_records={facts.id: facts.record for facts in records},
        merge_obstacles={
            answer.conflict.conflict_id: "It was changed."
            for facts in records
            for answer in answers_of(facts)
            if answer.merged_id not in untouched
        },
        untouched=untouched,
        overwritten=tuple(overwritten),
        **any_rest(draw, records, deleted, items),
    )


def any_ignored(draw: Draw, key: str, ids: Sequence[UUID]) -> IgnoredItem:
    entity_id = draw.choice([None, *ids])
    return plain(IgnoredItem, item_id=key, reason=said("Pat said so."), left_alone=draw.maybe(50), entity_id=entity_id)


worlds = st.integers(0, 2**32).map(any_world)


def any_removal(seed: int) -> World:
    """A contact whose item is gone for longer than the quiet time, nearly as agreed; the policy is to delete it."""
    draw = Draw(seed)
    on, state = any_board(draw), draw.choice(["archived", "deleted"])
    seen_gone = {"removed_since": at(-700), "removed_passes": 3, "remote_state": state}
    without_base = draw.some(list(KEYS), 8)
    facts = record_facts(draw.values(8), on=on, without_base=without_base, causes=[Cause.SWEEP], sync_state=seen_gone)
    for entry in facts.sync_state.base.values():
        if draw.maybe(8):
            entry.update(draw.choice([{"item": "999"}, {"version": 0}, {"column": "old"}]))
    shown = item(unknown=draw.some(["email", "role_title", "notes", "organization"], 8), state=state, **draw.values(8))
    return World(on, [facts], {shown.id: shown}, removal_policy=RemovedItemPolicy.DELETE, related=(ACME, BETA))


removals = st.integers(0, 2**32).map(any_removal)
