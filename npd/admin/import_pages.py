"""The pages of an import: choose a file, see what it would do, confirm, watch, undo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.db.models import Case, Count, Exists, OuterRef, QuerySet, Value, When
from django.db.models.fields.json import KeyTextTransform
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import content_disposition_header
from django.utils.safestring import SafeString
from django.utils.text import get_text_list
from django.views.decorators.http import require_GET, require_POST
from unfold.decorators import action

from npd.imports.files import ImportFileError
from npd.imports.import_jobs import (
    CHOOSING,
    LEASE_SECONDS,
    RETENTION_DAYS,
    choose_columns,
    clean_file_name,
    confirm_import,
    discard_import,
    may_import,
    may_make_organizations,
    may_undo,
    start_undo,
    upload,
)
from npd.imports.import_writer import undo_preview
from npd.imports.matching import records_of
from npd.imports.messages import (
    ENCODINGS,
    REASON_TITLE,
    display_value,
    equal_rows,
    rejected_file,
    rejected_rows,
    rejection_of_error,
    rejection_text,
    row_counts,
    unknown_organization_rows,
    warned_rows,
)
from npd.imports.models import ImportJob, ImportRow, ImportState, Result, RowOutcome
from npd.imports.resources import ImportOptions, labels_of, offered_fields
from sync.admin import admin_base
from sync.admin.confirmed_action import Question, Report, run_action
from sync.admin.connection_pages import region_context
from sync.admin.list_exports import MEDIA_TYPES
from sync.api.callers import let_send_file
from sync.clock import sync_now
from sync.kernel import humanize
from sync.kernel.messages import Conflict
from sync.models import ExportFormat
from sync.reconcile.lookups import FieldDisplay
from sync.registry import entity, link_of, mappings_of, record_url

LISTED_ROWS, ROWS_PER_PAGE = 10, 50
"""Rows of each kind on the page of an import, and of one kind on its own pages; the counts are of all."""

LATEST_JOBS = 20
# A worker takes a file within seconds; after this its page says that none seems to run.
STALLED_SECONDS = 20

POLLED_STATES = (ImportState.READING, ImportState.RUNNING, ImportState.UNDOING)
"""The states in which the page polls its progress."""

TILE_ICONS: Mapping[RowOutcome | Result, tuple[str, str]] = {
    RowOutcome.NEW: ("add_circle", "ok"),
    RowOutcome.CHANGED: ("edit", "wait"),
    RowOutcome.UNCHANGED: ("check", "off"),
    RowOutcome.EQUAL: ("content_copy", "off"),
    Result.UNDONE: ("undo", "off"),
    Result.KEPT: ("front_hand", "warn"),
    RowOutcome.OTHER: ("help", "warn"),
    RowOutcome.INVALID: ("error", "bad"),
}

STATE_BADGES = {
    ImportState.READING: ("wait", "schedule"),
    ImportState.FAILED: ("bad", "error"),
    ImportState.COLUMNS: ("warn", "view_column"),
    ImportState.SHOWN: ("warn", "front_hand"),
    ImportState.RUNNING: ("wait", "schedule"),
    ImportState.DONE: ("ok", "check_circle"),
    ImportState.UNDOING: ("wait", "schedule"),
    ImportState.UNDONE: ("off", "undo"),
}

PARTLY: Mapping[str, str] = {ImportState.DONE: "Partly imported", ImportState.UNDONE: "Partly undone"}

JobUrl = Callable[[str, ImportJob], str]


PROBLEMS = "problems"


@dataclass(frozen=True)
class Listed:
    """The kind of rows that a page is about, and which page of them; without a kind, the beginning of each."""

    kind: str = ""
    page: str | None = None

    def rows(self, kind: str, found: QuerySet[ImportRow]) -> Page[ImportRow]:
        is_own = kind == self.kind
        # What may be about another record is ticked on the first page.
        size = ROWS_PER_PAGE if is_own or kind == RowOutcome.OTHER else LISTED_ROWS
        return Paginator(found, size).get_page(self.page if is_own else None)


def import_job_context(job: ImportJob, url: JobUrl, reader: Any, listed: Listed = Listed()) -> dict[str, Any]:
    """Everything that the page of one import shows to this reader, whatever its state."""
    is_asked = job.state == ImportState.SHOWN
    bad, kept, warned = rejected_rows(job, is_asked=is_asked), job.rows.filter(result=Result.KEPT), warned_rows(job)
    counts, count_other = row_counts(job, is_asked=is_asked), int(job.counts.get(RowOutcome.OTHER, 0))
    count_bad = counts[RowOutcome.INVALID]
    # Those not imported before the others.
    by_kind = Case(
        *(When(pk__in=rows.values("pk"), then=Value(at)) for at, rows in enumerate((bad, kept))), default=Value(2)
    )
    problems = (bad | kept | warned).annotate(kind=by_kind).order_by("kind", "number")
    problem_page = listed.rows(PROBLEMS, problems)
    tables = (*([RowOutcome.OTHER] if is_asked and count_other else []), RowOutcome.CHANGED, RowOutcome.NEW)
    link, count_warned = link_of(job.entity_type), warned.count()
    display = FieldDisplay(link, mappings_of(link), []) if link else None
    return {
        "job": job,
        "reading": job.state == ImportState.READING,
        "why": rejection_text(job.file_name, job.reason, job.facts) if job.reason else "",
        "tiles": [(one.label, *icons, counts[one]) for one, icons in TILE_ICONS.items() if counts[one]],
        "count_other": count_other,
        "listed": listed.kind,
        "problems": [_problem(row) for row in problem_page],
        "problem_page": problem_page,
        "count_bad": count_bad,
        "problem_counts": [
            (label, count)
            for label, count in (
                ("Not imported", count_bad),
                ("Not undone", counts[Result.KEPT]),
                ("May not sync", count_warned),
            )
            if count
        ],
        "count_warned": count_warned,
        # First in the form in which the file came.
        "downloads": [
            (kind.upper(), url(kind, job)) for kind in sorted(ExportFormat.values, reverse=job.how.startswith("XLSX"))
        ],
        "row_tables": [_row_table(job, outcome, listed, display) for outcome in tables],
        "equal": [row.reason for row in equal_rows(job)[: LISTED_ROWS + 1]],
        "organizations": sorted(job.organizations.values()),
        **_columns_context(job, reader, count_bad, count_other),
        **_progress_context(job),
        **{f"{name}_url": url(name, job) for name in ("progress", "columns", "confirm", "discard", "undo", "job")},
    }


def _columns_context(job: ImportJob, reader: Any, count_bad: int, count_other: int) -> dict[str, Any]:
    """What each column of the file is read as, and what is chosen besides: the country, unknown organizations."""
    columns = [] if job.state == ImportState.READING else _file_columns(job)
    ignored = [one["title"] or "(no title)" for one in columns if one["is_ignored"]]
    may_choose = job.state in CHOOSING
    may_make = may_make_organizations(reader) and any(one["field"] == "organization" for one in columns)
    has_phones = job.state == ImportState.SHOWN and any(one["field"] == "phone" for one in columns)
    return {
        "asks_columns": job.state == ImportState.COLUMNS,
        "columns": columns,
        "ignored": ignored,
        "ignored_titles": get_text_list([humanize.shorten(one, 30) for one in ignored[:MOST_NAMED]], "and")
        if len(ignored) <= MOST_NAMED
        else humanize.count_with_noun(len(ignored), "column"),
        # What is missing is chosen before anything is imported without it.
        "columns_first": bool(ignored and may_choose and (job.to_write or count_other)),
        "may_choose": may_choose,
        "has_phones": has_phones,
        **(region_context(reader) if has_phones else {}),
        "may_make": may_make,
        "unknown_organizations": _unknown_organizations(job, count_bad) if may_make and may_choose else 0,
    }


def _unknown_organizations(job: ImportJob, count_bad: int) -> int:
    """How many rows are wrong, where all of these only name organizations that aren't there."""
    found = unknown_organization_rows(job, labels_of(job.entity_type)["organization"]).count()
    return found if found == count_bad else 0


