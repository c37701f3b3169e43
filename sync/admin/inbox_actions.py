"""What Home offers for the engine's own kinds: failed jobs, blocked fields, approvals, records whose items were
removed on Monday, and unmatched items.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db import transaction
from django.db.models import ProtectedError, QuerySet, RestrictedError
from django.http import HttpRequest
from django.utils.html import format_html

from sync import attention, registry
from sync.admin import admin_base
from sync.admin.activity_pages import deleted_records_link
from sync.admin.board_pages import ask_for_columns
from sync.admin.confirmed_action import MAX_ROWS_SHOWN, Question, RecordTable
from sync.admin.deletion_pages import approval_question, decide_approvals, of_chosen_kind
from sync.admin.inbox_offers import ActionResult, GroupLead, InboxAction, register_action, register_lead
from sync.admin.queue_pages import left_alone
from sync.admin.record_panel import may_change_mapping
from sync.admin.unmatched_pages import create_records, created_words, ignore_items, list_again
from sync.attention import Entry, Group, Kind
from sync.boards.mapping import needs_column, retry_field
from sync.choices import ApprovalKind, BlockedCode, RemovedItemPolicy, SyncDirection
from sync.clock import parse_moment, sync_now
from sync.kernel import humanize
from sync.kernel.acts import ACTS
from sync.kernel.messages import ActionError
from sync.limits import quota
from sync.models import ApprovalRequest, BoardLink, FieldMapping, SyncedModel, SyncQueue, UnmatchedItem
from sync.outbox import operate
from sync.queue import retry_all
from sync.records.authors import log_action, log_action_many, who_may
from sync.records.availability import Overview, wait_sentence
from sync.records.blocked_fields import throttled_fields
from sync.records.item_links import request_recreation_many, request_unlink_many


def _retry(request: HttpRequest, entries: Sequence[Entry], seen: Mapping[str, Any]) -> ActionResult:
    done = 0
    problems = list[str]()
    by = request.user.get_username()
    entity_types = {entry.entity_type for entry in entries if entry.field}
    if jobs := [entry.job for entry in entries if entry.kind is Kind.FAILED]:
        rows = SyncQueue.objects.filter(pk__in=jobs)
        entity_types |= set(rows.values_list("entity_type", flat=True))
        result = retry_all(rows, by)
        done += result.done
        problems += left_alone(result, "done already")
    fields: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        if entry.field:
            fields.setdefault((entry.entity_type, entry.field), []).append(entry)
    mappings = FieldMapping.objects.select_related("link").filter(key__in={key for _type, key in fields})
    by_name = {(mapping.link.entity_type, mapping.key): mapping for mapping in mappings}
    for name, members in fields.items():
        if name in by_name:
            try:
                tried = retry_field(by_name[name], [entry.entity_id for entry in members if entry.entity_id], by)
            except ActionError as error:
                problems.append(str(error))
            else:
                done += tried
                records = humanize.count_with_noun(tried, "record")
                log_action(request.user, by_name[name], f"Tried again on {records}.")
    wait = wait_sentence(done, entity_types)
    when = f". {wait}" if wait else " now."
    stay = " Here until it has succeeded." if jobs else ""
    number = humanize.count_with_noun(done, "entry", "entries")
    return ActionResult(done, f"{number} will be tried again{when}{stay}", problems, outcome=f"{number} tried again.")


def _discard(request: HttpRequest, entries: Sequence[Entry], seen: Mapping[str, Any]) -> ActionResult:
    rows = SyncQueue.objects.filter(pk__in=[int(entry.row_id) for entry in entries])
    done = operate.discard(rows, request.user.get_username()).done
    return ActionResult(done, f"{humanize.count_with_noun(done, 'failed job')} discarded.")


def _discard_question(_request: HttpRequest, entries: Sequence[Entry]) -> Question:
    number = humanize.count_with_noun(len(entries), "failed job")
    rows = [(entry.name, entry.board, entry.detail) for entry in entries[:MAX_ROWS_SHOWN]]
    return Question(
        f"Discard {number}?",
        [ACTS["discard"].effect],
        f"Yes, discard {number}",
        [RecordTable(("Record", "Board", "Why it failed"), rows, len(entries))],
    )  # fmt: skip


def _requests_of(entries: Sequence[Entry]) -> QuerySet[ApprovalRequest]:
    return ApprovalRequest.objects.filter(pk__in=[int(entry.row_id) for entry in entries], state="pending")


def _decide(decision: str, request: HttpRequest, entries: Sequence[Entry], seen: Mapping[str, Any]) -> ActionResult:
    report = decide_approvals(request, of_chosen_kind(request, _requests_of(entries)), decision)
    return ActionResult(int(bool(report.done)), report.done, report.problems)


def _items_of(keys: Iterable[str]) -> Any:
    return UnmatchedItem.objects.filter(pk__in=[int(key) for key in keys])


def _create(request: HttpRequest, entries: Sequence[Entry], seen: Mapping[str, Any]) -> ActionResult:
    rows = _items_of(entry.row_id for entry in entries)
    outcome = f"{created_words(rows)} created."
    items = [row.item_id for row in rows]
    done, report = create_records(request, rows)
    return ActionResult(done, report.done, report.problems, outcome=outcome, items=items)


def _ignore(request: HttpRequest, entries: Sequence[Entry], seen: Mapping[str, Any]) -> ActionResult:
    keys, sentence = ignore_items(request, _items_of(entry.row_id for entry in entries))
    return ActionResult(len(keys), sentence, undo=keys)


def _consider_again(request: HttpRequest, tokens: Sequence[str]) -> ActionResult:
    done, sentence = list_again(request, _items_of(tokens))
    return ActionResult(done, f"Undone: {sentence}")


def _may_retry(user: Any, entry: Entry) -> bool:
    """A failed job asks for its own right, a field for that of changing its record."""
    if entry.kind is Kind.FAILED:
        return attention.may_act_on(user, entry.kind, entry.entity_type)
    return registry.may_act(user, "change", entry.entity_type)


_FIELD_AGAIN = "Tries the field again with the next sync."

register_action(
    InboxAction(
        ACTS["retry"],
        frozenset({Kind.FAILED, Kind.BLOCKED}),
        _retry,
        again="Retry now",
        effects={Kind.BLOCKED: _FIELD_AGAIN},
        may=_may_retry,
        fits=lambda entry: entry.cause_code not in ("column", "limit"),
    ),
    # What Monday has rejected it rejects again, unless its board was changed: then all of a field are tried.
    InboxAction(
        ACTS["retry"],
        frozenset({Kind.REJECTED}),
        _retry,
        code="retry_rejected",
        of_cause=True,
        effects={Kind.REJECTED: _FIELD_AGAIN},
        may=_may_retry,
        fits=lambda entry: entry.cause_code != "limit",
    ),
    InboxAction(ACTS["discard"], frozenset({Kind.FAILED}), _discard, question=_discard_question),
)


# A field that is blocked as long as its column can't be used, or an automation rewrites it.


_RESTORED = (
    "Restored on the board (undo, or the board's trash), it is synced as before. A new column gets NPD's values, where "
    "they are synced to Monday."
)


def _blocked_leads(causes: Sequence[Group], now: Overview, _user: Any) -> dict[str, GroupLead]:
    """Return where a column that was deleted can be restored, and what an update loop is."""
    missing = [cause for cause in causes if cause.code == BlockedCode.COLUMN]
    leads = {
        cause.cause: GroupLead(_RESTORED, "Open the board", registry.board_url(now.links[cause.entity_type]))
        for cause in missing
        if cause.entity_type in now.links
    }
    for cause in causes:
        if cause.code == BlockedCode.THROTTLED:
            leads[cause.cause] = GroupLead(_loop_sentence(cause.cause))
    return leads


def _loop_sentence(cause: str) -> str:
    """Say who writes another value on the board after each of our writes, and until when nothing is sent."""
    _kind, entity_type, key, _code = cause.split(":")
    loops = list(throttled_fields().filter(entity_type=entity_type, key=key).order_by("throttled_until"))
    writers = ", ".join(sorted({loop.by for loop in loops if loop.by})) or "somebody"
    until = next((humanize.day_and_time(loop.throttled_until) for loop in loops if loop.throttled_until), "")
    pulled = (SyncDirection.BIDIRECTIONAL, SyncDirection.MONDAY_TO_NPD)
    is_pulled = FieldMapping.objects.filter(link__entity_type=entity_type, key=key, direction__in=pulled).exists()
    return (
        f"After each of our writes, {writers} writes another value on the board, so nothing is sent to this field of "
        f"these records until {until}; then it is tried once. Their other fields are synced. "
        f"{'What the board shows still updates NPD. ' if is_pulled else ''}Once that is stopped, retry."
    )


def _check_columns(request: HttpRequest, entries: Sequence[Entry], seen: Mapping[str, Any]) -> ActionResult:
    answers = list[str]()
    problems = list[str]()
    for link in BoardLink.objects.filter(entity_type__in={entry.entity_type for entry in entries}).order_by("pk"):
        try:
            answers.append(ask_for_columns(request, link))
        except ActionError as error:
            problems.append(str(error))
    return ActionResult(len(answers), " ".join(answers), problems)


register_lead(Kind.BLOCKED, _blocked_leads)
register_action(
    InboxAction(
        ACTS["check_column"],
        frozenset({Kind.BLOCKED}),
        _check_columns,
        may=lambda user, entry: may_change_mapping(user),
        fits=lambda entry: entry.cause_code == BlockedCode.COLUMN,
    )
)


def _decision_question(decision: str, request: HttpRequest, entries: Sequence[Entry]) -> Question:
    return approval_question(_requests_of(entries), decision, ())


_APPROVED: Mapping[str, str] = {
    ApprovalKind.ITEMS: "Remove {items} on Monday…",
    ApprovalKind.RECORDS: "Delete {records} in NPD…",
    ApprovalKind.CLEAR_MONDAY: "Empty {fields} on Monday…",
    ApprovalKind.CLEAR_NPD: "Empty {fields} in NPD…",
}
"""What approving does; the cause and the question say whether items are archived or deleted."""

_WHAT_WAITS: Mapping[str, str] = {
    ApprovalKind.ITEMS: "Their records were deleted in NPD.",
    ApprovalKind.RECORDS: "Their items were deleted on Monday, so the records would be deleted in NPD.",
    ApprovalKind.CLEAR_MONDAY: "Emptied in NPD, so they would be emptied on Monday.",
    ApprovalKind.CLEAR_NPD: "Emptied on Monday, so they would be emptied in NPD.",
}
_TOO_MANY = "Together with those of the hour before, that is more than usual, so it waits until somebody approves it."


register_lead(
    Kind.APPROVAL,
    lambda causes, _now, _user: {cause.cause: GroupLead(f"{_WHAT_WAITS[cause.code]} {_TOO_MANY}") for cause in causes},
)
for _decision in ("approve", "reject"):
    register_action(
        InboxAction(
            ACTS[_decision],
            frozenset({Kind.APPROVAL}),
            partial(_decide, _decision),
            consequences=_APPROVED if _decision == "approve" else {},
            question=partial(_decision_question, _decision),
        )
    )
register_action(
    InboxAction(ACTS["create_record"], frozenset({Kind.UNMATCHED}), _create, code="create"),
    InboxAction(ACTS["ignore"], frozenset({Kind.UNMATCHED}), _ignore, undo=_consider_again),
)


# Records whose items somebody archived, deleted or moved on Monday, asked about already or still waited for. An answer
# is given to the records themselves, by the ways of their own pages: so it is the same before the question and after.


_RESTORE_STEPS = {
    "archived": "On Monday, open the archive in the board's menu (⋯), select the items and restore them.",
    "deleted": "On Monday, open the recycle bin within 30 days, select the items and restore them.",
    "moved": "On Monday, select the items on the other board and move them back.",
}

_AFTER_QUIET_TIME = {
    RemovedItemPolicy.ASK: "Otherwise they stay in NPD, and are not synced, until somebody answers here.",
    RemovedItemPolicy.UNLINK: "Otherwise the records are unlinked then, as the board's setting says",
    RemovedItemPolicy.DELETE: "Otherwise the records are deleted in NPD, too, as the board's setting says",
    RemovedItemPolicy.CREATE: "Otherwise their items are created again then, as the board's setting says",
}


def _left_to_others(user: Any, cause: Group) -> str:
    """What of the answers this person may not give, and who may; empty where all or none are theirs."""
    may_delete, may_answer = _may_delete(user, cause), _may_answer(user, cause)
    if may_delete == may_answer:
        return ""
    act, what = ("change", "Creating items again and unlinking") if may_delete else ("delete", "Deleting in NPD")
    return f"{what} is not part of your role; who may: {who_may(act, cause.entity_type)}."


def removal_leads(causes: Sequence[Group], now: Overview, user: Any) -> dict[str, GroupLead]:
    """Return what becomes of the records of these acts, when, how the items are restored, and who else may answer."""
    leads = dict[str, GroupLead]()
    for cause in causes:
        if (link := now.links.get(cause.entity_type)) is None:
            continue
        until = cause.noticed + timedelta(seconds=settings.GONE_QUIET_SECONDS) if cause.noticed else now.now
        sentence = (
            "They stay in NPD as they are, and are not synced, until somebody answers, or they are restored on Monday."
        )
        if until > now.now:
            policy = RemovedItemPolicy(link.removed_item_policy)
            # An item on another board is somebody's to decide, whatever the setting says.
            policy = RemovedItemPolicy.ASK if cause.code == "moved" else policy
            then = _AFTER_QUIET_TIME[policy]
            then += "" if policy is RemovedItemPolicy.ASK else "; what was edited since is asked about."
            at = humanize.due_time(until)
            sentence = f"Until {at} nothing is changed: restored by then, they are synced as before. {then}"
        sentence = f"{sentence} {_left_to_others(user, cause)}".rstrip()
        link_text = "Restore on Monday" if cause.code != "moved" else "Move back on Monday"
        leads[cause.cause] = GroupLead(sentence, link_text, registry.board_url(link), _RESTORE_STEPS[cause.code])
    return leads


def _by_type(entries: Iterable[Entry]) -> dict[str, list[Any]]:
    ids: dict[str, list[Any]] = {}
    for entry in entries:
        ids.setdefault(entry.entity_type, []).append(entry.entity_id)
    return ids


def _records_of(entries: Sequence[Entry]) -> Iterator[SyncedModel]:
    """The records themselves, with what they point at; one query for each type."""
    for entity_type, ids in _by_type(entries).items():
        model = registry.entity(entity_type).model
        pointing = [field.name for field in registry.own_fields(model) if field.many_to_one]
        yield from model._default_manager.filter(pk__in=ids).select_related(*pointing)


def _counted(entries: Sequence[Entry], number: int | None = None) -> str:
    """So many of these records, else all, as “60 contacts”."""
    types = {entry.entity_type for entry in entries}
    return registry.count_of_type(len(entries) if number is None else number, types.pop() if len(types) == 1 else "")


def _removal_question(
    title: str, effects: Sequence[str], button: str, entries: Sequence[Entry], *, deletes: bool = False
) -> Question:
    """Ask about these, and hold the answer to what they are now."""
    shown = entries[:MAX_ROWS_SHOWN]
    details: dict[Any, str] = {record.pk: admin_base.describe(record) for record in _records_of(shown)}
    rows = [
        (entry.name, details.get(entry.entity_id, ""), " ".join(filter(None, (f"{entry.cause_text}.", entry.detail))))
        for entry in shown
    ]
    table = RecordTable(("Record", "Details", "What happened"), rows, len(entries))
    if len(happened := {what for *_record, what in rows}) == 1:
        table = RecordTable(table.heads[:2], [record for *record, _what in rows], len(entries), happened.pop())
    return Question(title, effects, button, [table], [(_ASKED_AT, sync_now().isoformat())], deletes=deletes)


_ASKED_AT = "asked_at"


def _create_again_question(_request: HttpRequest, entries: Sequence[Entry]) -> Question:
    items, are = humanize.count_with_noun(len(entries), "item"), humanize.plural(len(entries), "is", "are")
    effects = [
        f"On Monday: {items} {are} created from what NPD says now. In NPD: nothing is changed.",
        (
            "The old items stay as they are, with what was edited there and never synced. One that is restored later "
            "is listed as a possible duplicate."
        ),
        "To go back, archive the new items on the board.",
        *_creation_cost(entries),
    ]
    return _removal_question(f"Create {items} again on Monday?", effects, f"Create {items}", entries)


def _creation_cost(entries: Sequence[Entry]) -> Iterator[str]:
    """What items are created without for now, and what they take of the day's calls."""
    ids = _by_type(entries)
    links = BoardLink.objects.filter(entity_type__in=ids).prefetch_related("mappings")
    labels = [
        mapping.label for link in links for mapping in link.mappings.all() if mapping.problem and needs_column(mapping)
    ]
    if labels:
        is_blocked = humanize.plural(len(labels), "is", "are")
        yield f"{humanize.join_first(labels)} {is_blocked} blocked: the items are created without it for now."
    if cost := quota.cost_sentence({link.pk: len(ids[link.entity_type]) for link in links}):
        yield cost


