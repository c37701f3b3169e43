"""The import and export pages of records, by django-import-export.

An import has three steps: the file, its columns, and the library's preview. The file stays in the cache until its
confirmation, and each form carries the choices of the steps before it.
"""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, cast

from django import forms
from django.contrib import messages
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join
from import_export.admin import ImportExportMixin
from import_export.forms import ConfirmImportForm
from import_export.tmp_storages import CacheStorage
from unfold.contrib.import_export.forms import ExportForm, ImportForm
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldBooleanWidget

from sync import addresses, permissions, registry
from sync.admin.activity import act_undo_url
from sync.kernel import humanize
from sync.models import ActivityLine
from sync.monday.columns.phones import phone_regions
from sync.operations import activity_undo, file_formats
from sync.operations.import_columns import (
    KnownTitles,
    field_choices,
    missing_key_note,
    remember_columns,
    suggest_columns,
)
from sync.operations.record_files import REFUSE, is_creatable, resource_of
from sync.operations.workbooks import FileError
from sync.records.authors import log_model_action

# A preview shows so many rows of each list, which has a page of its own, in parts of so many.
LISTED_ROWS = 20
PAGE_ROWS = 200

# So many values of a column are shown.
SAMPLES = 3
# The buttons that lead to the second step: with the columns as they were chosen, or read anew.
READ_AGAIN = "read"
COLUMN_STEPS = ("columns", READ_AGAIN)

REFUSED_SECONDS = 7 * 86_400

ENCODINGS = [("", "As it seems"), *file_formats.ENCODINGS.items()]

FILE_GONE = "The file was imported already (see Activity), or you chose it over an hour ago. Choose it again."


class Uploads(CacheStorage):
    """Keeps a file until its confirmation, in the database's cache, which all web processes share."""

    CACHE_LIFETIME = 3_600

    def read(self) -> bytes:
        # Files of refused rows have other names: their own page checks who may read them.
        data: bytes | None = super().read() if re.fullmatch("[0-9a-f]{32}", self.name) else None
        if data is None:
            raise FileError(FILE_GONE)
        return data


