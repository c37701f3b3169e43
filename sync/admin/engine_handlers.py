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
from sync.admin import handlers, queue_pages
from sync.admin.activity_pages import deleted_records_link
from sync.admin.board_pages import ask_for_columns
from sync.admin.confirmed_action import Question, Report
from sync.attention import Entry, Kind
from sync.choices import ApprovalKind, Cause, DeletedRecordPolicy, Priority, RecordSyncStatus
from sync.clock import parse_moment, sync_now
from sync.kernel import grouped, humanize
from sync.kernel.messages import ActionError
from sync.limits import api_quota
from sync.models import ApprovalRequest, BoardLink, FieldMapping, SyncQueue, UnmatchedItem
from sync.outbox import enqueue
from sync.records import approvals, authors, item_links

Shown = Mapping[str, Any]


class Retry(handlers.Handler):
    code = "retry"
    kinds = frozenset({Kind.FAILED})

    def run(self, request: HttpRequest, entries: Sequence[Entry], shown: Shown) -> Report:
        jobs = SyncQueue.objects.filter(pk__in=[entry.job for entry in entries])
        return queue_pages.act_on_jobs(request, self.code, jobs)


class RetryField(handlers.Handler):
    """Tries blocked fields and rejected values again."""

    code = "retry_field"
    kinds = frozenset({Kind.BLOCKED, Kind.REJECTED})

    def run(self, request: HttpRequest, entries: Sequence[Entry], shown: Shown) -> Report:
        tried = 0
        problems: list[str] = []
        by_field = grouped(entries, lambda entry: (entry.entity_type, entry.field))
        for mapping in FieldMapping.objects.select_related("link").filter(key__in={key for _type, key in by_field}):
            field_entries = by_field.get((mapping.link.entity_type, mapping.key), ())
            ids = [entry.entity_id for entry in field_entries if entry.entity_id]
            if not ids:
                continue
            records = registry.entity(mapping.link.entity_type).model._default_manager
            synced = records.filter(pk__in=ids).exclude(sync_status=RecordSyncStatus.DISABLED)
            ids = list(synced.order_by("pk").values_list("pk", flat=True))
            if not ids:
                problems.append("Nothing was done: the sync of its records is off.")
                continue
            payload = {"by": request.user.get_username()}
            enqueue(mapping.link.entity_type, ids, cause=Cause.PERSON, priority=Priority.PERSON, payload=payload)
            tried += len(ids)
            number = humanize.count_with_noun(len(ids), "record")
            authors.log_action(request.user, mapping, f"Tried again on {number}.")
        return self.report(entries, tried, problems)


class Discard(handlers.Handler):
    code = "discard"
    kinds = frozenset({Kind.FAILED})

    def run(self, request: HttpRequest, entries: Sequence[Entry], shown: Shown) -> Report:
        jobs = SyncQueue.objects.filter(pk__in=[int(entry.source) for entry in entries])
        return queue_pages.act_on_jobs(request, self.code, jobs)


class CheckColumn(handlers.Handler):
    code = "check_column"
    kinds = frozenset({Kind.BLOCKED})

    def run(self, request: HttpRequest, entries: Sequence[Entry], shown: Shown) -> Report:
        answers = []
        problems = []
        for link in BoardLink.objects.filter(entity_type__in={entry.entity_type for entry in entries}).order_by("pk"):
            try:
                answers.append(ask_for_columns(request, link))
            except ActionError as error:
                problems.append(str(error))
        return Report(" ".join(answers), problems)


class AnswerApproval(handlers.Handler):
    kinds = frozenset({Kind.APPROVAL})

    def __init__(self, code: str) -> None:
        self.code = code

    def label(self, entry: Entry) -> str:
        return f"{self.title([entry])}…"

    def effect(self, entry: Entry) -> str:
        effect = super().effect(entry)
        link = registry.link_of(entry.entity_type)
        if entry.cause_code != ApprovalKind.ITEMS or link is None:
            return effect
        is_archived = link.deleted_record_policy == DeletedRecordPolicy.ARCHIVE
        return effect.replace("archived or deleted", "archived" if is_archived else "deleted")

    def run(self, request: HttpRequest, entries: Sequence[Entry], shown: Shown) -> Report:
        requests = ApprovalRequest.objects.filter(pk__in=[int(entry.source) for entry in entries])
        decide = approvals.approve if self.code == "approve" else approvals.reject
        return self.report(entries, decide(requests, cast("User", request.user)))