def _delete_question(_request: HttpRequest, entries: Sequence[Entry]) -> Question:
    records, are = _counted(entries), humanize.plural(len(entries), "is", "are")
    effects = [
        f"In NPD: {records} {are} deleted, with what was edited there. On Monday: nothing is changed.",
        "To go back, restore them from “Deleted records”, within 30 days.",
    ]
    return _removal_question(f"Delete {records} in NPD?", effects, f"Delete {records}", entries, deletes=True)


def _unlink_question(_request: HttpRequest, entries: Sequence[Entry]) -> Question:
    records, stay = _counted(entries), humanize.plural(len(entries), "stays as it is", "stay as they are")
    effects = [
        f"In NPD: {records} {stay}, with sync turned off. On Monday: nothing is changed.",
        "An item that is restored makes no record, and is matched with none, until somebody says so.",
        "To go back, “Link again…” on the record's page.",
    ]
    return _removal_question(f"Unlink {records}?", effects, f"Unlink {records}", entries)


def _create_again(request: HttpRequest, entries: Sequence[Entry], seen: Mapping[str, Any]) -> ActionResult:
    problems = list[str]()
    for entity_type, ids in _by_type(entries).items():
        _log_on_records(request, entity_type, ids, "Creating its item again was asked for.")
        problems += request_recreation_many(entity_type, ids, request.user.get_username())
    done = len(entries) - len(problems)
    wait = wait_sentence(done, [entry.entity_type for entry in entries])
    items = humanize.count_with_noun(done, "item")
    sentence = f"{items} will be created again. {wait}".rstrip()
    return ActionResult(done, sentence, problems, outcome=f"{items} created again.")


