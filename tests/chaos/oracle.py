"""What must be true in the end, whatever happened before. Each check is one promise of docs/guarantees.md.

Equal sides are not enough, as they would be equal if the last writer won: no value that a person wrote may be lost.
"""

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from conflicts.models import SyncConflict
from npd.models import Contact
from sync.clock import SyncNow
from sync.kernel.db import fetch_rows
from sync.models import Intent, IntentState, WriteLoop
from tests.chaos import identity_checks as identity
from tests.chaos import meddling
from tests.chaos import writing_rights as rights
from tests.chaos.calls import calls_follow_from_changes
from tests.chaos.evidence import Entity, Evidence, flat
from tests.chaos.journal import FIELDS, MONDAY, Violation, Write, essence
from tests.chaos.people_npd import UNDO
from tests.chaos.quiet import last_call, mutations_since
from tests.chaos.stage import MODELS, Stage, local_value, same
from tests.support.attention import untrue_rows
from tests.support.words import stored_sentences

TWO_WAYS = ("bidirectional",)

Check = Callable[[Evidence], Iterator[str]]


def judge(stage: Stage) -> Iterator[Violation]:
    """All violations of the checks, and what changes when every webhook comes again."""
    evidence = Evidence(stage)
    for name, check in CHECKS.items():
        yield from (Violation(name, words) for words in check(evidence))
    yield from (Violation("a replay changes nothing", words) for words in nothing_changes(stage))


def sides_agree(evidence: Evidence) -> Iterator[str]:
    """Both sides of a linked record are equal, or an open conflict or a held field explains the difference.

    If Monday stored another form of a value without loss, the letters and their order must be the same.
    """
    for entity in evidence.entities:
        if not entity.linked or not entity.may_sync:
            continue
        for key in evidence.keys(entity):
            local, remote = entity.local(key), evidence.remote(entity, key)
            if same(key, local, remote) or excused(entity, key):
                continue
            if entity.is_noted(key) and _letters(local) == _letters(remote):
                continue
            way = flow(evidence, entity, key)
            if way == "none" or (_is_agreed(entity, key, local, remote) and way == _FROM_EMPTY[not local]):
                continue
            yield f"{entity.words}.{key}: NPD {local!r}, Monday {remote!r}; {state_of(entity)}"


def _letters(text: str) -> str:
    words = re.sub(r"</?[A-Za-z][A-Za-z0-9]*( [^<>]*)?>", "", text).casefold()
    return "".join(character for character in words if character.isalnum())


# by whether NPD is the empty side: the direction in which a source that was always empty clears nothing
_FROM_EMPTY = {True: "npd_to_monday", False: "monday_to_npd"}


def _is_agreed(entity: Entity, key: str, local: str, remote: str) -> bool:
    """Whether exactly one side is empty, and the base holds this same pair."""
    base = entity.sync_state.base.get(key) if entity.sync_state else None
    halves = (raw_text(key, base.get("local")), raw_text(key, base.get("remote"))) if base else None
    return bool(local) != bool(remote) and halves == (essence(key, local), essence(key, remote))


def excused(entity: Entity, key: str) -> bool:
    """Whether something visible says that this field waits."""
    waits_whole = entity.open_kinds() & {"delete"}
    return entity.in_open_conflict(key) or entity.is_held(key) or bool(waits_whole) or throttled(entity, key)


def throttled(entity: Entity, key: str) -> bool:
    """Whether a write loop has paused this field."""
    return WriteLoop.objects.filter(entity_id=entity.record_id, key=key, throttled_until__gt=SyncNow()).exists()


def flow(evidence: Evidence, entity: Entity, key: str) -> str:
    """The direction that is allowed now: both, npd_to_monday, monday_to_npd or none."""
    assert entity.record
    allowed = {"npd_to_monday", "monday_to_npd"}
    for direction in (entity.record.sync_direction, evidence.mappings[entity.type, key].direction):
        if direction not in TWO_WAYS:
            allowed &= {direction}
    return "both" if len(allowed) == 2 else (allowed.pop() if allowed else "none")


def state_of(entity: Entity) -> str:
    if entity.record is None:
        return "its record is deleted"
    note = entity.sync_state.note if entity.sync_state else "no sync state"
    waits = {**entity.sync_state.blocked_fields, **entity.sync_state.altered} if entity.sync_state else {}
    return f"it says {entity.record.sync_status!r}, {note!r}, held {waits}, open {sorted(entity.open_kinds())}"


