"""What a person does with the records that are ticked in a list.

Of these *Edit…* gives one field one value: chosen, previewed, and saved as the page of each record does.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, cast

import pghistory
from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, OperationalError, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.utils.html import format_html
from django.utils.text import capfirst

from sync import registry
from sync.admin.admin_base import PageAdmin, is_valid_key, own_page
from sync.admin.attention_pages import LAST_ACT, keep_last_act
from sync.admin.concurrent_edits import SHOWN_KEY
from sync.admin.confirmed_action import (
    MAX_ROWS_SHOWN,
    Question,
    RecordTable,
    Report,
    confirmed_rows,
    run_action,
    selection,
)
from sync.admin.record_activity import batch_undo_url
from sync.kernel import humanize
from sync.kernel.db import bound_lock_waits, gave_way
from sync.kernel.humanize import plural
from sync.kernel.messages import ActionError, Conflict
from sync.models import Decision
from sync.models.state import fold_alike
from sync.operations.record_requests import push_record
from sync.outbox import notify
from sync.reconcile.field_values import stored_field_values
from sync.records.authors import actor_label, log_action, log_action_many
from sync.records.item_links import relink, request_unlink_many, unlinked_item

if TYPE_CHECKING:
    from django.contrib.auth.models import User

MOST_RECORDS = 200
"""Records of one edit: each is saved by itself, within one request."""

PREFIX = "edit"


def editable_fields(model_admin: Any, request: HttpRequest) -> dict[str, str]:
    """Return the synced fields of which several records may have one value, with their labels.

    Not the name and the match key: they tell records apart.
    """
    model = model_admin.model
    spec = registry.entity(model.entity_type())
    mapped = {name for mapping in spec.mappings for name in mapping.fields}
    own = {spec.name_field, registry.match_field(model), *registry.hidden_relations(request.user, model)}
    own |= set(model_admin.get_readonly_fields(request))
    found = [one for one in registry.own_fields(model) if one.name in mapped and one.name not in own]
    return {one.name: capfirst(str(one.verbose_name)) for one in found}


@dataclass(frozen=True)
class PlannedEdit:
    """What the field of one record would become; `seen` stands for its value now, `problem` says why it can't be."""

    record: Any
    form: Any
    before: str
    after: str
    seen: str
    problem: str

    @property
    def is_change(self) -> bool:
        return not self.problem and bool(self.form.changed_data)


