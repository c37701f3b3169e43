"""NPD's admin: contacts and organizations, where theirs isn't as their models and registration have it.

Django imports this package to find all pages of NPD, those of users and groups too.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_POST
from unfold.decorators import action
from unfold.widgets import INPUT_CLASSES, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from npd.admin import user_pages
from npd.admin.import_pages import ImportMixin
from npd.models import Contact, Organization
from npd.personal_data.erasure import (
    ERASED_SENTENCE,
    ItemFate,
    erase_person,
    export_person,
    naming_text,
    preview_erasure,
)
from npd.personal_data.persons import Person, find_persons, person_of, records_naming
from sync.admin.admin_base import is_valid_key
from sync.admin.concurrent_edits import ConcurrentRecordForm, LinesField
from sync.admin.record_pages import SYNC_FIELDS, SYNC_FILTERS, SyncedModelAdmin
from sync.kernel.messages import Conflict
from sync.records.authors import log_kind_action

__all__ = ["ContactAdmin", "OrganizationAdmin", "user_pages"]


class OrganizationForm(ConcurrentRecordForm):
    aliases = LinesField(
        required=False,
        max_length=255,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Other names it goes by, one a line.",
    )

    class Meta:
        widgets: ClassVar[dict[str, Any]] = {"inventory_url": forms.URLInput({"class": " ".join(INPUT_CLASSES)})}


@admin.register(Contact)
class ContactAdmin(ImportMixin, SyncedModelAdmin):
    list_display = ("name", "email", "phone", "organization", "role_title", "sync", "item", "updated")
    search_fields = ("name", "email", "phone", "role_title", "organization__name", "monday_id")
    fieldsets = ((None, {"fields": ("name", "email", "phone", "organization", "role_title", "notes")}), SYNC_FIELDS)
    actions_detail = ("personal_data",)

    @action(  # type: ignore[untyped-decorator]  # unfold has no types
        description="Personal data", icon="person_remove", url_path="personal-data", permissions=["erase"]
    )
    def personal_data(self, request: HttpRequest, object_id: str) -> HttpResponse:
        if not is_valid_key(Contact, object_id):
            raise Http404("There is no such contact. Look for the person among the contacts.")
        return HttpResponseRedirect(reverse("npd-person", args=[object_id]))

    def has_erase_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(getattr(request.user, "is_superuser", False))


@admin.register(Organization)
class OrganizationAdmin(ImportMixin, SyncedModelAdmin):
    form = OrganizationForm
    list_display = ("name", "address_city", "address_country", "sync", "item", "updated")
    list_filter: ClassVar[list[Any]] = list(SYNC_FILTERS)
    search_fields = ("name", "aliases", "address_city", "address_country", "monday_id")
    search_help_text = "Name, other names, city, country or the number of the item on Monday"
    fieldsets = (
        (None, {"fields": ("name", "aliases", "billing_contact", "inventory_url", "notes")}),
        ("Address", {"fields": ("address_street", "address_city", "address_state", "address_zip", "address_country")}),
        SYNC_FIELDS,
    )


# Export and erase one person, for administrators: looked for by a form, so that no address holds a name.


CONFIRMATION = "erase"


class ErasureForm(forms.Form):
    """What becomes of the items, and the word that confirms it."""

    items = forms.ChoiceField(
        label="Their items on Monday",
        choices=[
            (ItemFate.DELETE, "Delete them too; Monday keeps them in its recycle bin for 30 days"),
            (ItemFate.LEAVE, "Leave them; no record is created from them again, and NPD stores nothing of them"),
        ],
        widget=forms.RadioSelect,
    )
    confirm = forms.CharField(
        label="Type the word “erase”", widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"})
    )

    def clean_confirm(self) -> str:
        if self.cleaned_data["confirm"].strip().lower() != CONFIRMATION:
            raise forms.ValidationError("Type the word “erase” to confirm. It can't be undone.")
        return CONFIRMATION


def search_page(request: HttpRequest) -> HttpResponse:
    """Look for a person by id, email address or whole name; one that is found is shown."""
    _administrators_only(request)
    text = request.POST.get("who", "").strip()
    found = find_persons(text) if text else []
    if len(found) == 1:
        return _person_page(request, found[0], ErasureForm())
    context = {"title": "Personal data", "who": text, "found": found, "is_searched": bool(text)}
    return TemplateResponse(request, "npd/personal_data.html", admin.site.each_context(request) | context)


def contact_page(request: HttpRequest, key: UUID) -> HttpResponse:
    _administrators_only(request)
    return _person_page(request, _person(request, str(key)), ErasureForm())


@require_POST
def download_export(request: HttpRequest) -> HttpResponse:
    """Answer everything that is held of a person, as a JSON file; logged."""
    _administrators_only(request)
    person = _person(request)
    log_kind_action(request.user, Contact, "Personal data exported.", name=str(person.key or "-"), key=person.key)
    body = json.dumps(export_person(person), indent=2, ensure_ascii=False)
    response = HttpResponse(body, content_type="application/json")
    response.headers["Content-Disposition"] = 'attachment; filename="personal-data.json"'
    response.headers["Cache-Control"] = "no-store"
    return response


@require_POST
def erase(request: HttpRequest) -> HttpResponse:
    _administrators_only(request)
    person, form = _person(request), ErasureForm(request.POST)
    if not person.item_ids:
        del form.fields["items"]
    if not form.is_valid():
        return _person_page(request, person, form)
    try:
        done = erase_person(person, items=ItemFate(form.cleaned_data.get("items", ItemFate.LEAVE)), by=request.user)  # type: ignore[arg-type]  # nobody anonymous gets here
    except Conflict as why:
        messages.warning(request, str(why))
        return _person_page(request, person, form)
    messages.success(request, ERASED_SENTENCE % {"rows": f"{done.total:,}", "tables": len(done.rows)})
    return HttpResponseRedirect(reverse("npd-personal-data"))


def _administrators_only(request: HttpRequest) -> None:
    if not getattr(request.user, "is_superuser", False):
        raise PermissionDenied


def _person(request: HttpRequest, who: str = "") -> Person:
    who = who or request.POST.get("person", "")
    found = [one for one in [person_of(UUID(who))] if one] if _is_id(who) else find_persons(who)
    if len(found) != 1:
        raise Http404
    return found[0]


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _person_page(request: HttpRequest, person: Person, form: ErasureForm) -> HttpResponse:
    if not person.item_ids:
        form.fields.pop("items", None)
    context: dict[str, Any] = {
        "title": person.name,
        "person": person,
        "named_in": naming_text(records_naming(person)),
        "planned": preview_erasure(person),
        "form": form,
    }
    return TemplateResponse(request, "npd/person.html", admin.site.each_context(request) | context)