def _items_of(keys: Iterable[str]) -> models.QuerySet[UnmatchedItem]:
    return UnmatchedItem.objects.filter(pk__in=[int(key) for key in keys])


class CreateRecord(handlers.Handler):
    code = "create_record"
    kinds = frozenset({Kind.UNMATCHED})

    def label(self, entry: Entry) -> str:
        return f"Create {registry.type_name(entry.entity_type)}"

    def run(self, request: HttpRequest, entries: Sequence[Entry], shown: Shown) -> Report:
        items = item_links.request_creation(_items_of(entry.source for entry in entries), request.user.get_username())
        authors.log_action_many(request.user, items, "Asked to create a record from it.")
        return self.report(entries, len(items))


class Ignore(handlers.Handler):
    code = "ignore"
    kinds = frozenset({Kind.UNMATCHED})

    def run(self, request: HttpRequest, entries: Sequence[Entry], shown: Shown) -> Report:
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
        return Report(self.done_sentence(entries, number) if number else "", problems, undo=keys)

    def undo(self, request: HttpRequest, tokens: Sequence[str]) -> Report:
        items = list(_items_of(tokens).exclude(ignored_at=None))
        number = item_links.undo_ignore(_items_of(tokens), request.user.get_username())
        authors.log_action_many(request.user, items, "Listed again.")
        sentence = f"Undone: {humanize.count_with_noun(number, 'item')} will be checked again."
        return Report(sentence if number else "")


def _ids_by_type(entries: Iterable[Entry]) -> dict[str, list[Any]]:
    by_type = grouped(entries, lambda entry: entry.entity_type)
    return {entity_type: [entry.entity_id for entry in group] for entity_type, group in by_type.items()}


def _log_on_records(request: HttpRequest, entity_type: str, ids: Sequence[Any], sentence: str) -> None:
    records = registry.entity(entity_type).model._default_manager.filter(pk__in=ids)
    authors.log_action_many(request.user, records, sentence)


# Removed items are answered as on their records' pages, so it doesn't matter whether a conflict was stored yet.


class CreateAgain(handlers.Handler):
    code = "create_item"
    kinds = frozenset({Kind.REMOVED})

    def question(self, request: HttpRequest, entries: Sequence[Entry]) -> Question:
        """Ask, and name the day's calls that the creates use."""
        question = super().question(request, entries)
        ids = _ids_by_type(entries)
        links = BoardLink.objects.filter(entity_type__in=ids)
        cost = api_quota.cost_sentence({link.pk: len(ids[link.entity_type]) for link in links})
        return replace(question, effects=[*question.effects, cost]) if cost else question

    def run(self, request: HttpRequest, entries: Sequence[Entry], shown: Shown) -> Report:
        problems: list[str] = []
        for entity_type, ids in _ids_by_type(entries).items():
            _log_on_records(request, entity_type, ids, "Asked to create its item again.")
            problems += item_links.request_recreation(entity_type, ids, request.user.get_username())
        # Each problem is about one record.
        return self.report(entries, len(entries) - len(problems), problems)


class Unlink(handlers.Handler):
    code = "unlink"
    kinds = frozenset({Kind.REMOVED})

    def run(self, request: HttpRequest, entries: Sequence[Entry], shown: Shown) -> Report:
        for entity_type, ids in _ids_by_type(entries).items():
            _log_on_records(request, entity_type, ids, "Asked to unlink it from Monday.")
            item_links.request_unlink(entity_type, ids, request.user.get_username())
        return self.report(entries, len(entries))


# The form field with the time of the question.
_ASKED_AT = "asked_at"


class DeleteRecord(handlers.Handler):
    code = "delete_record"
    kinds = frozenset({Kind.REMOVED})

    def question(self, request: HttpRequest, entries: Sequence[Entry]) -> Question:
        """Ask, and send the time along, so that records edited later are left alone."""
        return replace(super().question(request, entries), hidden=[(_ASKED_AT, sync_now().isoformat())])

    def run(self, request: HttpRequest, entries: Sequence[Entry], shown: Shown) -> Report:
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
            return Report(problems=problems)
        # No undo: a restored record gets a new item on Monday, which is asked about there.
        link = deleted_records_link(request.user, "Restore under Deleted records")
        return Report(format_html("{} {}", self.done_sentence(entries, deleted), link), problems)


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
