"""The import and export pages of records, by django-import-export."""

import re
from typing import Any, cast
from uuid import uuid4

from django import forms
from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.cache import caches
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.views.decorators.http import require_POST
from import_export.admin import ImportExportMixin
from import_export.forms import ConfirmImportForm
from import_export.tmp_storages import BaseStorage
from unfold.contrib.import_export.forms import ExportForm, ImportForm
from unfold.widgets import UnfoldBooleanWidget

from sync import registry
from sync.admin.activity import batch_undo_url
from sync.kernel import humanize
from sync.operations import file_formats
from sync.operations.record_files import resource_of
from sync.records.authors import log_model_action

FORMATS = [file_formats.CSV, file_formats.XLSX]

# A preview lists this many rows of each kind at most.
LISTED_ROWS = 50


class Uploads(BaseStorage):
    """Keeps uploaded files until their confirmation in the database, which all web processes share."""

    def save(self, data: bytes) -> None:
        self.name = uuid4().hex
        caches["uploads"].set(self.name, data)

    def read(self) -> bytes:
        data: bytes | None = caches["uploads"].get(self.name)
        if data is None:
            raise FileNotFoundError
        return data

    def remove(self) -> None:
        caches["uploads"].delete(self.name)

    @staticmethod
    def take(name: str) -> bool:
        """Return True for the first confirmation of an upload, so that a double click imports once."""
        return bool(caches["uploads"].add(f"taken-{name}", True))


class FileForm(ImportForm):
    create_missing = forms.BooleanField(required=False, widget=UnfoldBooleanWidget)
    clear_empty = forms.BooleanField(required=False, label="Empty cells empty their field", widget=UnfoldBooleanWidget)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["import_file"].label = "CSV or XLSX file"
        # `clean` detects it from the file.
        self.fields["format"] = forms.CharField(required=False, widget=forms.HiddenInput)

    def clean_import_file(self) -> Any:
        file = self.cleaned_data["import_file"]
        if file.size > file_formats.MAX_BYTES:
            raise forms.ValidationError(f"A file may have {file_formats.MAX_BYTES // 1_000_000} MB. Split it.")
        return file

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if file := data.get("import_file"):
            is_xlsx = file.read(4) == b"PK\x03\x04"
            file.seek(0)
            data["format"] = str(FORMATS.index(file_formats.XLSX if is_xlsx else file_formats.CSV))
        return data


class ConfirmForm(ConfirmImportForm):
    create_missing = forms.BooleanField(required=False, widget=forms.HiddenInput)
    clear_empty = forms.BooleanField(required=False, widget=forms.HiddenInput)
    shown_digest = forms.CharField(widget=forms.HiddenInput)

    def clean_format(self) -> str:
        if (chosen := self.cleaned_data["format"]) not in map(str, range(len(FORMATS))):
            raise forms.ValidationError("There is no such format.")
        return str(chosen)