def _progress_context(job: ImportJob) -> dict[str, Any]:
    """How far the writing of an import, or its undo, is."""
    results = dict(job.rows.order_by().values_list("result").annotate(number=Count("id")))
    is_undo, is_busy = job.state in (ImportState.UNDOING, ImportState.UNDONE), job.state in POLLED_STATES
    ends = (Result.UNDONE, Result.KEPT) if is_undo else (Result.WRITTEN, Result.LEFT)
    done, left = (results.get(end, 0) for end in ends)
    # After so long without progress the page says that no worker runs.
    stall_seconds = LEASE_SECONDS if job.state == ImportState.READING and job.attempts else STALLED_SECONDS
    return {
        "state_badge": _state_badge(job, is_partly=left > 0),
        "to_write": job.to_write,
        "done": done,
        "left": left,
        "decided": done + left,
        "total": results.get(Result.WRITTEN, 0) + done + left if is_undo else job.to_write,
        "busy": is_busy,
        "undoing": is_undo,
        "is_over": job.state in (ImportState.DONE, ImportState.UNDONE),
        "stalled": is_busy and (sync_now() - job.moved_at).total_seconds() > stall_seconds,
    }


def _state_badge(job: ImportJob, *, is_partly: bool) -> SafeString:
    """The import's state, and whether only a part of the rows came to it."""
    state = ImportState(job.state)
    if is_partly and state in PARTLY:
        return admin_base.badge("warn", STATE_BADGES[state][1], PARTLY[state])
    return admin_base.badge(*STATE_BADGES[state], state.label)


