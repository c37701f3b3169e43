"""The import and export pages of records, by django-import-export.

An import has three steps: the file, its columns, and its preview. The file stays in the cache until its confirmation,
and so do the choices of each step, under the step's token.
"""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any
from uuid import uuid4

from django import forms
from django.contrib import messages
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.views.decorators.http import require_POST
from import_export.admin import ImportExportMixin
from import_export.tmp_storages import CacheStorage
from unfold.contrib.import_export.forms import ExportForm
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminSelectWidget, UnfoldBooleanWidget

from sync import addresses, permissions, registry
from sync.admin.activity import act_undo_url
from sync.admin.admin_base import Button
from sync.fields.lookups import phone_region
from sync.kernel import humanize
from sync.limits import api_quota
from sync.models import ActivityLine, BoardLink
from sync.monday.columns.phones import country_name, phone_regions
from sync.operations import activity_undo, file_formats
from sync.operations.import_columns import (
    field_choices,
    identifies_records,
    known_titles,
    missing_key_note,
    order_notes,
    remember_columns,
    suggest_columns,
    titles_digest,
)
from sync.operations.import_rows import REFUSE, is_creatable
from sync.operations.record_files import resource_of
from sync.operations.workbooks import FileError
from sync.records.authors import log_model_action

# A preview shows so many rows of each list, which has a page of its own, in parts of so many.
LISTED_ROWS = 20
PAGE_ROWS = 200

# So many values of a column are shown, and of cells without one.
SAMPLES = 3
# What a person may choose about the reading of a file, and the button that reads it so.
READING = {"sheet": "Show the columns of this sheet", "encoding": "Show the text in this encoding"}

REFUSED_SECONDS = 7 * 86_400

ENCODINGS = [("", "As it seems"), *file_formats.ENCODINGS.items()]
MEGABYTES = file_formats.MAX_BYTES // 1_000_000

FILE_GONE = "The file is gone: it is kept for an hour, until it is imported or a person is erased. Choose it again."
OTHER_TITLES = "The titles are other ones now. Look where each column goes."
TICKED = "It is ticked because a row that was found by its name alone would replace a value in NPD."
IMPORTED_ALREADY = "The file was imported already (see Activity). To import it once more, choose it again."


class Uploads(CacheStorage):
    """Keeps a file until its confirmation, in the database's cache, which all web processes share."""

    CACHE_LIFETIME = 3_600

    def read(self) -> bytes:
        data: bytes | None = super().read()
        if data is None:
            raise FileError(FILE_GONE)
        return data