def nothing_is_lost(evidence: Evidence) -> Iterator[str]:
    """Every value that a person wrote is on a side, was seen by whoever replaced it, or can be taken back."""
    on_sides = _on_sides(evidence)
    for number, write in enumerate(evidence.journal.writes):
        token = write.token
        if not token or token in on_sides or token in evidence.kept:
            continue
        # What Monday itself dropped in a move before NPD knew it is lost by nobody's fault.
        if write.side == MONDAY and evidence.journal.dropped.get((write.handle, write.key)) == write.value:
            continue
        if any(token in flat(later.shown) for later in evidence.journal.writes[number + 1 :]):
            continue
        if _with_its_record(evidence, write.handle, token) or _left_behind(evidence, write):
            continue
        yield (
            f"{write.value!r}, which {write.by} wrote into {write.handle}.{write.key} in {write.side} at step"
            f" {write.step}, is nowhere: nobody who replaced it saw it, and no conflict or history holds it"
        )


def _on_sides(evidence: Evidence) -> str:
    """All current values, also of items that a person removed, but not of those that the sync removed."""
    parts: list[Any] = []
    for entity in evidence.entities:
        parts += [entity.local(key) for key in evidence.keys(entity)]
    removed_by_people = {evidence.stage.item_id(handle) for handle in evidence.journal.removed}
    for item_id, (_, item) in evidence.items.items():
        if item["state"] == "active" or item_id in removed_by_people:
            parts += [item["name"], item["values"]]
    return flat(parts)


def _with_its_record(evidence: Evidence, handle: str, token: str) -> bool:
    """Whether a deleted record's tombstone has the value, and a person deleted it or its item still has the value."""
    for entity in evidence.entities:
        if entity.stone and handle in entity.handles and token in flat(entity.stone.data):
            by_a_person = entity.handles & set(evidence.journal.deleted)
            return bool(by_a_person) or bool(entity.item and token in flat(entity.item))
    return False


def _left_behind(evidence: Evidence, write: Write) -> bool:
    """Whether the value was on an item that a person moved to a board without such a column."""
    journal = evidence.journal
    return write.side == MONDAY and write.token in journal.moved and write.handle in journal.removed


def what_was_emptied_stays_empty(evidence: Evidence) -> Iterator[str]:
    """A field whose last write emptied it is empty on both sides, unless a conflict or a rule came between."""
    for entity in evidence.entities:
        if not entity.linked or not entity.may_sync:
            continue
        for key in evidence.keys(entity):
            # Emptying an empty field writes nothing.
            writes = [write for write in evidence.writes_of(entity, key) if write.value or write.shown]
            if (
                not writes
                or writes[-1].value
                or writes[-1].by == UNDO
                or entity.ever_in_conflict(key)
                or excused(entity, key)
                or _taken_back(writes)
            ):
                continue
            if flow(evidence, entity, key) != "both" or _has_lost_update(evidence, entity, key):
                continue
            if entity.local(key) or evidence.remote(entity, key):
                last = writes[-1]
                yield (
                    f"{entity.words}.{key} was emptied by {last.by} in {last.side} at step {last.step}, and is"
                    f" {entity.local(key)!r} in NPD, {evidence.remote(entity, key)!r} on Monday"
                )


def _taken_back(writes: Sequence[Write]) -> bool:
    """Whether the last write undoes one that the other side never saw: then only the other side changed the field."""
    last = writes[-1]
    own = [write for write in writes[:-1] if write.side == last.side]
    others = [write for write in writes if write.side != last.side]
    if not own or own[-1].shown or own[-1].value not in last.shown:
        return False
    came_after = [other for other in others if other.step > own[-1].step]
    return bool(came_after) and all(own[-1].value not in other.shown for other in came_after)


def _has_lost_update(evidence: Evidence, entity: Entity, key: str) -> bool:
    return any(
        str(d.entity_id) == entity.record_id and d.key == key and d.kind == "overwritten" for d in evidence.decisions
    )


def no_value_is_invented(evidence: Evidence) -> Iterator[str]:
    """Every current value was written by somebody into this field of this record."""
    for entity in evidence.entities:
        if not entity.handles:
            continue
        for key in evidence.keys(entity):
            written = {essence(key, write.value) for write in evidence.writes_of(entity, key)}
            active = entity.item and entity.item["state"] == "active"
            for side, value in (("NPD", entity.local(key)), ("Monday", evidence.remote(entity, key) if active else "")):
                if value and essence(key, value) not in written:
                    yield f"{entity.words}.{key} is {value!r} in {side}, which nobody wrote there"