SAMPLED_ROWS, SAMPLES_PER_COLUMN = 20, 2
MOST_NAMED = 3
"""Ignored columns that the button names."""


def _file_columns(job: ImportJob) -> list[dict[str, Any]]:
    """The file's columns, each with what it is read as, what it may become, and its first values."""
    offered = offered_fields(job.entity_type)
    first_rows = list(job.rows.order_by("number").values_list("cells", flat=True)[:SAMPLED_ROWS])
    found = []
    for position, ((title, label), field) in enumerate(zip(job.columns, job.options.get("fields", []), strict=True)):
        texts = dict.fromkeys(cells[position] for cells in first_rows if position < len(cells) and cells[position])
        samples = [humanize.shorten(text, 40) for text in list(texts)[:SAMPLES_PER_COLUMN]]
        found.append({
            "position": position, "title": title, "label": label, "field": field,
            "samples": samples, "offered": list(offered.items()),
            "is_ignored": not field and title != REASON_TITLE and (bool(texts) or _has_text(job, position)),
        })  # fmt: skip
    return found


def _has_text(job: ImportJob, position: int) -> bool:
    return job.rows.annotate(text=KeyTextTransform(position, "cells")).filter(text__gt="").exists()


def _problem(row: Any) -> tuple[ImportRow, str, str]:
    if row.kind == 2:
        return row, "Imported, but may not sync", row.warning
    return row, Result(row.result).label if row.result else "Not imported", row.reason


def _row_table(job: ImportJob, outcome: RowOutcome, listed: Listed, display: FieldDisplay | None) -> dict[str, Any]:
    """The shown rows of a kind: `fields` are label, old and new value; of a new record without old ones and name."""
    labels, is_change, rows = labels_of(job.entity_type), outcome != RowOutcome.NEW, []
    # The database keeps the fields in an order of its own.
    order = {name: at for at, name in enumerate(labels)}
    # What was left alone is among the problems.
    page = listed.rows(outcome, job.rows.filter(outcome=outcome).exclude(result=Result.LEFT).order_by("number"))
    records = records_of(job.entity_type).in_bulk([row.record_id for row in page if display and row.record_id])

    def shown(row: ImportRow, name: str, raw: Any) -> str:
        if display and isinstance(raw, str):
            raw = display.spelling(records.get(row.record_id) or entity(job.entity_type).model(), name, raw)
        return humanize.shorten(display_value(raw) or "(empty)")

    for row in page:
        has_record = row.record_id and (is_change or row.result == Result.WRITTEN)
        rows.append(
            {
                "row": row,
                "url": record_url(job.entity_type, str(row.record_id)) if has_record else "",
                "fields": [
                    (labels[name], shown(row, name, row.before.get(name)) if is_change else None, shown(row, name, raw))
                    for name, raw in sorted(row.after.items(), key=lambda one: order.get(one[0], len(order)))
                    if is_change or name != "name"
                ],
                "result": f"{Result(row.result).label}. {row.note}".strip() if row.result else "Not imported",
            }
        )
    return {"outcome": outcome, "what": "What changes" if is_change else "Values", "rows": rows, "page": page}