class StepForm(forms.Form):
    """What a person chose about a file: the second step asks for it, each step carries it on."""

    may_read_again = False

    import_file_name = forms.CharField(required=False, widget=forms.HiddenInput)
    original_file_name = forms.CharField(required=False, widget=forms.HiddenInput)
    # What each column goes to, one after the other.
    columns = forms.Field(required=False, widget=forms.MultipleHiddenInput)
    sheet = forms.CharField(required=False)
    encoding = forms.ChoiceField(choices=ENCODINGS, required=False, widget=UnfoldAdminSelectWidget)
    region = forms.ChoiceField(
        choices=lambda: [("", "As in the settings"), *phone_regions()],
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

    def hide(self, *names: str) -> None:
        for name in names:
            self.fields[name].widget = forms.HiddenInput()


CHOICES = tuple(StepForm.base_fields)
MEGABYTES = file_formats.MAX_BYTES // 1_000_000


class FileForm(StepForm, ImportForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["import_file"].label = "CSV or XLSX file"
        self.fields["import_file"].help_text = f"It may have {MEGABYTES} MB."
        self.fields["import_file"].required = False  # the next steps have its name
        self.fields["format"].widget = forms.HiddenInput()  # the only one reads both

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        file = data.get("import_file")
        if file is None and data.get("import_file_name"):
            upload = Uploads(name=data["import_file_name"])
            try:
                file = SimpleUploadedFile(data["original_file_name"] or "file", upload.read())
            except FileError as error:
                raise forms.ValidationError({"import_file": str(error)}) from error
            file.tmp_storage_name = upload.name  # type: ignore[attr-defined]
            data["import_file"] = file
        if file is None and "import_file" not in self.errors:
            raise forms.ValidationError({"import_file": "Choose a file."})
        if file is not None and file.size > file_formats.MAX_BYTES:
            raise forms.ValidationError({"import_file": f"A file may have {MEGABYTES} MB. Split it."})
        return data


class ExportFileForm(ExportForm):
    def __init__(self, formats: Any, resources: Any, **kwargs: Any) -> None:
        super().__init__(formats, resources, **kwargs)
        self.fields["format"].initial = str(formats.index(file_formats.XLSX))
        self.fields["format"].choices = [(value, label.upper()) for value, label in self.fields["format"].choices]


class ConfirmForm(StepForm, ConfirmImportForm):
    import_file_name = forms.CharField(widget=forms.HiddenInput)
    format = forms.ChoiceField(choices=[("0", "")], widget=forms.HiddenInput)
    resource = forms.ChoiceField(choices=[("0", "")], widget=forms.HiddenInput, required=False)
    shown_digest = forms.CharField(widget=forms.HiddenInput)
    leave_out_warned = forms.BooleanField(
        required=False, label="Leave out namesakes and rows with a warning", label_suffix="", widget=UnfoldBooleanWidget
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.hide(*(name for name in CHOICES if name != "columns"))


class RecordFilesMixin(ImportExportMixin):
    """Adds import and export to the admin of a registered model."""

    import_formats = (file_formats.Upload,)
    export_formats = (file_formats.CSV, file_formats.XLSX)
    to_encoding = "utf-8-sig"  # without the BOM, Excel reads UTF-8 as Windows-1252
    import_form_class = FileForm
    confirm_form_class = ConfirmForm
    export_form_class = ExportFileForm
    import_template_name = "sync/import.html"
    export_template_name = "sync/export.html"
    import_export_change_list_template = None  # admin/change_list.html has the buttons
    tmp_storage_class = Uploads
    skip_admin_log = True  # the library would write a line for each record

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

    def create_import_form(self, request: HttpRequest) -> Any:
        form = super().create_import_form(request)
        if not self._creatable(request):
            del form.fields["create_missing"]
        return form

    def get_urls(self) -> list[Any]:
        name = "{}_{}_import".format(*self.get_model_info())
        refused_rows = self.admin_site.admin_view(self.refused_rows)
        preview_rows = self.admin_site.admin_view(self.preview_rows)
        return [
            path("import/refused/<str:name>/", refused_rows, name=f"{name}_refused"),
            path("import/rows/<str:name>/<int:place>/", preview_rows, name=f"{name}_rows"),
            *super().get_urls(),
        ]

    def get_confirm_form_initial(self, request: HttpRequest, import_form: Any) -> dict[str, Any]:
        initial: dict[str, Any] = super().get_confirm_form_initial(request, import_form)
        if import_form is None:
            return initial
        return {name: import_form.cleaned_data.get(name) for name in CHOICES} | initial

    def get_import_resource_kwargs(self, request: HttpRequest, form: Any = None, **kwargs: Any) -> dict[str, Any]:
        """Give the resource the form's choices: `create_missing` becomes the kinds that this person may create."""
        options = dict(getattr(form, "cleaned_data", {}))
        options["create_missing"] = options.get("create_missing") and self._creatable(request)
        return {"options": options}

    def write_to_tmp_storage(self, import_file: Any, input_format: Any) -> Any:
        if name := getattr(import_file, "tmp_storage_name", ""):
            return Uploads(name=name)
        return super().write_to_tmp_storage(import_file, input_format)

    def import_action(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Ask for a file, then for its columns, then preview its rows. Invalid rows don't stop the others."""
        step = request.POST.get("step", "")
        if step in COLUMN_STEPS and self.has_import_permission(request):
            form = self.create_import_form(request)
            if form.is_valid() and (page := self._columns_page(request, form)):
                return page
            return self._import_page(request, {"form": form})
        response = super().import_action(request, **kwargs)
        context = response.context_data
        # The library offers the confirmation even if nothing would be written.
        context.pop("confirm_form", None)
        result = context.get("result")
        if result is not None and result.has_errors():
            context["form"].add_error("import_file", _first_error(result))
            del context["result"]
        elif result is not None:
            context |= self._preview(request, context["form"], result)
        context |= self._first_step()
        answer: HttpResponse = response
        return answer

    def _first_step(self) -> dict[str, Any]:
        labels = [field.column_name for field in resource_of(self.model)().fields.values()]
        return {
            "known_columns": f"A row has the titles: {', '.join(labels)}, or other usual names for these.",
            "title": f"Import {self.opts.verbose_name_plural}",
        }

    def _import_page(self, request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
        frame = {**self.admin_site.each_context(request), "opts": self.opts, "media": self.media}
        return TemplateResponse(request, [self.import_template_name], frame | self._first_step() | context)

    def _columns_page(self, request: HttpRequest, form: Any) -> HttpResponse | None:
        """Return the page of the second step; None if the file can't be read, which the form then says."""
        data = form.cleaned_data
        file = data["import_file"]
        upload = self.write_to_tmp_storage(file, file_formats.Upload())
        content = upload.read()
        resource = resource_of(self.model)(options=data)
        if request.POST["step"] == READ_AGAIN:
            data["columns"] = []
        try:
            is_text = not file_formats.is_workbook(content)
            encoding = (data["encoding"] or file_formats.likely_encoding(content)) if is_text else ""
            rows, notes, sheets = file_formats.read_file(
                content, encoding, data["sheet"], KnownTitles(self.model).count
            )
        except FileError as error:
            form.add_error("import_file", str(error))
            form.may_read_again = not file_formats.is_workbook(content)
            return None
        titles = rows.headers[:-2]
        columns = data["columns"] if len(data["columns"] or ()) == len(titles) else suggest_columns(self.model, titles)
        initial = {name: data.get(name) for name in CHOICES}
        initial |= {"import_file_name": upload.name, "original_file_name": file.name, "encoding": encoding}
        choices_form = StepForm(initial=initial)
        del choices_form.fields["columns"]  # the page's own lists
        is_uncertain = bool(encoding) and encoding not in file_formats.CERTAIN
        choices_form.may_read_again = is_uncertain or len(sheets) > 1
        choices = [("", "All with the same columns"), *((name, name) for name in sheets)]
        choices_form.fields["sheet"].widget = UnfoldAdminSelectWidget(choices=choices)
        choices_form.hide(*(["sheet"] if len(sheets) < 2 else []), *([] if is_uncertain else ["encoding"]))
        if creatable := self._creatable(request):
            choices_form.fields["create_missing"].label = f"Create {' and '.join(creatable)} that aren't in NPD"
        else:
            del choices_form.fields["create_missing"]
        values = list(zip(*rows, strict=True))[: len(titles)]
        samples = [", ".join(islice(filter(None, dict.fromkeys(column)), SAMPLES)) for column in values]
        labels = [(name, str(field.column_name)) for name, field in resource.fields.items()]
        context = {
            "choices_form": choices_form,
            "notes": [*notes, *missing_key_note(self.model, columns)],
            "columns": list(zip(titles, samples, columns, strict=True)),
            "field_choices": field_choices(self.model, labels),
        }
        return self._import_page(request, context)

    def _preview(self, request: HttpRequest, form: Any, result: Any) -> dict[str, Any]:
        """Return what the preview shows: the beginnings of its lists, which are stored whole for their own pages."""
        confirm_form = self.create_confirm_form(request, import_form=form)
        confirm_form.initial |= {"columns": result.columns, "shown_digest": result.digest}
        to_write = result.totals["new"] + result.totals["update"]
        name = confirm_form.initial["import_file_name"]
        lists = preview_lists(result, f"New {' and '.join(self._creatable(request))}")
        if not any(row.doubt for row in result.written):
            del confirm_form.fields["leave_out_warned"]
        cache.set(upload_key(self.model, "rows", name), lists, Uploads.CACHE_LIFETIME)
        shown_lists = []
        for place, (title, number, groups) in enumerate(lists):
            beginnings = [(reason, len(lines), lines[:LISTED_ROWS]) for reason, lines in groups]
            url = reverse("admin:{}_{}_import_rows".format(*self.get_model_info()), args=[name, place])
            is_cut = any(length > LISTED_ROWS for _, length, _ in beginnings)
            shown_lists.append((title, number, beginnings, url if is_cut else ""))
        shown = {
            "lists": shown_lists,
            "to_write": to_write,
            "back_form": confirm_form,
            "refused_url": self._store_refused(name, result.refused_file),
        }
        return shown | ({"confirm_form": confirm_form} if to_write else {})

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

    def _store_refused(self, name: str, content: bytes, seconds: int = Uploads.CACHE_LIFETIME) -> str:
        """Keep a file of refused rows; return its address, empty if no row was refused."""
        if not content:
            return ""
        cache.set(upload_key(self.model, "refused", name), content, seconds)
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

    def add_data_read_fail_error_to_form(self, form: Any, e: Exception) -> None:
        if not isinstance(e, FileError):
            raise e
        form.add_error("import_file", str(e))

    def process_import(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Import the file; if the rows would do something else than was shown, show their preview again."""
        try:
            return cast("HttpResponse", super().process_import(request, **kwargs))
        except FileError as error:
            messages.warning(request, str(error))
        with suppress(FileError):
            Uploads(name=request.POST.get("import_file_name", "")).read()
            return self.import_action(request, **kwargs)
        return redirect("admin:{}_{}_import".format(*self.get_model_info()))

    def process_dataset(self, dataset: Any, form: Any, request: HttpRequest, **kwargs: Any) -> Any:
        # `add` is true once, so a double click imports once.
        claim = f"imported-{form.cleaned_data['import_file_name']}"
        if not cache.add(claim, True, Uploads.CACHE_LIFETIME):
            raise FileError(FILE_GONE)
        result = super().process_dataset(dataset, form, request, **kwargs)
        if result.has_errors():
            cache.delete(claim)
            advice = "" if result.is_other else " Preview the file again."
            raise FileError(f"Nothing was imported. {_first_error(result)}{advice}")
        return result

    def process_result(self, result: Any, request: HttpRequest) -> HttpResponse:
        remember_columns(self.model, result.titles, result.columns)
        refused_url = self._store_refused(str(result.batch_id), result.refused_file, REFUSED_SECONDS)
        parts = [f"Imported: {result.new:,} new, {result.changed:,} changed, {result.totals['skip']:,} unchanged."]
        if result.made:
            parts.append(result.made)
        refused = []
        if number := len(result.invalid_rows):
            refused.append(f"{humanize.count_with_noun(number, 'row was', 'rows were')} not imported.")
        if number := sum(bool(row.left_out) for row in result.valid_rows()):
            refused.append(f"{humanize.count_with_noun(number, 'row was', 'rows were')} imported without a value.")
        if result.left_out:
            left_out = humanize.count_with_noun(result.left_out, "row with a warning was", "rows with a warning were")
            refused.append(f"{left_out} left out.")
        if refused:
            parts.append(format_html('<a class="npd-link" href="{}">{}</a>', refused_url, " ".join(refused)))
        if result.batch_id in activity_undo.undo_states([result.batch_id], request.user):
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


def refused_rows_url(user: Any, row: ActivityLine, now: datetime) -> str:
    """Return the address of the rows that the import of this line of activity refused, while they are kept."""
    if row.at < now - timedelta(seconds=REFUSED_SECONDS) or not registry.is_registered(row.entity_type):
        return ""
    opts = registry.entity(row.entity_type).model._meta
    if not user.has_perm(f"{opts.app_label}.import_{opts.model_name}"):
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
    lists: list[PreviewList] = [
        ("Not imported", len(result.invalid_rows), grouped_problems((row, row.reasons) for row in result.invalid_rows)),
        ("Imported without a value", len(incomplete), grouped_problems((row, row.left_out) for row in incomplete)),
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


def grouped_problems(rows: Iterable[tuple[Any, Sequence[str]]]) -> list[tuple[str, list[Line]]]:
    """Group rows, each with its problems, by what is wrong, whatever the value; the largest group first."""
    groups: dict[str, list[Line]] = {}
    for row, problems in rows:
        for text in problems:
            general = re.sub("“[^”]*”", "…", re.sub(r"^Row \S+", "Another row", text))
            general = general.replace("….", "…")
            groups.setdefault(general, []).append((_heading(row), text, ()))
    return sorted(groups.items(), key=lambda group: -len(group[1]))


def _first_error(result: Any) -> str:
    error = (result.base_errors or result.error_rows[0].errors)[0].error
    return f"{str(error).strip().partition(chr(10))[0].rstrip('.')}."