def base_is_both_sides(evidence: Evidence) -> Iterator[str]:
    """The base of a record that says synced is what both sides hold."""
    for entity in evidence.entities:
        if not entity.linked or entity.record is None or entity.record.sync_status != "synced":
            continue
        assert entity.sync_state
        for key in evidence.keys(entity):
            if flow(evidence, entity, key) == "none" or throttled(entity, key):
                continue
            base = entity.sync_state.base.get(key)
            local, remote = essence(key, entity.local(key)), essence(key, evidence.remote(entity, key))
            if base is None and not local and not remote:
                continue
            halves = base and (raw_text(key, base.get("local")), raw_text(key, base.get("remote")))
            if halves != (local, remote):
                yield f"{entity.words}.{key} says synced with base {halves}, but holds {(local, remote)}"


def raw_text(key: str, raw: Any) -> str:
    """The text in a raw value, whatever its shape."""
    return essence(key, _texts(key, raw))


def _texts(key: str, raw: Any) -> str:
    if isinstance(raw, dict):
        for name in ("email", "phone"):
            if name == key and name in raw:
                return str(raw[name] or "")
        return " ".join(filter(None, (_texts(key, value) for value in raw.values() if value is not None)))
    return str(raw or "")


def nobody_empties_by_mistake(evidence: Evidence) -> Iterator[str]:
    """No field in NPD was ever emptied, even for a moment, unless a person did it or was asked."""
    undone = evidence.journal.counts["undo_change"] + evidence.journal.counts["undo_conflict"]
    for entity in evidence.entities:
        if entity.type != "contact" or undone or not entity.handles or not entity.record_id:
            continue
        rows = Contact.pgh_event_model.objects.filter(pgh_obj_id=entity.record_id)  # type: ignore[attr-defined]
        versions = list(rows.order_by("pgh_id").values(*FIELDS["contact"]))
        for key in FIELDS["contact"]:
            emptied = any(before[key] and not after[key] for before, after in itertools.pairwise(versions))
            cleared = any(not write.value for write in evidence.writes_of(entity, key))
            if emptied and not cleared and not entity.ever_in_conflict(key) and not _was_one_way(evidence, entity, key):
                yield f"{entity.words}.{key} was emptied in NPD, and nobody did that"


def _was_one_way(evidence: Evidence, entity: Entity, key: str) -> bool:
    """Whether its direction was ever changed: one-way sources are mirrored, and what they replace is kept."""
    names = {*entity.handles, f"{entity.type}.{key}"}
    return any("direction" in setting.name and setting.handle in names for setting in evidence.journal.settings)


def conflicts_have_two_sides(evidence: Evidence) -> Iterator[str]:
    """Both sides changed a field that a person is asked about, except addresses and fields that were mapped anew."""
    remapped = {setting.handle for setting in evidence.journal.settings if setting.name == "version"}
    for entity in evidence.entities:
        for conflict in entity.conflicts:
            if conflict.kind != "fields" or not entity.handles:
                continue
            for key in {*conflict.conflict_fields, *conflict.merge_selections} - {"address"}:
                writes = evidence.writes_of(entity, key)
                sides = {write.side for write in writes}
                if key in FIELDS[entity.type] and len(sides) < 2 and f"{entity.type}.{key}" not in remapped:
                    only = " and ".join(sides) or "nobody"
                    yield f"{entity.words}.{key}: a person was asked, and only {only} wrote it"


def the_status_is_true(evidence: Evidence) -> Iterator[str]:
    """Synced has nothing open, conflict has an open one, pending has a reason, disabled is switched off."""
    for entity in evidence.entities:
        record = entity.record
        if record is None:
            continue
        kinds = entity.open_kinds() - ({"identity"} if record.monday_id else set())
        status = record.sync_status
        if not entity.may_sync:
            if status != "disabled":
                yield f"{entity.words} is switched off and says {status!r}"
        elif bool(kinds) != (status == "conflict"):
            yield f"{entity.words} says {status!r} with open conflicts {sorted(kinds)}"
        elif status == "pending" and not reason_of(entity):
            yield f"{entity.words} is pending, and says no reason"
        elif status == "synced" and not entity.linked:
            yield f"{entity.words} says synced, and its item is {entity.item and entity.item['state']}"


