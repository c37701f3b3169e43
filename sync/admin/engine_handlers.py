"""The handlers of failed jobs, blocked fields, approvals, unmatched items, and removed items."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from django.contrib import admin
from django.contrib.auth.models import User
from django.db import models, transaction
from django.http import HttpRequest
from django.utils.html import format_html

from sync import registry
from sync.admin import admin_base, confirmed_action, handlers
from sync.admin.activity_pages import deleted_records_link
from sync.admin.board_pages import ask_for_columns
from sync.admin.queue_pages import left_alone
from sync.admin.waiting_pages import ANSWERS
from sync.attention import Entry, Group, Kind
from sync.choices import ApprovalKind, DeletedRecordPolicy
from sync.clock import parse_moment, sync_now
from sync.kernel import grouped, humanize
from sync.kernel.messages import ActionError
from sync.limits import api_quota
from sync.models import ApprovalRequest, BoardLink, FieldMapping, SyncQueue, UnmatchedItem
from sync.operations import person_requests
from sync.outbox import operate
from sync.queue import retry_all
from sync.reconcile.field_values import as_uuid
from sync.records import approvals, authors, item_links
from sync.records.availability import wait_sentence


def _retry_report(entries: Sequence[Entry], tried: int, problems: Sequence[str]) -> confirmed_action.Report:
    if not tried:
        return confirmed_action.Report(problems=problems)
    wait = wait_sentence(tried, {entry.entity_type for entry in entries})
    subject = entries[0].name if len(entries) == 1 else humanize.count_with_noun(tried, "entry", "entries")
    return confirmed_action.Report(f"Trying again: {subject}. {wait}".rstrip(), problems)


class Retry(handlers.Handler):
    """Tries failed jobs again."""

    code = "retry"
    kinds = frozenset({Kind.FAILED})
    asks_about_several = False

    def label(self, entry: Entry) -> str:
        return "Retry now" if entry.is_being_retried else self.act.label

    def run(self, request: HttpRequest, entries: Sequence[Entry], shown: Mapping[str, Any]) -> confirmed_action.Report:
        jobs = SyncQueue.objects.filter(pk__in=[entry.job for entry in entries])
        result = retry_all(jobs, request.user.get_username())
        if result.changed:
            number = humanize.count_with_noun(result.changed, "job")
            authors.log_model_action(request.user, SyncQueue, f"Retry: {number}.")
        return _retry_report(entries, result.changed, left_alone(result, "done already"))


class RetryField(handlers.Handler):
    """Tries blocked fields and rejected values again."""

    code = "retry_field"
    kinds = frozenset({Kind.BLOCKED, Kind.REJECTED})
    asks_about_several = False

    def run(self, request: HttpRequest, entries: Sequence[Entry], shown: Mapping[str, Any]) -> confirmed_action.Report:
        tried = 0
        problems: list[str] = []
        by = request.user.get_username()
        with_field = [entry for entry in entries if entry.field]
        by_field = grouped(with_field, lambda entry: (entry.entity_type, entry.field))
        for mapping in FieldMapping.objects.select_related("link").filter(key__in={key for _type, key in by_field}):
            field_entries = by_field.get((mapping.link.entity_type, mapping.key), ())
            ids = [entry.entity_id for entry in field_entries if entry.entity_id]
            if not ids:
                continue
            try:
                records = person_requests.retry_field(mapping, ids, by)
            except ActionError as error:
                problems.append(str(error))
            else:
                tried += records
                number = humanize.count_with_noun(records, "record")
                authors.log_action(request.user, mapping, f"Tried again on {number}.")
        return _retry_report(entries, tried, problems)


class Discard(handlers.Handler):
    code = "discard"
    kinds = frozenset({Kind.FAILED})

    def run(self, request: HttpRequest, entries: Sequence[Entry], shown: Mapping[str, Any]) -> confirmed_action.Report:
        jobs = SyncQueue.objects.filter(pk__in=[int(entry.source) for entry in entries])
        ended = operate.discard(jobs, request.user.get_username()).changed
        if ended:
            authors.log_model_action(request.user, SyncQueue, f"Discard: {humanize.count_with_noun(ended, 'job')}.")
        return confirmed_action.Report(f"{humanize.count_with_noun(ended, 'failed job')} discarded." if ended else "")


class CheckColumn(handlers.Handler):
    code = "check_column"
    kinds = frozenset({Kind.BLOCKED})
    asks_about_several = False

    def run(self, request: HttpRequest, entries: Sequence[Entry], shown: Mapping[str, Any]) -> confirmed_action.Report:
        answers = []
        problems = []
        for link in BoardLink.objects.filter(entity_type__in={entry.entity_type for entry in entries}).order_by("pk"):
            try:
                answers.append(ask_for_columns(request, link))
            except ActionError as error:
                problems.append(str(error))
        return confirmed_action.Report(" ".join(answers), problems)


# What the board's setting does with the items of deleted records, for the effect of an approval.
_REMOVED: dict[str, str] = {DeletedRecordPolicy.ARCHIVE: "archived", DeletedRecordPolicy.DELETE: "deleted"}


class AnswerApproval(handlers.Handler):
    kinds = frozenset({Kind.APPROVAL})

    def __init__(self, code: str) -> None:
        self.code = code

    def label(self, entry: Entry) -> str:
        return f"{self.title([entry])}…"

    def group_label(self, group: Group, entries: Sequence[Entry]) -> str:
        label = ANSWERS[self.code, ApprovalKind(group.code)].label
        return f"{handlers.counted(label, group.number, group.entity_type)}…"

    def selection_label(self, group: Group) -> str:
        label = ANSWERS[self.code, ApprovalKind(group.code)].label
        return "" if group.number == 1 else f"{handlers.about_selection(label)}…"

    def title(self, entries: Sequence[Entry]) -> str:
        label = ANSWERS[self.code, ApprovalKind(entries[0].cause_code)].label
        return handlers.counted(label, len(entries), handlers.common_type(entries))

    def effect(self, entry: Entry) -> str:
        effect = ANSWERS[self.code, ApprovalKind(entry.cause_code)].effect
        link = registry.link_of(entry.entity_type)
        policy = link.deleted_record_policy if link else ""
        return effect.format(removed=_REMOVED.get(policy, "removed"))

    def question(self, request: HttpRequest, entries: Sequence[Entry]) -> confirmed_action.Question:
        return super().question(request, self._of_one_kind(entries))

    def run(self, request: HttpRequest, entries: Sequence[Entry], shown: Mapping[str, Any]) -> confirmed_action.Report:
        alike = self._of_one_kind(entries)
        pending = ApprovalRequest.objects.filter(pk__in=[int(entry.source) for entry in alike], state="pending")
        decide = approvals.approve if self.code == "approve" else approvals.reject
        number = decide(pending, cast("User", request.user))
        if not number:
            none_waits = "None of these waits for approval any more."
            return confirmed_action.Report(problems=[none_waits])
        template = ANSWERS[self.code, ApprovalKind(alike[0].cause_code)].outcome
        outcome = template.replace("{stay}", humanize.plural(number, "stays", "stay"))
        report = f"{handlers.counted(outcome, number, handlers.common_type(alike))}."
        if "{stay}" in template:
            return confirmed_action.Report(report)
        then = wait_sentence(number, [entry.entity_type for entry in alike]) or "Each is done within seconds."
        return confirmed_action.Report(f"{report} {then}")

    @staticmethod
    def _of_one_kind(entries: Sequence[Entry]) -> list[Entry]:
        """Return the entries of the first one's kind, so that one button never does deletions and emptied fields."""
        return [entry for entry in entries if entry.cause_code == entries[0].cause_code]