class BulkEdit:
    """A field and the value that was typed for it, read for each record by the form of its page."""

    def __init__(self, model_admin: Any, request: HttpRequest, name: str, label: str) -> None:
        self.admin, self.request, self.name, self.label = model_admin, request, name, label
        self.form_class = model_admin.get_form(request, None, change=True, fields=[name])
        key = f"{PREFIX}-{name}"
        self.typed = [(key, text) for text in request.POST.getlist(key)]

    def plan(self, record: Any) -> PlannedEdit:
        data = QueryDict(mutable=True)
        for key, text in self.typed:
            data.appendlist(key, text)
        form = self.form_class(data, instance=record, prefix=PREFIX)
        for other in form.fields.keys() - {self.name}:  # that a form of the model's own declares
            del form.fields[other]
        data[SHOWN_KEY] = form.shown_value
        stored = form.stored_values[self.name]
        problem = "" if form.is_valid() else " ".join(text for some in form.errors.values() for text in some)
        after = "" if problem else form.typed_words(self.name)
        seen = sha256(stored.encode()).hexdigest()[:16]
        return PlannedEdit(record, form, form.words_of(self.name, stored), after, seen, problem)

    def question(self, plans: Sequence[PlannedEdit]) -> Question:
        """Ask for what these plans would write."""
        changed = [one for one in plans if one.is_change]
        wrong = [(str(one.record), one.before, one.problem) for one in plans if one.problem]
        same = len(plans) - len(changed) - len(wrong)
        records, after = self.admin.count_text(len(changed)), changed[0].after if changed else ""
        kept = f" {self.admin.count_text(same)} already {plural(same, 'has', 'have')} it." if same else ""
        effects = [
            f"{self.label} becomes {humanize.quote(after, 200) if after else 'empty'}.{kept}",
            "Each is saved as on its own page; the next sync sends it to Monday. You can undo all at once.",
        ]
        rows = [(str(one.record), one.before or "(empty)", one.after or "(empty)") for one in changed]
        tables = [
            RecordTable(("Record", "Before", "After"), rows, len(rows)),
            RecordTable(("Record", "Now", "Why"), wrong, len(wrong), title=f"Can't be changed: {len(wrong):,}"),
        ]
        seen = json.dumps({str(one.record.pk): one.seen for one in plans})
        return Question(
            f"Change {self.label.lower()} of {records}?" if changed else f"Nothing to change in {self.label.lower()}",
            effects if changed else [kept.strip()] if kept else [],
            f"Change {records}" if changed else "",
            [table for table in tables if table.rows],
            [*selection(self.request, "bulk_edit", len(plans)), ("field", self.name), *self.typed, ("seen", seen)],
            page_name=f"Edit {self.admin.count_text(len(plans))}",
        )

    def save(self, seen: Mapping[str, Any]) -> Report:
        """Save the records whose field is as it was shown; the others are named."""
        bound_lock_waits()
        # Those that were shown: an edit, or a sync, may have taken some out of the list's filter.
        keys = [key for key in seen if is_valid_key(self.admin.model, key)]
        records = list(self.admin.get_queryset(self.request).filter(pk__in=keys).order_by("pk"))
        batch, moves, problems, same = uuid.uuid4(), [], [], 0
        with pghistory.context(batch=str(batch)):
            for record in records:
                try:
                    with transaction.atomic():
                        move, problem = self._save_one(record, seen.get(str(record.pk)))
                except (IntegrityError, OperationalError) as error:
                    if isinstance(error, OperationalError) and not gave_way(error):
                        raise
                    move, problem = None, "It could not be saved just now. Try it on its own page."
                same += not move and not problem
                moves += [move] if move else []
                problems += [f"“{record}” was left alone. {problem}"] if problem else []
            for move in moves:
                move.batch_id = batch
            Decision.objects.bulk_create(fold_alike(moves))
        if gone := len(seen) - len(records):
            problems.append(f"{self.admin.count_text(gone)} deleted meanwhile.")
        if not moves:
            return Report(problems=problems or ["Nothing was changed: all of them already have it."])
        kept = f" {self.admin.count_text(same)} already had it." if same else ""
        done = f"{self.label} of {self.admin.count_text(len(moves))} changed.{kept}"
        url = f"{batch_undo_url(batch)}?next={self.request.path}"
        return Report(format_html('{} <a class="npd-link" href="{}">Undo…</a>', done, url), problems)

    def _save_one(self, shown: Any, seen: Any) -> tuple[Decision | None, str]:
        """Save one record; return what tells of it, or why it isn't saved: neither where it says so already."""
        model, request = self.admin.model, self.request
        record = model._default_manager.select_for_update(no_key=True, of=("self",)).filter(pk=shown.pk).first()
        if record is None:
            return None, "It was deleted meanwhile."
        plan = self.plan(record)
        if plan.seen != seen:
            now = humanize.quote(plan.before, 200) if plan.before else "empty"
            return None, f"{self.label} changed meanwhile: it is {now} now."
        if not plan.is_change:
            return None, plan.problem
        mapping = next(one for one in registry.entity(model.entity_type()).mappings if self.name in one.fields)
        before = stored_field_values(record, mapping.fields)
        saved = self.admin.save_form(request, plan.form, change=True)
        self.admin.save_model(request, saved, plan.form, change=True)
        self.admin.log_change(request, saved, self.admin.construct_change_message(request, plan.form, []))
        who, was, now = actor_label(cast("User", request.user)), plan.before or "(empty)", plan.after or "(empty)"
        raw = {"raw_before": before, "raw_after": stored_field_values(saved, mapping.fields)}
        return Decision(
            entity_type=model.entity_type(), entity_id=saved.pk, remote_id=saved.monday_id or "", key=mapping.key,
            kind="edit", actor=who, sentence=f"{self.label} set to {now} (was {was}) with other records.",
            values={"before": plan.before, "after": plan.after, **raw}, cause={"by": who, "causes": ["person"]},
        ), ""  # fmt: skip