def reason_of(entity: Entity) -> str:
    """Why the sync state says that the record is not in sync, or empty."""
    sync_state = entity.sync_state
    return (
        "" if sync_state is None else sync_state.note or str({**sync_state.blocked_fields, **sync_state.altered} or "")
    )


def the_queue_is_at_rest(evidence: Evidence) -> Iterator[str]:
    """No row is in progress, overdue or failed for good, and no call's outcome is unknown."""
    queries = {
        "in progress": "SELECT entity_type, entity_id FROM sync_queue WHERE status = 'in_progress'",
        "due and not worked": "SELECT entity_type, coalesce(entity_id::text, remote_id), reason FROM sync_queue"
        " WHERE status = 'pending' AND next_retry <= sync_now()",
        "failed for good": "SELECT entity_type, coalesce(entity_id::text, remote_id), error_message"
        " FROM sync_queue WHERE status = 'failed' AND error_message NOT LIKE '%worker_ended_alone%'",
    }
    for words, query in queries.items():
        yield from (f"{words}: {row}" for row in fetch_rows(query))
    # A call's outcome stays unknown while its record is switched off, or a person is asked about its removed item.
    waits_for_people = {entity.record_id for entity in evidence.entities if entity.record and not entity.may_sync}
    questions = SyncConflict.objects.filter(kind="delete", resolved_at=None)
    waits_for_people |= {str(entity_id) for entity_id in questions.values_list("entity_id", flat=True)}
    for intent in Intent.objects.filter(state=IntentState.OPEN, deadline__lte=SyncNow()):
        if str(intent.entity_id) not in waits_for_people:
            yield f"an open intent: {intent.entity_type} {intent.entity_id}"


def what_waits_is_listed(evidence: Evidence) -> Iterator[str]:
    """The stored list of what waits for a person has no row missing and none too many."""
    for difference, *row in untrue_rows():
        yield f"{difference} of what waits for a person: {row}"


def sentences_have_codes(_evidence: Evidence) -> Iterator[str]:
    """No stored text for people is a finished sentence: each is a code with its values."""
    yield from stored_sentences()


def nothing_changes(stage: Stage) -> Iterator[str]:
    """What a replay of all webhooks changes."""
    before, since = _picture(stage), last_call(stage)
    meddling.replay(stage)
    stage.arena.work()
    stage.arena.pass_time(30)
    stage.arena.work()
    after, sent = _picture(stage), mutations_since(stage, since)
    if sent:
        yield f"it sent {len(sent)} mutations: {sent}"
    for part in before.keys() | after.keys():
        if before.get(part) != after.get(part):
            yield f"{part} was {before.get(part)!r} and is {after.get(part)!r}"


def _picture(stage: Stage) -> dict[str, Any]:
    shown: dict[str, Any] = {"open conflicts": SyncConflict.objects.filter(resolved_at=None).count()}
    for entity_type, model in MODELS.items():
        for record in model._default_manager.all():
            shown[f"{entity_type} {record.pk}"] = [local_value(record, key) for key in FIELDS[entity_type]]
    for board in stage.sandbox.boards():
        for item in board["items"]:
            shown[f"item {item['id']}"] = (item["name"], item["state"], item["values"])
    return shown


CHECKS: dict[str, Check] = {
    "nothing is lost": nothing_is_lost,
    "both sides agree": sides_agree,
    "what was emptied stays empty": what_was_emptied_stays_empty,
    "nothing is emptied by mistake": nobody_empties_by_mistake,
    "no value is invented": no_value_is_invented,
    "one item a record": identity.one_item_a_record,
    "made once": identity.nothing_is_made_twice,
    "nothing is left out": identity.nobody_is_left_out,
    "no delete that no one meant": identity.only_meant_deletes,
    "deleted stays deleted": identity.deleted_stays_deleted,
    "nothing is written against its setting": rights.only_where_allowed,
    "the base is both sides": base_is_both_sides,
    "the status is true": the_status_is_true,
    "conflicts have two sides": conflicts_have_two_sides,
    "the queue is at rest": the_queue_is_at_rest,
    "what waits is listed": what_waits_is_listed,
    "sentences have codes": sentences_have_codes,
    "calls follow from changes": calls_follow_from_changes,
}