def _items_of(keys: Iterable[str]) -> models.QuerySet[UnmatchedItem]:
    return UnmatchedItem.objects.filter(pk__in=[int(key) for key in keys])


class CreateRecord(handlers.Handler):
    code = "create_record"
    kinds = frozenset({Kind.UNMATCHED})

    def label(self, entry: Entry) -> str:
        return f"Create {registry.type_name(entry.entity_type)}"

    def run(self, request: HttpRequest, entries: Sequence[Entry], shown: Mapping[str, Any]) -> confirmed_action.Report:
        items = item_links.request_creation(_items_of(entry.source for entry in entries), request.user.get_username())
        if not items:
            return confirmed_action.Report(problems=["Nothing was done: none of them is unmatched any more."])
        authors.log_action_many(request.user, items, "Asked to create a record from it.")
        wait = wait_sentence(len(items), [item.entity_type for item in items])
        are = humanize.plural(len(items), "is", "are")
        return confirmed_action.Report(
            f"{_record_count(entries, len(items))} {are} created with the next sync. {wait}".rstrip()
        )


class Ignore(handlers.Handler):
    code = "ignore"
    kinds = frozenset({Kind.UNMATCHED})
    asks_about_several = False

    def run(self, request: HttpRequest, entries: Sequence[Entry], shown: Mapping[str, Any]) -> confirmed_action.Report:
        """Ignore the items for which nobody has asked meanwhile to link them or to create records from them."""
        listed = list(_items_of(entry.source for entry in entries).filter(ignored_at=None))
        jobs = item_links.open_jobs(item.item_id for item in listed)
        items = []
        problems = []
        for item in listed:
            job = jobs.get((item.entity_type, item.item_id))
            if job and any(key in job.payload for key in item_links.REQUEST_KEYS):
                problems.append(f"“{item}” was not ignored: {job.payload['by']} asked to create or link its record.")
            else:
                items.append(item)
        keys = [str(item.pk) for item in items]
        number = item_links.ignore_unmatched(_items_of(keys), request.user.get_username())
        authors.log_action_many(request.user, items, "Ignored.")
        sentence = f"{humanize.count_with_noun(number, 'item')} ignored." if number else ""
        return confirmed_action.Report(sentence, problems, undo=keys)

    def undo(self, request: HttpRequest, tokens: Sequence[str]) -> confirmed_action.Report:
        items = list(_items_of(tokens).exclude(ignored_at=None))
        number = item_links.undo_ignore(_items_of(tokens), request.user.get_username())
        authors.log_action_many(request.user, items, "Listed again.")
        sentence = f"Undone: {humanize.count_with_noun(number, 'item')} will be checked again."
        return confirmed_action.Report(sentence if number else "")