class ImportForm(forms.Form):
    """A file, and what a person chose about it; each page has a part of it."""

    import_file = forms.FileField(
        required=False,
        label="CSV or XLSX file",
        help_text=f"It may have {MEGABYTES} MB.",
        widget=UnfoldAdminFileFieldWidget,
    )
    # What each column goes to, one after the other.
    columns = forms.Field(required=False, widget=forms.MultipleHiddenInput)
    sheet = forms.CharField(required=False)
    encoding = forms.ChoiceField(choices=ENCODINGS, required=False, widget=UnfoldAdminSelectWidget)
    region = forms.ChoiceField(
        choices=lambda: [
            ("", f"As in the organization, else in the settings ({country_name(phone_region())})"),
            *phone_regions(),
        ],
        required=False,
        label="Country of phone numbers without one",
        widget=UnfoldAdminSelectWidget,
    )
    bad_values = forms.ChoiceField(
        choices=[("", "Import the row without it"), (REFUSE, "Leave the row out")],
        required=False,
        label="A value that isn't valid",
        widget=UnfoldAdminSelectWidget,
    )
    create_missing = forms.BooleanField(required=False, widget=UnfoldBooleanWidget)
    clear_empty = forms.BooleanField(
        required=False, label="An empty cell empties its field", widget=UnfoldBooleanWidget
    )

    def __init__(self, *args: Any, creatable: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["create_missing"].label = f"Create {' and '.join(creatable)} that aren't in NPD"
        if not creatable:
            del self.fields["create_missing"]

    def clean_import_file(self) -> Any:
        file = self.cleaned_data["import_file"]
        if file and file.size > file_formats.MAX_BYTES:
            raise forms.ValidationError(f"A file may have {MEGABYTES} MB. Split it.")
        return file


class ConfirmForm(forms.Form):
    step = forms.CharField(widget=forms.HiddenInput)
    shown_digest = forms.CharField(required=False, widget=forms.HiddenInput)
    leave_out_warned = forms.BooleanField(
        required=False, label_suffix="", widget=UnfoldBooleanWidget({"x-model": "leavesOut"})
    )


class ExportFileForm(ExportForm):
    def __init__(self, formats: Any, resources: Any, **kwargs: Any) -> None:
        super().__init__(formats, resources, **kwargs)
        self.fields["format"].initial = str(formats.index(file_formats.XLSX))
        self.fields["format"].choices = [(value, label.upper()) for value, label in self.fields["format"].choices]


class RecordFilesMixin(ImportExportMixin):
    """Adds import and export to the admin of a registered model."""

    export_formats = (file_formats.CSV, file_formats.XLSX)
    to_encoding = "utf-8-sig"  # without the BOM, Excel reads UTF-8 as Windows-1252
    export_form_class = ExportFileForm
    import_template_name = "sync/import.html"
    export_template_name = "sync/export.html"
    import_export_change_list_template = None  # admin/change_list.html has the buttons

    def get_resource_classes(self, request: HttpRequest) -> list[Any]:
        return [resource_of(self.model)]

    def has_import_permission(self, request: HttpRequest) -> bool:
        may_write = self.has_add_permission(request) and self.has_change_permission(request)
        return bool(may_write and super().has_import_permission(request))

    def has_export_permission(self, request: HttpRequest) -> bool:
        return bool(self.has_view_permission(request) and super().has_export_permission(request))

    def empty_buttons(self, request: HttpRequest) -> list[Button]:
        buttons: list[Button] = super().empty_buttons(request)
        if self.has_import_permission(request):
            url = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_import")
            buttons.append(Button("Import a file", url=url))
        return buttons

    def _creatable(self, request: HttpRequest) -> list[str]:
        """Return the kinds of related records that this person's imports may create by name."""
        targets = dict.fromkeys(map(registry.target_of, registry.own_relations(self.model)))
        return [
            str(target._meta.verbose_name_plural)
            for target in targets
            if is_creatable(target) and permissions.may_act(request.user, "add", target.entity_type())
        ]

    def get_urls(self) -> list[Any]:
        name = "{}_{}_import".format(*self.get_model_info())
        refused_rows = self.admin_site.admin_view(self.refused_rows)
        preview_rows = self.admin_site.admin_view(self.preview_rows)
        return [
            path("import/refused/<str:name>/", refused_rows, name=f"{name}_refused"),
            path("import/rows/<str:name>/<int:place>/", preview_rows, name=f"{name}_rows"),
            *super().get_urls(),
        ]

    def import_action(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Ask for a file, then for its columns, then preview its rows.

        What is sent is kept beside the file, and leads to the page of the next step, to which a browser can go back.
        """
        if not self.has_import_permission(request):
            raise PermissionDenied
        step = request.GET.get("step", "")
        choices = self._choices(step)
        if request.method == "POST":
            return self._next_step(request, step, choices)
        form = self._import_form(request)
        if not choices:
            if step:
                messages.warning(request, FILE_GONE)
            return self._import_page(request, {"form": form})
        try:
            reading = self._read(choices)
            titles = reading[0].headers[:-2]
            shows_columns = choices["step"] or "show" in request.GET
            if choices["columns"] and choices.get("titles") != titles_digest(titles):
                # Another sheet, or encoding, may have other titles than those for which the columns were chosen.
                choices["columns"] = []
                shows_columns = True
                reading[1].insert(0, OTHER_TITLES)
            is_unclear = choices["columns"] and not identifies_records(self.model, choices["columns"])
            page = self._columns_page if shows_columns or is_unclear else self._preview_page
            return page(request, step, choices, reading)
        except FileError as error:
            form = self._import_form(request, choices)
            form.add_error("import_file", str(error))
            return self._import_page(request, {"form": form})

    def _choices(self, step: str) -> dict[str, Any]:
        """Return what was chosen up to a step; nothing if that isn't kept any more."""
        choices: dict[str, Any] = cache.get(upload_key(self.model, "choices", step), {})
        return choices

    def _keep_choices(self, step: str, choices: dict[str, Any]) -> None:
        cache.set(upload_key(self.model, "choices", step), choices, Uploads.CACHE_LIFETIME)

    def _next_step(self, request: HttpRequest, step: str, choices: dict[str, Any]) -> HttpResponse:
        form = self._import_form(request, request.POST, request.FILES)
        if not choices and not request.FILES:
            form.add_error("import_file", "Choose a file.")
        if not form.is_valid():
            return self._import_page(request, {"form": form})
        if file := form.cleaned_data.pop("import_file"):
            upload = Uploads()
            upload.save(file.read())
            choices = {"upload": upload.name, "file_name": file.name}
        elif step:
            # Back leads to the columns as they were chosen.
            self._keep_choices(step, choices | form.cleaned_data | {"step": "read"})
        next_step = uuid4().hex
        self._keep_choices(next_step, choices | form.cleaned_data | {"step": request.POST.get("step", "")})
        return redirect(f"{self._import_url()}?step={next_step}")

    @method_decorator(require_POST)
    def process_import(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Import the file; if the rows would do something else than was shown, show their preview again."""
        if not self.has_import_permission(request):
            raise PermissionDenied
        form = ConfirmForm(request.POST)
        choices = self._choices(form.cleaned_data["step"]) if form.is_valid() else {}
        if not choices:
            messages.warning(request, FILE_GONE)
            return redirect(self._import_url())
        try:
            # One transaction: an import that is cut off leaves neither records nor the claim of its file.
            with transaction.atomic():
                # `add` is true once, and a second click waits here for the first.
                if not cache.add(f"imported-{choices['upload']}", True, Uploads.CACHE_LIFETIME):
                    messages.warning(request, IMPORTED_ALREADY)
                    return redirect(self._import_url())
                resource, result = self._run(request, choices | form.cleaned_data, self._read(choices), dry_run=False)
                if resource.has_refused:
                    key = upload_key(self.model, "refused", str(resource.batch_id))
                    cache.set(key, resource.refused_file(), REFUSED_SECONDS)
                Uploads(name=choices["upload"]).remove()
        except FileError as error:
            messages.warning(request, f"Nothing was imported. {error}")
            return redirect(f"{self._import_url()}?step={form.cleaned_data['step']}")
        return self._back_to_list(request, resource, result)

    def _import_url(self, page: str = "", *args: Any) -> str:
        return reverse("admin:{}_{}_import".format(*self.get_model_info()) + page, args=args)

    def _run(self, request: HttpRequest, choices: dict[str, Any], reading: Any, *, dry_run: bool) -> Any:
        """Preview or import the stored file, and return its resource and result; raises FileError."""
        rows, notes, _ = reading
        # The kinds of records that this person may create.
        options = choices | {"create_missing": choices.get("create_missing") and self._creatable(request)}
        resource = resource_of(self.model)(options=options)
        result = resource.import_data(rows, dry_run=dry_run, user=request.user, file_name=choices["file_name"])
        result.notes[:0] = notes
        return resource, result

    def _read(self, choices: dict[str, Any]) -> Any:
        content = Uploads(name=choices["upload"]).read()
        return file_formats.read_file(content, choices["encoding"], choices["sheet"], known_titles(self.model).count)

    def _import_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> ImportForm:
        return ImportForm(*args, creatable=self._creatable(request), **kwargs)

    def _import_page(self, request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
        labels = [field.column_name for field in resource_of(self.model)().fields.values()]
        page = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": self.media,
            "title": f"Import {self.opts.verbose_name_plural}",
            "known_columns": f"A row has the titles: {', '.join(labels)}, or other usual names for these.",
        }
        return TemplateResponse(request, [self.import_template_name], page | context)

    def _columns_page(self, request: HttpRequest, step: str, choices: dict[str, Any], reading: Any) -> HttpResponse:
        rows, notes, sheets = reading
        titles = rows.headers[:-2]
        self._keep_choices(step, choices | {"titles": titles_digest(titles)})
        columns = choices["columns"] or suggest_columns(self.model, titles, list(rows))
        form = self._import_form(request, initial=choices | {"encoding": rows.encoding})
        form.fields["sheet"].widget = UnfoldAdminSelectWidget(
            choices=[("", "All with the same columns"), *((name, name) for name in sheets)]
        )
        if len(sheets) < 2:
            del form.fields["sheet"]
        if not rows.encoding or rows.encoding in file_formats.CERTAIN:
            del form.fields["encoding"]
        del form.fields["import_file"], form.fields["columns"]  # the page's own lists
        values = list(zip(*rows, strict=True))[: len(titles)]
        samples = [", ".join(islice(filter(None, dict.fromkeys(column)), SAMPLES)) for column in values]
        fields = resource_of(self.model)().fields
        context = {
            "choices_form": form,
            "reading_labels": [READING[name] for name in READING if name in form.fields],
            "notes": [*notes, *missing_key_note(self.model, columns), *order_notes(self.model, titles, columns)],
            "columns": list(zip(titles, samples, columns, strict=True)),
            "field_choices": field_choices(self.model, [(name, field.column_name) for name, field in fields.items()]),
        }
        return self._import_page(request, context)

    def _preview_page(self, request: HttpRequest, step: str, choices: dict[str, Any], reading: Any) -> HttpResponse:
        """Show the beginnings of the preview's lists, which are stored whole for their own pages."""
        resource, result = self._run(request, choices, reading, dry_run=True)
        lists = preview_lists(result, f"New {' and '.join(self._creatable(request))}")
        cache.set(upload_key(self.model, "rows", step), lists, Uploads.CACHE_LIFETIME)
        if result.ignored:
            result.notes.insert(0, f"Columns that are not imported: {humanize.listed(result.ignored)}.")
        shown_lists = []
        for place, (title, number, groups) in enumerate(lists):
            beginnings = [(reason, len(lines), lines[:LISTED_ROWS]) for reason, lines in groups]
            url = self._import_url("_rows", step, place)
            is_cut = any(length > LISTED_ROWS for _, length, _ in beginnings)
            shown_lists.append((title, number, beginnings, url if is_cut else ""))
        labels = {name: field.label for name, field in self._import_form(request).fields.items()}
        if result.unknown_names and "create_missing" in labels and not choices.get("create_missing"):
            tick = f"To create them, press “Change columns and choices” and tick “{labels['create_missing']}”."
            missing = f"{' and '.join(self._creatable(request)).capitalize()} that aren't in NPD"
            rows = "not imported" if choices["bad_values"] == REFUSE else "imported without them"
            result.notes.append(f"{missing}: {result.unknown_names:,}. Their rows are {rows}. {tick}")
        if result.national_numbers:
            numbers = f"Phone numbers that aren't valid in the country of their row: {result.national_numbers:,}."
            choice = (
                f"To take another country, press “Change columns and choices” and choose it under “{labels['region']}”."
            )
            result.notes.append(f"{numbers} {choice}")
        if result.placeholders:
            examples = humanize.listed(map(humanize.quote, islice(dict.fromkeys(result.placeholders), SAMPLES)))
            result.notes.append(f"Cells that count as empty: {len(result.placeholders):,}, which read {examples}.")
        links = BoardLink.objects.filter(entity_type=self.model.entity_type()).exclude(board_id="")
        if cost := api_quota.cost_sentence({link.pk: len(result.written) for link in links}):
            result.notes.append(cost)
        warned = sum(bool(row.doubt) for row in result.written)
        form = ConfirmForm(initial={"step": step, "shown_digest": result.digest})
        rows = humanize.count_with_noun(warned, "row")
        form.fields["leave_out_warned"].label = f"Leave out namesakes and what is listed “with a warning”: {rows}"
        if result.replaces_by_name:
            form.fields["leave_out_warned"].help_text = TICKED
        if not warned:
            del form.fields["leave_out_warned"]
        context = {
            "result": result,
            "lists": shown_lists,
            "to_write": len(result.written),
            "without_warned": len(result.written) - warned,
            "step": step,
            "refused_url": self._import_url("_refused", step) if resource.has_refused else "",
        }
        return self._import_page(request, context | ({"confirm_form": form} if result.written else {}))

    def preview_rows(self, request: HttpRequest, name: str, place: int) -> HttpResponse:
        """Show one list of a preview whole, in parts."""
        if not self.has_import_permission(request):
            raise PermissionDenied
        lists = cache.get(upload_key(self.model, "rows", name), [])
        if place >= len(lists):
            raise Http404("A preview's rows are kept for an hour, or until a person is erased. Preview the file again.")
        title, number, groups = lists[place]
        lines = [line for _, lines in groups for line in lines]
        page = Paginator(lines, PAGE_ROWS).get_page(request.GET.get("page"))
        return self._import_page(request, {"list_title": title, "number": number, "page": page})

    def refused_rows(self, request: HttpRequest, name: str) -> HttpResponse:
        """Send the rows that an import refused, or that the preview of a step would refuse."""
        if not self.has_import_permission(request):
            raise PermissionDenied
        content = cache.get(upload_key(self.model, "refused", name))
        if choices := self._choices(name):
            with suppress(FileError):  # the file is gone
                resource, _ = self._run(request, choices, self._read(choices), dry_run=True)
                content = resource.refused_file()
        if content is None:
            raise Http404("The refused rows of an import are kept for seven days, or until a person is erased.")
        headers = {"Content-Disposition": f'attachment; filename="refused-{self.opts.verbose_name_plural}.csv"'}
        return HttpResponse(content, content_type="text/csv", headers=headers)

    def _back_to_list(self, request: HttpRequest, resource: Any, result: Any) -> HttpResponse:
        """Return to the list, with what was imported and what wasn't."""
        remember_columns(self.model, resource.titles, resource.columns)
        parts = [f"Imported: {result.new:,} new, {result.changed:,} changed, {result.totals['skip']:,} unchanged."]
        if result.made:
            parts.append(result.made)
            if request.user.has_perm("sync.view_activityline"):
                url = reverse("admin:sync_activityline_changelist", query={"fold_id": str(resource.batch_id)})
                parts.append(format_html('<a class="npd-link" href="{}">Show each</a>', url))
        parts += filter(None, [result.empty_note])
        rows = result.valid_rows()
        incomplete = sum(bool(row.left_out) for row in rows)
        partly = sum(bool(row.further_values) for row in rows)
        counts = (
            (len(result.invalid_rows), "row was not imported.", "rows were not imported."),
            (incomplete, "row has a value that was left out.", "rows have a value that was left out."),
            (partly, "row has several values for a field.", "rows have several values for a field."),
            (result.left_out, "row with a warning was left out.", "rows with a warning were left out."),
        )
        refused_url = self._import_url("_refused", resource.batch_id)
        if refused := [humanize.count_with_noun(*count) for count in counts if count[0]]:
            parts.append(format_html('<a class="npd-link" href="{}">{}</a>', refused_url, " ".join(refused)))
        states = activity_undo.undo_states([resource.batch_id], request.user)
        if any(is_undoable for _state, is_undoable in states.values()):
            parts.append(format_html('<a class="npd-link" href="{}">Undo…</a>', act_undo_url(resource.batch_id)))
        messages.success(request, format_html_join(" ", "{}", ((part,) for part in parts)))
        return redirect("admin:{}_{}_changelist".format(*self.get_model_info()))

    def export_action(self, request: HttpRequest) -> HttpResponse:
        response: HttpResponse = super().export_action(request)
        if isinstance(response, TemplateResponse) and response.context_data is not None:
            number = self.get_export_queryset(request).count()
            response.context_data["count_text"] = registry.count_of_type(number, self.model.entity_type())
        return response

    def get_export_data(self, file_format: Any, request: HttpRequest, queryset: Any, **kwargs: Any) -> bytes:
        data: bytes = super().get_export_data(file_format, request, queryset, **kwargs)
        # Without the values of filters: a search may be a person's address, which an erasure wouldn't find here.
        filters = f" Filters: {', '.join(request.GET)}." if request.GET else ""
        sentence = f"Exported {queryset.count():,} rows as {file_format.get_title().upper()}.{filters}"
        log_model_action(request.user, self.model, sentence)
        return data


def refused_rows_url(user: Any, row: ActivityLine) -> str:
    """Return the address of the rows that the import of this line of activity refused, while they are kept."""
    if not registry.is_registered(row.entity_type):
        return ""
    model = registry.entity(row.entity_type).model
    opts = model._meta
    may_read = user.has_perm(f"{opts.app_label}.import_{opts.model_name}")
    # An erasure deletes them before their time.
    if not may_read or not cache.has_key(upload_key(model, "refused", str(row.batch_id))):
        return ""
    return addresses.page_url(f"{opts.app_label}_{opts.model_name}_import_refused", row.batch_id)


def upload_key(model: Any, kind: str, name: str) -> str:
    # An erasure deletes what begins with the prefix.
    return f"{Uploads.CACHE_PREFIX}{kind}-{model.entity_type()}-{name}"


Line = tuple[str, str, Sequence[Any]]  # a heading, a sentence, and changes: label, old and new value
PreviewList = tuple[str, int, list[tuple[str, list[Line]]]]  # a title, the number of rows, their lines by reason


def preview_lists(result: Any, new_title: str) -> list[PreviewList]:
    """Return the lists of a preview that aren't empty."""
    plain = [row for row in result.written if not row.doubt]
    problems = {
        "Not imported": [(row, row.reasons) for row in result.invalid_rows],
        "With a value left out": [(row, row.left_out) for row in result.valid_rows()],
        "With several values for a field": [(row, row.further_values) for row in result.valid_rows()],
    }
    lists: list[PreviewList] = [
        (title, sum(bool(texts) for _, texts in rows), grouped_problems(rows)) for title, rows in problems.items()
    ]
    lists.append((new_title, len(result.made_names), [("", [(name, "", ()) for name in result.made_names])]))
    namesakes = [row for row in result.written if row.doubt and row.is_new()]
    warned = [row for row in result.written if row.doubt and row.is_update()]
    rows_by_title = {
        "Namesakes": namesakes,
        "Other new" if namesakes else "New": [row for row in plain if row.is_new()],
        "Changed with a warning": warned,
        "Other changed" if warned else "Changed": [row for row in plain if row.is_update()],
        "Unchanged": [row for row in result.valid_rows() if row.is_skip()],
    }
    for title, rows in rows_by_title.items():
        lists.append((title, len(rows), [("", [(_heading(row), row.doubt, row.diff) for row in rows])]))
    return [shown for shown in lists if shown[1]]


def _heading(row: Any) -> str:
    return f"Row {row.number}, {row.object_repr}" if row.object_repr else f"Row {row.number}"


def grouped_problems(rows: Iterable[tuple[Any, list[str]]]) -> list[tuple[str, list[Line]]]:
    """Group rows by what is wrong, whatever the value; the largest group first."""
    groups: dict[str, list[Line]] = {}
    for row, texts in rows:
        for text in texts:
            general = re.sub("“[^”]*”", "…", re.sub(r"^Row \S+", "Another row", text))
            general = general.replace("….", "…")
            groups.setdefault(general, []).append((_heading(row), text, ()))
    return sorted(groups.items(), key=lambda group: -len(group[1]))