def _unlink(request: HttpRequest, entries: Sequence[Entry], seen: Mapping[str, Any]) -> ActionResult:
    for entity_type, ids in _by_type(entries).items():
        _log_on_records(request, entity_type, ids, "Unlink from Monday was asked for.")
        request_unlink_many(entity_type, ids, request.user.get_username())
    wait = wait_sentence(len(entries), [entry.entity_type for entry in entries])
    sentence = f"{_counted(entries)} will be unlinked. {wait}".rstrip()
    return ActionResult(len(entries), sentence, outcome=f"{_counted(entries)} unlinked.")


def _log_on_records(request: HttpRequest, entity_type: str, ids: Sequence[Any], sentence: str) -> None:
    log_action_many(request.user, registry.entity(entity_type).model._default_manager.filter(pk__in=ids), sentence)


def _delete(request: HttpRequest, entries: Sequence[Entry], seen: Mapping[str, Any]) -> ActionResult:
    """Delete the records as their list would; one that was edited since the question is left."""
    asked_at, done, problems = parse_moment(request.POST.get(_ASKED_AT)), 0, []
    for entity_type, ids in _by_type(entries).items():
        manager = registry.entity(entity_type).model._default_manager
        rows = manager.filter(pk__in=ids, updated_at__lte=asked_at) if asked_at else manager.none()
        if edited := len(ids) - rows.count():
            records = registry.count_of_type(edited, entity_type)
            problems.append(f"{records} left alone: edited or deleted since you were asked. See what is there now.")
        number, refused = _delete_records(request, rows)
        done += number
        problems += refused
    sentence = f"{_counted(entries, done)} {humanize.plural(done, 'is', 'are')} deleted in NPD."
    # No undo: a restored record gets a new item on Monday, which is asked about there.
    link = deleted_records_link(request.user, "Restore under Deleted records")
    return ActionResult(done, format_html("{} {}", sentence, link), problems)