class RecordFilesMixin(ImportExportMixin):
    """Adds import and export to the admin of a registered model."""

    import_formats = export_formats = FORMATS
    import_form_class = FileForm
    confirm_form_class = ConfirmForm
    export_form_class = ExportForm
    import_template_name = "sync/import.html"
    export_template_name = "sync/export.html"
    import_export_change_list_template = None  # admin/change_list.html has the buttons
    tmp_storage_class = Uploads
    skip_admin_log = True  # the library would write a line for each record

    def get_resource_classes(self, request: HttpRequest) -> list[Any]:
        return [resource_of(self.model)]

    def get_resource_index(self, form: Any) -> int:
        return 0

    def has_import_permission(self, request: HttpRequest) -> bool:
        may_write = self.has_add_permission(request) and self.has_change_permission(request)
        return bool(may_write and super().has_import_permission(request))

    def has_export_permission(self, request: HttpRequest) -> bool:
        return bool(self.has_view_permission(request) and super().has_export_permission(request))

    def _creatable(self, request: HttpRequest) -> list[Any]:
        """Return the related models whose missing records an import by this person may create by name."""
        targets = dict.fromkeys(map(registry.target_of, registry.own_relations(self.model)))
        return [
            target
            for target in targets
            if registry.match_field(target) == registry.name_field(target)
            and registry.may_act(request.user, "add", target.entity_type())
        ]

    def _offer_creation(self, request: HttpRequest, form: Any) -> Any:
        if targets := self._creatable(request):
            names = " and ".join(str(target._meta.verbose_name_plural) for target in targets)
            form.fields["create_missing"].label = f"Create {names} that aren't in NPD"
        else:
            del form.fields["create_missing"]
        return form

    def create_import_form(self, request: HttpRequest) -> Any:
        return self._offer_creation(request, super().create_import_form(request))

    def create_confirm_form(self, request: HttpRequest, import_form: Any = None) -> Any:
        return self._offer_creation(request, super().create_confirm_form(request, import_form))

    def get_confirm_form_initial(self, request: HttpRequest, import_form: Any) -> dict[str, Any]:
        initial: dict[str, Any] = super().get_confirm_form_initial(request, import_form)
        if import_form is not None:
            initial["create_missing"] = import_form.cleaned_data.get("create_missing", False)
            initial["clear_empty"] = import_form.cleaned_data["clear_empty"]
        return initial

    def get_import_resource_kwargs(self, request: HttpRequest, form: Any = None, **kwargs: Any) -> dict[str, Any]:
        return {"form": form if form is not None and form.is_bound and form.is_valid() else None}

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
            context |= {"valid_rows": result.valid_rows(), "limit": f":{LISTED_ROWS}", "listed": LISTED_ROWS}
            context["to_write"] = result.totals["new"] + result.totals["update"]
            if context["to_write"]:
                context["confirm_form"] = self.create_confirm_form(request, import_form=context["form"])
                context["confirm_form"].initial["shown_digest"] = result.digest
        labels = [field.column_name for field in resource_of(self.model)().fields.values()]
        context["known_columns"] = f"The first row has titles: {', '.join(labels)}, or other usual names for these."
        context["title"] = f"Import {self.opts.verbose_name_plural}"
        answer: HttpResponse = response
        return answer

    def add_data_read_fail_error_to_form(self, form: Any, e: Exception) -> None:
        if not isinstance(e, file_formats.FileError):
            raise e
        form.add_error("import_file", str(e))

    @method_decorator(require_POST)
    def process_import(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        if not self.has_import_permission(request):
            raise PermissionDenied
        name = request.POST.get("import_file_name", "")
        why = "The file is kept for an hour only. Choose it again."
        # The name comes from the form and is a key of the cache, so it has to look like one of ours.
        if re.fullmatch("[0-9a-f]{32}", name):
            if Uploads.take(name):
                try:
                    return cast("HttpResponse", super().process_import(request, **kwargs))
                except file_formats.FileError as error:
                    why = str(error)
                except FileNotFoundError:
                    pass
            else:
                why = "This file was confirmed already. What it did is in the activity."
        messages.warning(request, why)
        return HttpResponseRedirect(reverse("admin:{}_{}_import".format(*self.get_model_info())))

    def process_result(self, result: Any, request: HttpRequest) -> HttpResponse:
        changelist = HttpResponseRedirect(reverse("admin:{}_{}_changelist".format(*self.get_model_info())))
        if result.has_errors():
            messages.error(request, f"Nothing was imported. {_first_error(result)} Preview the file again.")
            return changelist
        totals = result.totals
        sentence = f"Imported: {totals['new']:,} new, {totals['update']:,} changed, {totals['skip']:,} unchanged."
        if result.invalid_rows:
            sentence += f" {humanize.count_with_noun(len(result.invalid_rows), 'row was', 'rows were')} not imported."
        messages.success(
            request,
            format_html('{} <a class="npd-link" href="{}">Undo…</a>', sentence, batch_undo_url(result.batch_id)),
        )
        return changelist

    def export_action(self, request: HttpRequest) -> HttpResponse:
        try:
            return cast("HttpResponse", super().export_action(request))
        except file_formats.FileError as why:
            messages.warning(request, str(why))
            return HttpResponseRedirect(request.get_full_path())

    def get_export_resource_kwargs(self, request: HttpRequest, **kwargs: Any) -> dict[str, Any]:
        return {}

    def get_export_queryset(self, request: HttpRequest) -> Any:
        """Return all rows of this address's list, in its order."""
        try:
            rows = self.get_changelist_instance(request).queryset
        except IncorrectLookupParameters as error:
            raise BadRequest("A filter in the address has a value that is not possible. Remove it.") from error
        return rows.select_related(*(field.name for field in registry.own_relations(self.model)))

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