def _ids_by_type(entries: Iterable[Entry]) -> dict[str, list[Any]]:
    by_type = grouped(entries, lambda entry: entry.entity_type)
    return {entity_type: [entry.entity_id for entry in group] for entity_type, group in by_type.items()}


def _record_count(entries: Sequence[Entry], number: int | None = None) -> str:
    """Return the number of these records in words, such as “60 contacts”."""
    return registry.count_of_type(len(entries) if number is None else number, handlers.common_type(entries))


# The form field with the time of the question.
_ASKED_AT = "asked_at"


class RemovalAnswer(handlers.Handler):
    """An act on records whose items were removed on Monday.

    It changes the records as their own pages do, so it doesn't matter whether a conflict was stored yet.
    """

    kinds = frozenset({Kind.REMOVED})

    def question(self, request: HttpRequest, entries: Sequence[Entry]) -> confirmed_action.Question:
        """Ask, and send the time along, so that records edited later are left alone."""
        return replace(super().question(request, entries), hidden=[(_ASKED_AT, sync_now().isoformat())])

    def table(self, entries: Sequence[Entry]) -> confirmed_action.RecordTable:
        """Return the entries with what tells their records from namesakes."""
        details: dict[Any, str] = {}
        for entity_type, ids in _ids_by_type(entries[: confirmed_action.MAX_ROWS_SHOWN]).items():
            model = registry.entity(entity_type).model
            relations = [relation.name for relation in registry.own_relations(model)]
            records = model._default_manager.filter(pk__in=ids).select_related(*relations)
            details |= {record.pk: admin_base.describe(record) for record in records}
        rows = [
            (entry.name, details.get(entry.entity_id, ""), f"{entry.title}. {entry.detail}".rstrip())
            for entry in entries[: confirmed_action.MAX_ROWS_SHOWN]
        ]
        return confirmed_action.RecordTable(("Record", "Details", "What happened"), rows, len(entries))


class CreateAgain(RemovalAnswer):
    code = "create_item"

    def question(self, request: HttpRequest, entries: Sequence[Entry]) -> confirmed_action.Question:
        """Ask, and name the day's calls that the creates use."""
        question = super().question(request, entries)
        ids = _ids_by_type(entries)
        links = BoardLink.objects.filter(entity_type__in=ids)
        cost = api_quota.cost_sentence({link.pk: len(ids[link.entity_type]) for link in links})
        return replace(question, effects=[*question.effects, cost]) if cost else question

    def run(self, request: HttpRequest, entries: Sequence[Entry], shown: Mapping[str, Any]) -> confirmed_action.Report:
        problems: list[str] = []
        for entity_type, ids in _ids_by_type(entries).items():
            _log_on_records(request, entity_type, ids, "Asked to create its item again.")
            problems += item_links.request_recreation(entity_type, ids, request.user.get_username())
        # Each problem is about one record.
        number = len(entries) - len(problems)
        if not number:
            return confirmed_action.Report(problems=problems)
        wait = wait_sentence(number, [entry.entity_type for entry in entries])
        items = humanize.count_with_noun(number, "item")
        return confirmed_action.Report(f"{items} will be created again. {wait}".rstrip(), problems)