def bulk_edit_page(model_admin: Any, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
    """Let a person choose a field and a value, show what that changes, and save it."""
    fields, back_url = editable_fields(model_admin, request), request.get_full_path()
    total, name = queryset.count(), request.POST.get("field", "")
    if total > MOST_RECORDS:
        text = f"{total:,} are selected; at most {MOST_RECORDS} are edited at once. Select fewer, or import a file."
        messages.warning(request, text)
        return HttpResponseRedirect(back_url)
    if name and name not in fields:
        raise PermissionDenied
    if not name:
        problem = "Choose the field to change." if "chosen" in request.POST else ""
        return _choice_page(model_admin, request, fields, total, problem=problem)
    edit = BulkEdit(model_admin, request, name, fields[name])
    if "confirmed" in request.POST:
        seen = _read_seen(request.POST.get("seen", ""))
        return run_action(
            model_admin, request, lambda: edit.save(seen), back_url=back_url,
            question=lambda: edit.question([edit.plan(record) for record in queryset]),
        )  # fmt: skip
    plans = [edit.plan(record) for record in queryset]
    # What no record takes is to be typed again.
    if plans and all(one.problem for one in plans):
        return _choice_page(model_admin, request, fields, total, problem=plans[0].problem)
    return run_action(model_admin, request, Report, back_url=back_url, question=lambda: edit.question(plans))


def _read_seen(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {}


def _choice_page(
    model_admin: Any, request: HttpRequest, fields: Mapping[str, str], total: int, *, problem: str = ""
) -> HttpResponse:
    initial = {name: request.POST[key] for name in fields if (key := f"{PREFIX}-{name}") in request.POST}
    form = model_admin.get_form(request, None, change=True, fields=list(fields))(initial=initial, prefix=PREFIX)
    form.use_required_attribute = False
    for field in form.fields.values():
        if isinstance(field.widget, RelatedFieldWidgetWrapper):
            field.widget = field.widget.widget
    return own_page(
        model_admin,
        request,
        "sync/bulk_edit.html",
        title := f"Edit {model_admin.count_text(total)}",
        status=400 if problem else 200,
        page_name=title,
        media=model_admin.media + form.media,
        choices=[form[name] for name in fields],
        chosen=request.POST.get("field", ""),
        problem=problem,
        hidden=[(name, str(value)) for name, value in selection(request, "bulk_edit", total)],
        target=request.get_full_path(),
    )


_UNLINK_EFFECTS = (
    (
        "Each item's NPD ID is cleared, then the record's sync is turned off. Both sides keep what they have, and "
        "neither changes the other any more; open conflicts close, their values stay in the history."
    ),
    (
        "The item is not matched with a record, and makes none, until somebody says so. “Link again…” on the "
        "record's page undoes it: what changed meanwhile is then synced, or asked about."
    ),
)

_OFF_EFFECTS = (
    "Nothing is synced in either direction. Edits stay in NPD and on Monday; open conflicts close, kept in history.",
    (
        "Once sync is on again, what one side changed meanwhile is synced, and what both changed differently becomes a "
        "conflict. Right after this you can undo it for exactly these."
    ),
)

_LINK_EFFECTS = (
    "Each record is linked again with the item from which it was unlinked, and its sync is turned on.",
    (
        "What changed on one side since is synced to the other; what both sides changed differently becomes a "
        "conflict. To undo it, unlink the record again."
    ),
)


class RecordSelectionMixin(PageAdmin):
    actions: tuple[str, ...] = ("bulk_edit", "sync_now", "turn_sync_on", "turn_sync_off", "unlink", "link_again")

    @admin.action(description="Edit…", permissions=["change"])
    def bulk_edit(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Give one field of the selected records one value, after a page with each record's before and after."""
        return bulk_edit_page(self, request, queryset)

    @admin.action(description="Sync now", permissions=["change"])
    def sync_now(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Push the selected records now, also those whose sync is off: a person asked for it by name."""
        rejected, waiting, started = Counter[str](), Counter[str](), 0
        for record in queryset:
            try:
                answer = push_record(record, by=request.user.get_username())
            except ActionError as error:
                self.message_user(request, f"Nothing was sent. {error}", messages.ERROR)
                return
            log_action(request.user, record, f"Sync now: {answer.message}")
            if not answer.triggered:
                rejected[answer.message] += 1
            elif answer.wait_reason:
                waiting[answer.wait_reason] += 1
            else:
                started += 1
        if started:
            self.message_user(request, f"Sync of {self.count_text(started)} started.", messages.SUCCESS)
        for reason, count in waiting.most_common(5):
            self.message_user(request, f"Sync of {self.count_text(count)} waits: {reason}", messages.WARNING)
        for reason, count in rejected.most_common(5):
            self.message_user(request, f"{count} not sent: {reason}", messages.WARNING)

    def count_text(self, number: int) -> str:
        return humanize.count_with_noun(number, str(self.opts.verbose_name), str(self.opts.verbose_name_plural))

    @admin.action(description="Turn sync on", permissions=["change"])
    def turn_sync_on(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        number = len(self.set_sync(request, queryset, on=True))
        text = f"Sync turned on for {self.count_text(number)}." if number else "Sync was on for all of them already."
        self.message_user(request, text, messages.SUCCESS if number else messages.INFO)

    @admin.action(description="Turn sync off…", permissions=["change"])
    def turn_sync_off(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Turn sync off after a page that says for how many; the list then offers to undo it."""

        def question() -> Question:
            table = RecordTable(("Record",), [(str(one),) for one in queryset[:MAX_ROWS_SHOWN]], queryset.count())
            hidden, label = selection(request, "turn_sync_off", table.total), self.count_text(table.total)
            return Question(f"Turn sync off for {label}?", _OFF_EFFECTS, f"Turn sync off ({label})", [table], hidden)

        def run() -> Report:
            if not (entries := self.set_sync(request, confirmed_rows(request, queryset), on=False)):
                return Report(problems=["Sync was off for all of them already."])
            tokens = [self.model.entity_type(), entries[0].pk, entries[-1].pk]
            sentence = f"Sync turned off for {self.count_text(len(entries))}."
            keep_last_act(request, "turn_sync_off", tokens, sentence)
            return Report()

        return run_action(self, request, run, back_url=request.get_full_path(), question=question)

    def set_sync(self, request: HttpRequest, queryset: QuerySet[Any], *, on: bool) -> list[LogEntry]:
        """Turn the sync of these records on or off; return the log's lines, one for each that was not so already."""
        request.session.pop(LAST_ACT, None)
        with transaction.atomic():
            bound_lock_waits()
            # In the order in which a pass locks records, so that neither waits for the other in a circle; without the
            # key's lock, so that rows which point at these can be written.
            others = queryset.filter(sync_enabled=not on)
            records = list(others.select_for_update(no_key=True, of=("self",)).order_by("id"))
            self.model._default_manager.filter(pk__in=[record.pk for record in records]).update(sync_enabled=on)
            message = [{"changed": {"fields": [str(self.opts.get_field("sync_enabled").verbose_name)]}}]
            entries = [self.log_change(request, record, message) for record in records]
        notify.notify_board(self.model.entity_type())
        return entries

    @admin.action(description="Unlink from Monday…", permissions=["change"])
    def unlink(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Let go of the items of these records, after a page that says what that means."""

        def question() -> Question:
            cells = [(str(record), record.monday_id or "none") for record in queryset[:MAX_ROWS_SHOWN]]
            table = RecordTable(("Record", "Item on Monday"), cells, queryset.count())
            hidden, label = selection(request, "unlink", table.total), f"Unlink {self.count_text(table.total)}"
            return Question("Unlink from Monday?", _UNLINK_EFFECTS, label, [table], hidden)

        def run() -> Report:
            rows = confirmed_rows(request, queryset)
            linked = list(rows.exclude(monday_id=None).values_list("pk", flat=True))
            without_item = [
                f"“{record}” has no item on Monday, so there is nothing to unlink."
                for record in rows.filter(monday_id=None)
            ]
            if not linked:
                return Report(problems=without_item)
            log_action_many(request.user, rows.filter(pk__in=linked), "Unlink from Monday was asked for.")
            request_unlink_many(queryset.model.entity_type(), linked, request.user.get_username())
            return Report(f"{humanize.count_with_noun(len(linked), 'record')} will be unlinked now.", without_item)

        return run_action(self, request, run, back_url=request.get_full_path(), question=question, atomic=False)

    @admin.action(description="Link again…", permissions=["change"])
    def link_again(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Link records with the items that were let go of them, after a page that says which."""

        def question() -> Question:
            items = [(record, unlinked_item(record)) for record in queryset[:MAX_ROWS_SHOWN]]
            cells = [(str(record), item.item_id if item else "none was unlinked") for record, item in items]
            table = RecordTable(("Record", "Item on Monday"), cells, queryset.count())
            hidden, label = selection(request, "link_again", table.total), f"Link {self.count_text(table.total)} again"
            return Question("Link with their items again?", _LINK_EFFECTS, label, [table], hidden)

        def run() -> Report:
            done, errors = 0, []
            for record in confirmed_rows(request, queryset):
                try:
                    item_id = relink(record, request.user.get_username())
                    log_action(request.user, record, f"Linked with item {item_id} again.")
                    done += 1
                except Conflict as refused:
                    errors.append(str(refused))
            text = f"{humanize.count_with_noun(done, 'record')} linked again. The next sync does the rest."
            return Report(text if done else "", errors)

        return run_action(self, request, run, back_url=request.get_full_path(), question=question, atomic=False)
