"""The import and export pages of records, by django-import-export."""

from typing import Any, cast

from django import forms
from django.contrib import messages
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.html import format_html
from import_export.admin import ImportExportMixin
from import_export.forms import ConfirmImportForm
from import_export.tmp_storages import CacheStorage
from unfold.contrib.import_export.forms import ExportForm, ImportForm
from unfold.widgets import UnfoldBooleanWidget

from sync import registry
from sync.admin.activity import batch_undo_url
from sync.kernel import humanize
from sync.operations import file_formats
from sync.operations.record_files import is_creatable, resource_of
from sync.operations.workbooks import FileError
from sync.records.authors import log_model_action

# A preview lists this many rows at most of those that it would import without a warning.
LISTED_ROWS = 50

FILE_GONE = "The file was imported already (see Activity), or you chose it over an hour ago. Choose it again."


class Uploads(CacheStorage):
    """Keeps a file until its confirmation, in the database's cache, which all web processes share."""

    CACHE_LIFETIME = 3_600

    def read(self) -> bytes:
        data: bytes | None = super().read()
        if data is None:
            raise FileError(FILE_GONE)
        return data


class FileForm(ImportForm):
    create_missing = forms.BooleanField(required=False, widget=UnfoldBooleanWidget)
    clear_empty = forms.BooleanField(
        required=False, label="An empty cell empties its field", widget=UnfoldBooleanWidget
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["import_file"].label = "CSV or XLSX file"
        self.fields["format"].widget = forms.HiddenInput()  # the only one reads both

    def clean_import_file(self) -> Any:
        file = self.cleaned_data["import_file"]
        if file.size > file_formats.MAX_BYTES:
            raise forms.ValidationError(f"A file may have {file_formats.MAX_BYTES // 1_000_000} MB. Split it.")
        return file


class ExportFileForm(ExportForm):
    def __init__(self, formats: Any, resources: Any, **kwargs: Any) -> None:
        super().__init__(formats, resources, **kwargs)
        self.fields["format"].initial = str(formats.index(file_formats.XLSX))
        self.fields["format"].choices = [(value, label.upper()) for value, label in self.fields["format"].choices]


class ConfirmForm(ConfirmImportForm):
    format = forms.ChoiceField(choices=[("0", "")], widget=forms.HiddenInput)
    resource = forms.ChoiceField(choices=[("0", "")], widget=forms.HiddenInput, required=False)
    create_missing = forms.BooleanField(required=False, widget=forms.HiddenInput)
    clear_empty = forms.BooleanField(required=False, widget=forms.HiddenInput)
    shown_digest = forms.CharField(widget=forms.HiddenInput)
    leave_out_warned = forms.BooleanField(
        required=False, label="Leave out the rows with a warning", label_suffix="", widget=UnfoldBooleanWidget
    )


class RecordFilesMixin(ImportExportMixin):
    """Adds import and export to the admin of a registered model."""

    import_formats = (file_formats.AnyFile,)
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
            if is_creatable(target) and registry.may_act(request.user, "add", target.entity_type())
        ]

    def create_import_form(self, request: HttpRequest) -> Any:
        form = super().create_import_form(request)
        if creatable := self._creatable(request):
            form.fields["create_missing"].label = f"Create {' and '.join(creatable)} that aren't in NPD"
        else:
            del form.fields["create_missing"]
        return form

    def get_confirm_form_initial(self, request: HttpRequest, import_form: Any) -> dict[str, Any]:
        initial: dict[str, Any] = super().get_confirm_form_initial(request, import_form)
        if import_form is not None:
            initial |= {name: import_form.cleaned_data.get(name) for name in ("create_missing", "clear_empty")}
        return initial

    def get_import_resource_kwargs(self, request: HttpRequest, form: Any = None, **kwargs: Any) -> dict[str, Any]:
        """Give the resource the form's choices: `create_missing` becomes the kinds that this person may create."""
        options = dict(getattr(form, "cleaned_data", {}))
        options["create_missing"] = options.get("create_missing") and self._creatable(request)
        return {"options": options}

    def import_action(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Ask for a file; on POST, preview its rows. Invalid rows don't stop the others."""
        response = super().import_action(request, **kwargs)
        context = response.context_data
        # The library offers the confirmation even if nothing would be written.
        context.pop("confirm_form", None)
        result = context.get("result")
        if result is not None and result.has_errors():
            context["form"].add_error("import_file", _first_error(result))
            del context["result"]
        elif result is not None:
            unwarned = [row for row in result.valid_rows() if not row.reasons]
            context |= {"unwarned_rows": unwarned, "limit": LISTED_ROWS}
            context["to_write"] = result.totals["new"] + result.totals["update"]
            if context["to_write"]:
                context["confirm_form"] = self.create_confirm_form(request, import_form=context["form"])
                context["confirm_form"].initial["shown_digest"] = result.digest
                if len(unwarned) == context["to_write"]:
                    del context["confirm_form"].fields["leave_out_warned"]
        labels = [field.column_name for field in resource_of(self.model)().fields.values()]
        context["known_columns"] = f"The first row has titles: {', '.join(labels)}, or other usual names for these."
        context["title"] = f"Import {self.opts.verbose_name_plural}"
        answer: HttpResponse = response
        return answer

    def add_data_read_fail_error_to_form(self, form: Any, e: Exception) -> None:
        if not isinstance(e, FileError):
            raise e
        form.add_error("import_file", str(e))

    def process_import(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        try:
            return cast("HttpResponse", super().process_import(request, **kwargs))
        except FileError as error:
            messages.warning(request, str(error))
            return redirect("admin:{}_{}_import".format(*self.get_model_info()))

    def process_dataset(self, dataset: Any, form: Any, request: HttpRequest, **kwargs: Any) -> Any:
        # `add` is true once, so a double click imports once.
        if not cache.add(f"imported-{form.cleaned_data['import_file_name']}", True, Uploads.CACHE_LIFETIME):
            raise FileError(FILE_GONE)
        return super().process_dataset(dataset, form, request, **kwargs)

    def process_result(self, result: Any, request: HttpRequest) -> HttpResponse:
        changelist = redirect("admin:{}_{}_changelist".format(*self.get_model_info()))
        if result.has_errors():
            messages.error(request, f"Nothing was imported. {_first_error(result)} Preview the file again.")
            return changelist
        sentence = f"Imported: {result.new:,} new, {result.changed:,} changed, {result.totals['skip']:,} unchanged."
        if result.invalid_rows:
            sentence += f" {humanize.count_with_noun(len(result.invalid_rows), 'row was', 'rows were')} not imported."
        if result.left_out:
            left_out = humanize.count_with_noun(result.left_out, "row with a warning was", "rows with a warning were")
            sentence += f" {left_out} left out."
        undo = format_html('<a class="npd-link" href="{}">Undo…</a>', batch_undo_url(result.batch_id))
        messages.success(request, format_html("{} {}", sentence, undo))
        return changelist

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


def _first_error(result: Any) -> str:
    error = (result.base_errors or result.error_rows[0].errors)[0].error
    return f"{str(error).strip().partition(chr(10))[0].rstrip('.')}."
