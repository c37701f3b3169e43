"""The pages of an import: choose a file, see what it would do, confirm, watch, take back."""

from __future__ import annotations

import csv
from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST
from unfold.decorators import action

from npd.admin.import_words import job_context, list_context
from npd.importing.csv_files import ENCODINGS, guarded
from npd.importing.errors import ImportFileError
from npd.importing.jobs import begin_undo, confirm, discard, may_import, may_undo, offer, to_write
from npd.importing.models import ImportJob, ImportState
from npd.importing.planning import Options
from npd.importing.reporting import not_written
from npd.importing.undoing import undoable

View = Callable[..., HttpResponse]


MAKES_ORGANIZATIONS = "npd.add_organization"
"""The permission without which nobody's import makes an organization that isn't there."""


class FileForm(forms.Form):
    """A file, and how it is to be read."""

    file = forms.FileField(
        label=gettext_lazy("File"),
        help_text=gettext_lazy("CSV or XLSX, at most 10 MB and 50,000 rows, with titles in its first row."),
        widget=forms.FileInput(attrs={"accept": ".csv,.txt,.tsv,.xlsx"}),
        error_messages={"required": gettext_lazy("Choose a file.")},
    )
    clear_empty = forms.BooleanField(
        label=gettext_lazy("An empty cell empties the field"),
        help_text=gettext_lazy("Otherwise an empty cell leaves the field as it is."),
        required=False,
    )
    make_organizations = forms.BooleanField(
        label=gettext_lazy("Make organizations that are not there"),
        help_text=gettext_lazy("Otherwise a contact of an unknown organization is not imported."),
        required=False,
    )
    encoding = forms.ChoiceField(
        label=gettext_lazy("Encoding of a CSV file"),
        choices=[("", gettext_lazy("Find out")), *ENCODINGS.items()],
        help_text=gettext_lazy("Change it only where letters such as é or ł look wrong in the preview."),
        required=False,
    )

    def __init__(self, *args: Any, entity_type: str, may_make: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if entity_type != "contact" or not may_make:
            del self.fields["make_organizations"]


class ImportingMixin:
    """Adds the import to the admin of contacts or organizations."""

    admin_site: AdminSite
    opts: Any
    model: Any
    actions_list: tuple[str, ...] = ("import_file",)
    message_user: Callable[..., None]

    def has_import_permission(self, request: HttpRequest) -> bool:
        """Whoever may add and change records may import them."""
        return may_import(request.user, self.model.entity_type())

    @action(  # type: ignore[untyped-decorator]  # unfold has no types
        description=gettext_lazy("Import"), url_path="import/", permissions=["import"], icon="upload_file"
    )
    def import_file(self, request: HttpRequest) -> HttpResponse:
        """Choose a file; on POST, read it and show what it would do."""
        entity_type = self.model.entity_type()
        may_make = request.user.has_perm(MAKES_ORGANIZATIONS)
        form = FileForm(
            request.POST or None, request.FILES or None, entity_type=entity_type, may_make=may_make
        )
        if request.method == "POST" and form.is_valid():
            job = self._offered(request, form)
            if job is not None:
                return HttpResponseRedirect(self._url("job", job))
        context = {
            **self._context(request, self._title()),
            "form": form,
            **list_context(entity_type, self._url),
        }
        return TemplateResponse(request, "npd/import.html", context)

    def _offered(self, request: HttpRequest, form: FileForm) -> ImportJob | None:
        given = form.cleaned_data
        options = Options(given["clear_empty"], bool(given.get("make_organizations")))
        try:
            return offer(
                self.model.entity_type(),
                given["file"].name,
                given["file"].file,
                options=options,
                by=cast("User", request.user),
                encoding=given["encoding"],
            )
        except ImportFileError as error:
            form.add_error("file", str(error))
            return None

    def get_urls(self) -> list[URLPattern]:
        """Add the pages of one import."""
        return [
            self._path("", "job", require_GET(self.import_job)),
            self._path("progress/", "progress", require_GET(self.import_progress)),
            self._path("not-imported.csv", "csv", require_GET(self.import_csv)),
            self._path("confirm/", "confirm", require_POST(self.import_confirm)),
            self._path("discard/", "discard", require_POST(self.import_discard)),
            self._path("undo/", "undo", self.import_undo),
            *super().get_urls(),  # type: ignore[misc]
        ]

    def _path(self, end: str, name: str, view: View) -> URLPattern:
        guarded_view = self.admin_site.admin_view(self._for_importers(view))
        return path(f"import/<uuid:job_id>/{end}", guarded_view, name=f"{self._stem()}_{name}")

    def _for_importers(self, view: View) -> View:
        """The view, for those who may import, given the import itself."""

        def checked(request: HttpRequest, job_id: UUID) -> HttpResponse:
            if not self.has_import_permission(request):
                raise PermissionDenied
            job = ImportJob.objects.select_related("by", "done_by").filter(pk=job_id)
            found = job.filter(entity_type=self.model.entity_type()).first()
            if found is None:
                raise Http404(
                    _("There is no import %(id)s; it was discarded, or is too old to be kept.")
                    % {"id": job_id}
                )
            return view(request, found)

        return checked

    def _stem(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_import"

    def _url(self, name: str, job: ImportJob) -> str:
        return reverse(f"admin:{self._stem()}_{name}", args=[job.pk])

    def _title(self) -> str:
        return _("Import %(things)s") % {"things": str(self.opts.verbose_name_plural)}

    def _context(self, request: HttpRequest, title: str) -> dict[str, Any]:
        return {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "page_name": title,
            "start_url": reverse(f"admin:{self._stem()}_file"),
            "list_url": reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"),
        }

    def import_job(self, request: HttpRequest, job: ImportJob) -> HttpResponse:
        """The preview, the progress or the result, by how far it is."""
        context = {
            **self._context(request, self._title()),
            **job_context(job, self._url),
            "may_undo": job.state == ImportState.DONE and may_undo(request.user, job),
        }
        return TemplateResponse(request, "npd/import_job.html", context)

    def import_progress(self, request: HttpRequest, job: ImportJob) -> HttpResponse:
        """How far it is, for the page that asks each second; reloads the page at the end."""
        answer = TemplateResponse(request, "npd/import_progress.html", job_context(job, self._url))
        if job.state not in (ImportState.RUNNING, ImportState.UNDOING):
            answer.headers["HX-Refresh"] = "true"
        return answer

    def import_confirm(self, request: HttpRequest, job: ImportJob) -> HttpResponse:
        """Let it be written."""
        if job.organizations and not request.user.has_perm(MAKES_ORGANIZATIONS):
            raise PermissionDenied
        if not to_write(job):
            messages.warning(request, _("There is nothing to write. Correct the file and choose it again."))
        elif not confirm(job, by=cast("User", request.user)):
            messages.warning(request, _("It was confirmed already; here is how it stands."))
        return HttpResponseRedirect(self._url("job", job))

    def import_discard(self, request: HttpRequest, job: ImportJob) -> HttpResponse:
        """Forget it; nothing was written."""
        if discard(job, by=cast("User", request.user)):
            messages.success(request, _("“%(file)s” was not imported.") % {"file": job.file_name})
            return HttpResponseRedirect(reverse(f"admin:{self._stem()}_file"))
        messages.warning(request, _("It was confirmed already, so it can't be discarded; you can undo it."))
        return HttpResponseRedirect(self._url("job", job))

    def import_undo(self, request: HttpRequest, job: ImportJob) -> HttpResponse:
        """Say what an undo would do; on POST, let it be done."""
        if not may_undo(request.user, job):
            raise PermissionDenied
        if job.state != ImportState.DONE:
            messages.warning(request, _("It can't be undone now; here is how it stands."))
            return HttpResponseRedirect(self._url("job", job))
        if request.method == "POST":
            begin_undo(job, by=cast("User", request.user))
            return HttpResponseRedirect(self._url("job", job))
        context = {
            **self._context(request, _("Undo this import?")),
            "job": job,
            "undoable": undoable(job),
            "job_url": self._url("job", job),
        }
        return TemplateResponse(request, "npd/import_undo.html", context)

    def import_csv(self, request: HttpRequest, job: ImportJob) -> HttpResponse:
        """The rows that were not imported, with why, to be corrected and imported again."""
        answer = HttpResponse(content_type="text/csv; charset=utf-8")
        name = job.file_name.rsplit(".", 1)[0]
        answer.headers["Content-Disposition"] = str(
            content_disposition_header(True, f"{name} - not imported.csv")
        )
        answer.write("\ufeff")  # without the mark Excel takes UTF-8 for Windows-1252
        writer = csv.writer(answer)
        for line in not_written(job):
            writer.writerow([guarded(cell) for cell in line])
        return answer
