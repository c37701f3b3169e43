"""NPD's admin pages: contacts and organizations here, users and groups in user_pages.py."""

from functools import cached_property
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import reverse
from django.utils.http import content_disposition_header
from django.utils.text import slugify
from unfold.decorators import action

from npd.admin import user_pages
from npd.models import Contact, Organization
from npd.personal_data import Person, erase, export
from sync.admin.admin_base import render_admin_page
from sync.admin.record_pages import SYNC_FILTERS, SyncedModelAdmin
from sync.kernel.messages import NotPossible
from sync.records.authors import log_model_action

__all__ = ["ContactAdmin", "OrganizationAdmin", "user_pages"]


@admin.register(Contact)
class ContactAdmin(SyncedModelAdmin):
    list_display = ("name", "email", "phone", "organization", "role_title", "sync", "item", "updated")
    search_fields = ("name", "email", "phone", "role_title", "organization__name", "monday_id")
    actions_detail = ("personal_data",)

    @cached_property
    def list_filter(self) -> list[Any]:
        """The filters of every list of records, and those for contacts whom nobody can write to or call."""
        missing = [(name, admin.EmptyFieldListFilter) for name in ("email", "phone")]
        return [*super().list_filter, *missing]

    @action(  # type: ignore[untyped-decorator]  # unfold has no types
        description="Personal data", icon="person_remove", url_path="personal-data", permissions=["erase"]
    )
    def personal_data(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Export a person's data, or erase the person if the name was typed."""
        contact = self.get_object(request, object_id)
        if contact is None:
            raise Http404("There is no such contact. Look for the person among the contacts.")
        person = Person(Contact.entity_type(), contact.pk)
        act = request.POST.get("act")
        if act == "export":
            log_model_action(request.user, Contact, "Personal data exported.", name=str(contact), key=contact.pk)
            response = JsonResponse(export(person), json_dumps_params={"indent": 2, "ensure_ascii": False})
            file_name = f"personal-data-{slugify(str(contact), allow_unicode=True)}.json"
            response.headers["Content-Disposition"] = content_disposition_header(True, file_name) or ""
            response.headers["Cache-Control"] = "no-store"
            return response
        if act == "erase" and request.POST.get("name", "").split() != person.name.split():
            messages.warning(request, "Nothing was erased: the name that you typed is another.")
        elif act == "erase":
            where = "here"
            if person.items:
                where = "here and on Monday" if "delete_items" in request.POST else "here. Its item stays on Monday"
            try:
                number = erase(person, delete_items="delete_items" in request.POST)
            except NotPossible as why:
                messages.warning(request, str(why))
                return HttpResponseRedirect(request.path)
            log_model_action(
                request.user, Contact, f"A person was erased: {number:,} rows.", name="[erased]", key=person.id
            )
            messages.success(request, f"Erased {where}. This can't be undone.")
            return HttpResponseRedirect(reverse("admin:npd_contact_changelist"))
        return render_admin_page(self, request, "npd/personal_data.html", f"Personal data of {contact}", person=person)

    def has_erase_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        # The export shows other people's acts, and an erasure can't be undone.
        return bool(getattr(request.user, "is_superuser", False))


@admin.register(Organization)
class OrganizationAdmin(SyncedModelAdmin):
    list_display = ("name", "address_city", "address_country", "sync", "item", "updated")
    list_filter: ClassVar[list[Any]] = list(SYNC_FILTERS)
    search_fields = (
        *("name", "aliases", "address_street", "address_city", "address_state", "address_zip", "address_country"),
        "monday_id",
    )
    search_help_text = "Name, other names, address or the number of the item on Monday"