def _delete_records(request: HttpRequest, rows: QuerySet[SyncedModel]) -> tuple[int, list[str]]:
    """All of them together; where others need some, those that nothing keeps."""
    model_admin = admin.site.get_model_admin(rows.model)
    ids = list(rows.order_by("pk").values_list("pk", flat=True))
    try:
        with transaction.atomic():
            model_admin.log_deletions(request, rows)
            rows.model._default_manager.filter(pk__in=ids).delete()
    except (ProtectedError, RestrictedError):
        if len(ids) == 1:
            return 0, [f"“{rows[0]}” was not deleted: other records in NPD need it."]
        results = [_delete_records(request, rows.model._default_manager.filter(pk=key)) for key in ids]
        return sum(number for number, _problems in results), [text for _number, texts in results for text in texts]
    return len(ids), []


def _may_answer(user: Any, entry: Entry | Group) -> bool:
    """Who resolves conflicts answers their question, too, and that is the same."""
    is_resolver = user.has_perm("conflicts.change_syncconflict")
    return is_resolver or registry.may_act(user, "change", entry.entity_type)


def _may_delete(user: Any, entry: Entry | Group) -> bool:
    return registry.may_act(user, "delete", entry.entity_type)


register_lead(Kind.REMOVED, removal_leads)
for _act, _code, _run, _asked, _may in (
    ("create_item", "create_again", _create_again, _create_again_question, _may_answer),
    ("delete_record", "delete_removed", _delete, _delete_question, _may_delete),
    ("unlink", "unlink_removed", _unlink, _unlink_question, _may_answer),
):
    register_action(InboxAction(ACTS[_act], frozenset({Kind.REMOVED}), _run, code=_code, question=_asked, may=_may))
