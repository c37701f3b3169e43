"""One field of the selected records gets one value: chosen, previewed, and saved as the page of each record does."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, cast

import pghistory
from django.contrib import messages
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, OperationalError, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.text import capfirst

from sync import registry
from sync.admin.admin_base import is_valid_key
from sync.admin.concurrent_edits import SHOWN_KEY
from sync.admin.confirmed_action import Question, RecordTable, Report, run_action, selection
from sync.admin.record_activity import batch_undo_url
from sync.kernel import humanize
from sync.kernel.db import bound_lock_waits, gave_way
from sync.kernel.humanize import plural
from sync.models import Decision
from sync.models.state import fold_alike
from sync.reconcile.field_values import stored_field_values
from sync.records.authors import actor_label

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
    context = {
        **model_admin.admin_site.each_context(request),
        "title": (title := f"Edit {model_admin.count_text(total)}"),
        "page_name": title,
        "opts": model_admin.opts,
        "media": model_admin.media + form.media,
        "choices": [form[name] for name in fields],
        "chosen": request.POST.get("field", ""),
        "problem": problem,
        "hidden": [(name, str(value)) for name, value in selection(request, "bulk_edit", total)],
        "target": request.get_full_path(),
    }
    return TemplateResponse(request, "sync/bulk_edit.html", context, status=400 if problem else 200)
