"""The import and export pages of records, by django-import-export.

An import has three steps: the file, its columns, and its preview. The file stays in the cache until its confirmation,
and each form carries the choices of the steps before it.
"""

import re
from collections.abc import Iterable, Sequence
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
    remember_reasons,
    suggest_columns,
    titles_digest,
)
from sync.operations.record_files import REFUSE, is_creatable, resource_of
from sync.operations.workbooks import FileError
from sync.records.authors import log_model_action

# A preview shows so many rows of each list, which has a page of its own, in parts of so many.
LISTED_ROWS = 20
PAGE_ROWS = 200

# So many values of a column are shown.
SAMPLES = 3
# What a person may choose about the reading of a file, and the button that reads it so.
READING = {"sheet": "Show the columns of this sheet", "encoding": "Show the text in this encoding"}

REFUSED_SECONDS = 7 * 86_400

ENCODINGS = [("", "As it seems"), *file_formats.ENCODINGS.items()]
MEGABYTES = file_formats.MAX_BYTES // 1_000_000

FILE_GONE = "The file is gone: it is kept for an hour, until it is imported or a person is erased. Choose it again."
OTHER_TITLES = "The titles are other ones now. Look where each column goes."
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
    """A file, and what a person chose about it: each step carries on what the steps before it asked for."""

    import_file = forms.FileField(
        required=False,
        label="CSV or XLSX file",
        help_text=f"It may have {MEGABYTES} MB.",
        widget=UnfoldAdminFileFieldWidget,
    )
    # Of the stored file; files of refused rows have other names: their own page checks who may read them.
    import_file_name = forms.RegexField("^[0-9a-f]{32}$", required=False, widget=forms.HiddenInput)
    original_file_name = forms.CharField(required=False, widget=forms.HiddenInput)
    # What each column goes to, one after the other.
    columns = forms.Field(required=False, widget=forms.MultipleHiddenInput)
    # Of the titles for which they were chosen: another sheet, or encoding, may have other ones.
    titles_digest = forms.CharField(required=False, widget=forms.HiddenInput)
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
    shown_digest = forms.CharField(required=False, widget=forms.HiddenInput)  # of the preview
    leave_out_warned = forms.BooleanField(
        required=False, label_suffix="", widget=UnfoldBooleanWidget({"x-model": "leavesOut"})
    )

    def __init__(self, *args: Any, creatable: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["create_missing"].label = f"Create {' and '.join(creatable)} that aren't in NPD"
        if not creatable:
            del self.fields["create_missing"]

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if file := data.get("import_file"):
            if file.size > file_formats.MAX_BYTES:
                raise forms.ValidationError({"import_file": f"A file may have {MEGABYTES} MB. Split it."})
            upload = Uploads()
            upload.save(file.read())
            data |= {"import_file_name": upload.name, "original_file_name": file.name}
        elif "import_file" not in self.errors and not data.get("import_file_name"):
            raise forms.ValidationError({"import_file": "Choose a file."})
        return data

    def carry_on(self, *shown: str) -> None:
        """Show these fields, and hide all others but the file itself, which is stored."""
        del self.fields["import_file"]
        for name in self.fields.keys() - shown - {"columns"}:
            self.fields[name].widget = forms.HiddenInput()


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
        if request.method == "POST":
            form = self._import_form(request, request.POST, request.FILES)
            if not form.is_valid():
                return self._import_page(request, {"form": form})
            choices = form.cleaned_data | {"import_file": None, "step": request.POST.get("step", "")}
            step = uuid4().hex
            cache.set(upload_key(self.model, "choices", step), choices, Uploads.CACHE_LIFETIME)
            if before := request.GET.get("step"):
                # Back leads to the columns as they were chosen.
                back = choices | {"step": "read"}
                cache.set(upload_key(self.model, "choices", before), back, Uploads.CACHE_LIFETIME)
            return redirect(f"{self._import_url()}?step={step}")
        data = cache.get(upload_key(self.model, "choices", request.GET.get("step", "")))
        form = self._import_form(request, data)
        if data is None:
            if "step" in request.GET:
                messages.warning(request, FILE_GONE)
            return self._import_page(request, {"form": form})
        try:
            rows, notes, sheets = self._read(data)
            columns = data["columns"]
            data["step"] = data["step"] or request.GET.get("show", "")
            digest = titles_digest(rows.headers[:-2])
            if columns and digest != data["titles_digest"]:
                # Columns that were chosen for other titles, or tell no record, are shown again.
                data |= {"columns": [], "step": "read"}
                notes.insert(0, OTHER_TITLES)
            data["titles_digest"] = digest
            is_unclear = columns and not identifies_records(self.model, columns)
            page = self._columns_page if data["step"] or is_unclear else self._preview_page
            return page(request, data, (rows, notes, sheets))
        except FileError as error:
            form.add_error("import_file", str(error))
            return self._import_page(request, {"form": form})

    @method_decorator(require_POST)
    def process_import(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Import the file; if the rows would do something else than was shown, show their preview again."""
        if not self.has_import_permission(request):
            raise PermissionDenied
        form = self._import_form(request, request.POST)
        if not form.is_valid():
            return self._import_page(request, {"form": form})
        name = form.cleaned_data["import_file_name"]
        try:
            # One transaction: an import that is cut off leaves neither records nor the claim of its file.
            with transaction.atomic():
                # `add` is true once, and a second click waits here for the first.
                if not cache.add(f"imported-{name}", True, Uploads.CACHE_LIFETIME):
                    messages.warning(request, IMPORTED_ALREADY)
                    return redirect(self._import_url())
                reading = self._read(form.cleaned_data)
                result = self._run(request, form.cleaned_data, reading, dry_run=False)
                result.refused_url = self._store_refused(str(result.batch_id), result, REFUSED_SECONDS)
                Uploads(name=name).remove()
        except FileError as error:
            messages.warning(request, f"Nothing was imported. {error}")
            return self.import_action(request)
        return self.process_result(result, request)

    def _import_url(self) -> str:
        return reverse("admin:{}_{}_import".format(*self.get_model_info()))

    def _run(self, request: HttpRequest, data: dict[str, Any], reading: Any, *, dry_run: bool) -> Any:
        """Preview or import the stored file; raises FileError. Invalid rows don't stop the others."""
        rows, notes, _ = reading
        # The kinds of records that this person may create.
        options = {**data, "create_missing": data.get("create_missing") and self._creatable(request)}
        resource = resource_of(self.model)(options=options)
        file_name = data["original_file_name"]
        result = resource.import_data(rows, dry_run=dry_run, user=request.user, file_name=file_name)
        if result.has_errors():
            error = (result.base_errors or result.error_rows[0].errors)[0].error
            raise FileError(f"{str(error).strip().partition(chr(10))[0].rstrip('.')}.") from error
        result.notes[:0] = notes
        return result

    def _read(self, data: dict[str, Any]) -> Any:
        """Return what `read_file` does, and note the encoding in which the file was read."""
        content = Uploads(name=data["import_file_name"]).read()
        reading = file_formats.read_file(content, data["encoding"], data["sheet"], known_titles(self.model).count)
        data["encoding"] = reading[0].encoding
        return reading

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

    def _columns_page(self, request: HttpRequest, data: dict[str, Any], reading: Any) -> HttpResponse:
        rows, notes, sheets = reading
        titles = rows.headers[:-2]
        columns = data["columns"] or suggest_columns(self.model, titles)
        encoding = data["encoding"]
        form = self._import_form(request, initial=data)
        form.fields["sheet"].widget = UnfoldAdminSelectWidget(
            choices=[("", "All with the same columns"), *((name, name) for name in sheets)]
        )
        asked = ["sheet"] if len(sheets) > 1 else []
        if encoding and encoding not in file_formats.CERTAIN:
            asked.append("encoding")
        form.carry_on(*asked, "region", "bad_values", "create_missing", "clear_empty")
        del form.fields["columns"]  # the page's own lists
        values = list(zip(*rows, strict=True))[: len(titles)]
        samples = [", ".join(islice(filter(None, dict.fromkeys(column)), SAMPLES)) for column in values]
        fields = resource_of(self.model)().fields
        context = {
            "choices_form": form,
            "reading_labels": [READING[name] for name in asked],
            "notes": [*notes, *missing_key_note(self.model, columns), *order_notes(self.model, titles, columns)],
            "columns": list(zip(titles, samples, columns, strict=True)),
            "field_choices": field_choices(self.model, [(name, field.column_name) for name, field in fields.items()]),
        }
        return self._import_page(request, context)

    def _preview_page(self, request: HttpRequest, data: dict[str, Any], reading: Any) -> HttpResponse:
        """Show the beginnings of the preview's lists, which are stored whole for their own pages."""
        result = self._run(request, data, reading, dry_run=True)
        name = data["import_file_name"]
        lists = preview_lists(result, f"New {' and '.join(self._creatable(request))}")
        cache.set(upload_key(self.model, "rows", name), lists, Uploads.CACHE_LIFETIME)
        shown_lists = []
        for place, (title, number, groups) in enumerate(lists):
            beginnings = [(reason, len(lines), lines[:LISTED_ROWS]) for reason, lines in groups]
            url = reverse("admin:{}_{}_import_rows".format(*self.get_model_info()), args=[name, place])
            is_cut = any(length > LISTED_ROWS for _, length, _ in beginnings)
            shown_lists.append((title, number, beginnings, url if is_cut else ""))
        form = self._import_form(request, initial=data | {"columns": result.columns, "shown_digest": result.digest})
        if result.unknown_names and "create_missing" in form.fields and not data["create_missing"]:
            tick = (
                f"To create them, press “Change columns and choices” and tick “{form.fields['create_missing'].label}”."
            )
            missing = f"{' and '.join(self._creatable(request)).capitalize()} that aren't in NPD"
            rows = "not imported" if data["bad_values"] == REFUSE else "imported without them"
            result.notes.append(f"{missing}: {result.unknown_names:,}. Their rows are {rows}. {tick}")
        if result.national_numbers:
            numbers = f"Phone numbers that aren't valid in the country of their row: {result.national_numbers:,}."
            label = form.fields["region"].label
            choice = f"To take another country, press “Change columns and choices” and choose it under “{label}”."
            result.notes.append(f"{numbers} {choice}")
        links = BoardLink.objects.filter(entity_type=self.model.entity_type()).exclude(board_id="")
        if cost := api_quota.cost_sentence({link.pk: len(result.written) for link in links}):
            result.notes.append(cost)
        form.carry_on("leave_out_warned")
        warned = sum(bool(row.doubt) for row in result.written)
        rows = humanize.count_with_noun(warned, "row")
        form.fields["leave_out_warned"].label = f"Leave out namesakes and what is listed “with a warning”: {rows}"
        if not warned:
            del form.fields["leave_out_warned"]
        context = {
            "result": result,
            "lists": shown_lists,
            "to_write": len(result.written),
            "without_warned": len(result.written) - warned,
            "step": request.GET["step"],
            "refused_url": self._store_refused(name, result),
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

    def _store_refused(self, name: str, result: Any, seconds: int = Uploads.CACHE_LIFETIME) -> str:
        """Keep a file of refused rows; return its address, empty if no row was refused."""
        if not result.refused_file:
            return ""
        remember_reasons(self.model, result.refused_titles)
        cache.set(upload_key(self.model, "refused", name), result.refused_file, seconds)
        return reverse("admin:{}_{}_import_refused".format(*self.get_model_info()), args=[name])

    def refused_rows(self, request: HttpRequest, name: str) -> HttpResponse:
        """Send the rows that an import, or its preview, refused."""
        if not self.has_import_permission(request):
            raise PermissionDenied
        content = cache.get(upload_key(self.model, "refused", name))
        if content is None:
            raise Http404("The refused rows of an import are kept for seven days, or until a person is erased.")
        headers = {"Content-Disposition": f'attachment; filename="refused-{self.opts.verbose_name_plural}.csv"'}
        return HttpResponse(content, content_type="text/csv", headers=headers)

    def process_result(self, result: Any, request: HttpRequest) -> HttpResponse:
        remember_columns(self.model, result.titles, result.columns)
        parts = [f"Imported: {result.new:,} new, {result.changed:,} changed, {result.totals['skip']:,} unchanged."]
        if result.made:
            parts.append(result.made)
            if request.user.has_perm("sync.view_activityline"):
                url = reverse("admin:sync_activityline_changelist", query={"fold_id": str(result.batch_id)})
                parts.append(format_html('<a class="npd-link" href="{}">Show each</a>', url))
        parts += result.unused
        incomplete = sum(bool(row.left_out) for row in result.valid_rows())
        partly = sum(bool(row.further_values) for row in result.valid_rows())
        counts = (
            (len(result.invalid_rows), "row was not imported.", "rows were not imported."),
            (incomplete, "row was imported without a value.", "rows were imported without a value."),
            (
                partly,
                "row was imported with the first of its values.",
                "rows were imported with the first of their values.",
            ),
            (result.left_out, "row with a warning was left out.", "rows with a warning were left out."),
        )
        if refused := [humanize.count_with_noun(*count) for count in counts if count[0]]:
            parts.append(format_html('<a class="npd-link" href="{}">{}</a>', result.refused_url, " ".join(refused)))
        states = activity_undo.undo_states([result.batch_id], request.user)
        if any(is_undoable for _state, is_undoable in states.values()):
            parts.append(format_html('<a class="npd-link" href="{}">Undo…</a>', act_undo_url(result.batch_id)))
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
    incomplete = [row for row in result.valid_rows() if row.left_out]
    partly = [row for row in result.valid_rows() if row.further_values]
    unused = [row for row in result.valid_rows() if row.unused_values]
    lists: list[PreviewList] = [
        ("Not imported", len(result.invalid_rows), grouped_problems(result.invalid_rows, "reasons")),
        ("Imported without a value", len(incomplete), grouped_problems(incomplete, "left_out")),
        ("Imported with the first of several values", len(partly), grouped_problems(partly, "further_values")),
        ("With values in further columns", len(unused), grouped_problems(unused, "unused_values")),
        (new_title, len(result.made_names), [("", [(name, "", ()) for name in result.made_names])]),
    ]
    rows_by_title = {
        "Namesakes": [row for row in result.written if row.doubt and row.is_new()],
        "With a warning": [row for row in result.written if row.doubt and row.is_update()],
        "New": [row for row in plain if row.is_new()],
        "Changed": [row for row in plain if row.is_update()],
        "Unchanged": [row for row in result.valid_rows() if row.is_skip()],
    }
    for title, rows in rows_by_title.items():
        lists.append((title, len(rows), [("", [(_heading(row), row.doubt, row.diff) for row in rows])]))
    return [shown for shown in lists if shown[1]]


def _heading(row: Any) -> str:
    return f"Row {row.number}, {row.object_repr}" if row.object_repr else f"Row {row.number}"


def grouped_problems(rows: Iterable[Any], kind: str) -> list[tuple[str, list[Line]]]:
    """Group rows by what is wrong, whatever the value; the largest group first."""
    groups: dict[str, list[Line]] = {}
    for row in rows:
        for text in getattr(row, kind):
            general = re.sub("“[^”]*”", "…", re.sub(r"^Row \S+", "Another row", text))
            general = general.replace("….", "…")
            groups.setdefault(general, []).append((_heading(row), text, ()))
    return sorted(groups.items(), key=lambda group: -len(group[1]))