# The pages themselves, as part of the admin of contacts and organizations.


View = Callable[..., HttpResponse]


class FileForm(forms.Form):
    file = forms.FileField(
        label="File",
        help_text="CSV or XLSX, at most 10 MB and 50,000 rows, with titles in its first row.",
        widget=forms.FileInput(attrs={"accept": ".csv,.txt,.tsv,.xlsx"}),
        error_messages={"required": "Choose a file."},
    )
    clear_empty = forms.BooleanField(
        label="An empty cell clears the field",
        help_text="Otherwise an empty cell leaves the field as it is.",
        required=False,
    )
    make_organizations = forms.BooleanField(
        label="Create organizations that don't exist yet",
        help_text="Otherwise a contact with an unknown organization is not imported.",
        required=False,
    )
    encoding = forms.ChoiceField(
        label="Encoding of a CSV file",
        choices=[("", "Auto-detect"), *ENCODINGS.items()],
        help_text="Change it only where letters such as é or ł look wrong in the preview.",
        required=False,
    )

    def __init__(self, *args: Any, entity_type: str, may_make: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if entity_type != "contact" or not may_make:
            del self.fields["make_organizations"]


class ImportMixin:
    """Adds the import to the admin of contacts or organizations."""

    admin_site: AdminSite
    opts: Any
    model: Any
    actions_list: tuple[str, ...] = ("import_file",)
    message_user: Callable[..., None]

    def has_import_permission(self, request: HttpRequest) -> bool:
        return may_import(request.user, self.model.entity_type())

    def empty_list(self, request: HttpRequest) -> tuple[str, list[tuple[str, str]]]:
        """What fills an empty list: an import too."""
        words, doors = super().empty_list(request)  # type: ignore[misc]
        url = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_import_file")
        return words, [*([("Import", url)] if self.has_import_permission(request) else []), *doors]

    @action(  # type: ignore[untyped-decorator]  # unfold has no types
        description="Import", url_path="import/", permissions=["import"], icon="upload_file"
    )
    def import_file(self, request: HttpRequest) -> HttpResponse:
        """Choose a file; on POST, store it for a worker to read."""
        form, entity_type = self._form(request, request.POST or None, request.FILES or None), self.model.entity_type()
        if request.method == "POST" and form.is_valid():
            data = form.cleaned_data
            options = ImportOptions(data["clear_empty"], bool(data.get("make_organizations")))
            try:
                job = upload(
                    entity_type,
                    data["file"].name,
                    data["file"].file,
                    options=options,
                    by=cast("User", request.user),
                    encoding=data["encoding"],
                )
                return HttpResponseRedirect(self._url("job", job))
            except ImportFileError as error:
                form.add_error("file", rejection_of_error(clean_file_name(data["file"].name), error))
        jobs = ImportJob.objects.filter(entity_type=entity_type).select_related("by").order_by("-made_at")
        left = {ImportState.DONE: Result.LEFT, ImportState.UNDONE: Result.KEPT}
        partly = ImportRow.objects.filter(
            job=OuterRef("pk"),
            result=Case(
                *(When(job__state=state, then=Value(result)) for state, result in left.items()), default=Value("-")
            ),
        )
        context = {
            **self._context(request, self._title()),
            "form": form,
            "labels": ", ".join(labels_of(entity_type).values()),
            "jobs": [
                (self._url("job", job), job, (job.is_partly and PARTLY.get(job.state)) or job.get_state_display())
                for job in jobs.annotate(is_partly=Exists(partly))[:LATEST_JOBS]
            ],
            "kept_days": RETENTION_DAYS,
        }
        return let_send_file(TemplateResponse(request, "npd/import.html", context))

    def _form(self, request: HttpRequest, *given: Any, **initial: Any) -> FileForm:
        may_make = may_make_organizations(request.user)
        return FileForm(*given, entity_type=self.model.entity_type(), may_make=may_make, **initial)

    def get_urls(self) -> list[URLPattern]:
        return [
            self._path("", "job", require_GET(self.import_job)),
            self._path("progress/", "progress", require_GET(self.import_progress)),
            self._path("columns/", "columns", require_POST(self.import_columns)),
            *(
                self._path(f"not-imported.{kind}", kind, require_GET(partial(self.import_rejected, kind)))
                for kind in ExportFormat.values
            ),
            self._path("confirm/", "confirm", require_POST(self.import_confirm)),
            self._path("discard/", "discard", require_POST(self.import_discard)),
            self._path("undo/", "undo", self.import_undo),
            *super().get_urls(),  # type: ignore[misc]
        ]

    def _path(self, end: str, name: str, view: View) -> URLPattern:
        """The page of one import: the view, for those who may import, given the import itself."""

        def checked_view(request: HttpRequest, job_id: UUID) -> HttpResponse:
            if not self.has_import_permission(request):
                raise PermissionDenied
            job = ImportJob.objects.select_related("by", "done_by").filter(pk=job_id)
            found = job.filter(entity_type=self.model.entity_type()).first()
            if found is None:
                raise Http404(f"There is no import {job_id}; it was discarded, or is too old to be kept.")
            return view(request, found)

        guarded_view = self.admin_site.admin_view(checked_view)
        return path(f"import/<uuid:job_id>/{end}", guarded_view, name=f"{self._url_prefix()}_{name}")

    def _url_prefix(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_import"

    def _url(self, name: str, job: ImportJob) -> str:
        return reverse(f"admin:{self._url_prefix()}_{name}", args=[job.pk])

    def _title(self) -> str:
        return f"Import {self.opts.verbose_name_plural!s}"

    def _context(self, request: HttpRequest, title: str) -> dict[str, Any]:
        return {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "page_name": title,
            "start_url": reverse(f"admin:{self._url_prefix()}_file"),
            "list_url": reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"),
        }

    def import_job(self, request: HttpRequest, job: ImportJob) -> HttpResponse:
        """Show the progress, the preview or the result; where the file could not be read, why."""
        tables = (PROBLEMS, RowOutcome.OTHER, RowOutcome.CHANGED, RowOutcome.NEW)
        kinds = {one: Listed(one, request.GET.get("p")) for one in tables}
        listed = kinds.get(request.GET.get("rows", ""), Listed())
        context = {
            **self._context(request, f"Import of {job.file_name}"),
            **import_job_context(job, self._url, request.user, listed),
            "may_undo": job.state == ImportState.DONE and may_undo(request.user, job),
        }
        if job.state == ImportState.FAILED:
            context["form"] = self._form(request, initial=job.options)
        return let_send_file(TemplateResponse(request, "npd/import_job.html", context))

    def import_progress(self, request: HttpRequest, job: ImportJob) -> HttpResponse:
        """Show the progress, polled each second by the page; reload the page at the end."""
        answer = TemplateResponse(request, "npd/import_progress.html", import_job_context(job, self._url, request.user))
        if job.state not in POLLED_STATES:
            answer.headers["HX-Refresh"] = "true"
        return answer

    def import_confirm(self, request: HttpRequest, job: ImportJob) -> HttpResponse:
        """Confirm the import; the page that shows its progress is the report."""

        def run() -> Report:
            others = request.POST.getlist("other")
            if not job.to_write and not others:
                return Report(problems=["There is nothing to write. Tick a row, or correct the file and import that."])
            done = confirm_import(job, by=cast("User", request.user), others=others)
            return Report(problems=[] if done else ["It was confirmed already; this is its state."])

        allowed = not job.organizations or may_make_organizations(request.user)
        return run_action(self, request, run, back_url=self._url("job", job), allowed=allowed, atomic=False)

    def import_discard(self, request: HttpRequest, job: ImportJob) -> HttpResponse:
        if discard_import(job, by=cast("User", request.user)):
            messages.success(request, f"“{job.file_name}” was not imported.")
            return HttpResponseRedirect(reverse(f"admin:{self._url_prefix()}_file"))
        messages.warning(request, "It was confirmed already, so it can't be discarded; you can undo it.")
        return HttpResponseRedirect(self._url("job", job))

    def import_undo(self, request: HttpRequest, job: ImportJob) -> HttpResponse:
        """Show what an undo would do; on POST, start it."""

        def run() -> Report:
            _check_undoable(job)
            start_undo(job, by=cast("User", request.user))
            return Report()

        return run_action(
            self, request, run, back_url=self._url("job", job), allowed=may_undo(request.user, job),
            question=lambda: _undo_question(job), asked_by_get=True, atomic=False,
        )  # fmt: skip

    def import_columns(self, request: HttpRequest, job: ImportJob) -> HttpResponse:
        """Have the file compared anew with the columns that were chosen."""
        fields = [request.POST.get(f"column-{position}", "") for position in range(len(job.columns))]
        try:
            create = request.POST.get("make_organizations") if may_make_organizations(request.user) else None
            make = None if create is None else create == "yes"
            if not choose_columns(job, fields, by=cast("User", request.user), make_organizations=make):
                messages.warning(request, "Its columns can't be chosen any more; this is its state.")
        except ImportFileError as error:
            messages.error(request, f"Not changed. {rejection_of_error(job.file_name, error)}")
        return HttpResponseRedirect(self._url("job", job))

    def import_rejected(self, kind: str, request: HttpRequest, job: ImportJob) -> HttpResponse:
        """Return the rows that were not imported, with the reasons, as a file to correct and import again."""
        lines = rejected_file(job, kind, is_asked=job.state == ImportState.SHOWN)
        answer = HttpResponse(b"".join(lines), content_type=MEDIA_TYPES[ExportFormat(kind)])
        name = f"{job.file_name.rsplit('.', 1)[0]} - not imported.{kind}"
        answer.headers["Content-Disposition"] = str(content_disposition_header(True, name))
        return answer


def _check_undoable(job: ImportJob) -> None:
    if job.state != ImportState.DONE:
        raise Conflict("It can't be undone now; this is its state.")


def _undo_question(job: ImportJob) -> Question:
    _check_undoable(job)
    preview = undo_preview(job)
    sentences = (
        (preview.values, "value goes back to what it was before.", "values go back to what they were before."),
        (preview.values_left, "value was changed since, and stays.", "values were changed since, and stay."),
        (
            preview.values_forgotten,
            "value stays, because its history is deleted.",
            "values stay, because their history is deleted.",
        ),
        (preview.records, "record that the import created is deleted.", "records that the import created are deleted."),
        (
            preview.records_left,
            "record was changed or linked to since, and stays.",
            "records were changed or linked to since, and stay.",
        ),
    )
    told = [humanize.count_with_noun(number, one, many) for number, one, many in sentences if number]
    if not (preview.values or preview.records):
        return Question("Nothing in it can be undone any more", told, page_name="Undo this import?")
    told.append("The next sync does the same on Monday. Bulk deletions wait for approval first.")
    button = "Yes, undo it"
    if preview.records:
        button = f"Undo it and delete {humanize.count_with_noun(preview.records, 'record')}"
    title = f"Undo the import of {job.file_name}?"
    return Question(title, told, button, page_name="Undo this import?", deletes=bool(preview.records))