class Unlink(RemovalAnswer):
    code = "unlink"

    def run(self, request: HttpRequest, entries: Sequence[Entry], shown: Mapping[str, Any]) -> confirmed_action.Report:
        for entity_type, ids in _ids_by_type(entries).items():
            _log_on_records(request, entity_type, ids, "Asked to unlink it from Monday.")
            item_links.request_unlink(entity_type, ids, request.user.get_username())
        wait = wait_sentence(len(entries), [entry.entity_type for entry in entries])
        return confirmed_action.Report(f"{_record_count(entries)} will be unlinked. {wait}".rstrip())


class DeleteRecord(RemovalAnswer):
    code = "delete_record"

    def run(self, request: HttpRequest, entries: Sequence[Entry], shown: Mapping[str, Any]) -> confirmed_action.Report:
        """Delete the records that nobody has edited since the question."""
        asked_at = parse_moment(request.POST.get(_ASKED_AT))
        deleted = 0
        problems = []
        for entity_type, ids in _ids_by_type(entries).items():
            manager = registry.entity(entity_type).model._default_manager
            rows = manager.filter(pk__in=ids, updated_at__lte=asked_at) if asked_at else manager.none()
            if edited := len(ids) - rows.count():
                records = registry.count_of_type(edited, entity_type)
                problems.append(
                    f"{records} not deleted: somebody has edited or deleted them meanwhile. Check them again."
                )
            # All of them, or none if another record needs one.
            row_ids = list(rows.order_by("pk").values_list("pk", flat=True))
            try:
                with transaction.atomic():
                    admin.site.get_model_admin(rows.model).log_deletions(request, rows)
                    manager.filter(pk__in=row_ids).delete()
            except (models.ProtectedError, models.RestrictedError) as error:
                raise ActionError("Nothing was deleted: other records in NPD need one of these.") from error
            deleted += len(row_ids)
        if not deleted:
            return confirmed_action.Report(problems=problems)
        sentence = f"{_record_count(entries, deleted)} {humanize.plural(deleted, 'is', 'are')} deleted in NPD."
        # No undo: a restored record gets a new item on Monday, which is asked about there.
        link = deleted_records_link(request.user, "Restore under Deleted records")
        return confirmed_action.Report(format_html("{} {}", sentence, link), problems)


def _log_on_records(request: HttpRequest, entity_type: str, ids: Sequence[Any], sentence: str) -> None:
    records = registry.entity(entity_type).model._default_manager.filter(pk__in=ids)
    authors.log_action_many(request.user, records, sentence)


def _job_now(source: str) -> str:
    job = SyncQueue.objects.filter(pk=source[:18]).first() if source.isdecimal() else None
    if job is None:
        return ""
    # A job that a person ended says by whom, such as “discarded by eve”.
    ended = f"Its job was {job.error_message}." if job.error_message.startswith(("retried", "discarded")) else ""
    now = handlers.record_now(job.entity_type, job.entity_id) if job.entity_id else ""
    return f"{ended} {now}".strip() or f"Its job is {job.get_status_display().lower()}."


def _approval_now(source: str) -> str:
    approval = ApprovalRequest.objects.filter(pk=source[:18]).first() if source.isdecimal() else None
    if approval is None:
        return ""
    by = f", as {approval.decided_by.get_username()} decided" if approval.decided_by else ""
    now = handlers.record_now(approval.entity_type, approval.entity_id)
    return f"{approval.label}: {approval.get_state_display().lower()}{by}. {now}"


def _item_now(source: str) -> str:
    item = _items_of([source[:18]]).first() if source.isdecimal() else None
    if item is None:
        return "The item has a record now, or has left the board."
    return f"“{item}” was ignored already." if item.ignored_at else ""


def _record_now(source: str) -> str:
    """Say how the record of a field, or of a removed item, stands."""
    entity_type, _, rest = source.partition(":")
    entity_id = as_uuid(rest.partition(":")[0])
    if registry.is_registered(entity_type) and entity_id:
        return handlers.record_now(entity_type, entity_id)
    return "The column can be used again." if rest else ""


handlers.ENDED.update(
    {
        Kind.FAILED: _job_now,
        Kind.APPROVAL: _approval_now,
        Kind.UNMATCHED: _item_now,
        Kind.REMOVED: _record_now,
        Kind.REJECTED: _record_now,
        Kind.BLOCKED: _record_now,
    }
)
handlers.register(
    Retry(),
    RetryField(),
    Discard(),
    CheckColumn(),
    AnswerApproval("approve"),
    AnswerApproval("reject"),
    CreateRecord(),
    Ignore(),
    CreateAgain(),
    Unlink(),
    DeleteRecord(),
)
