"""NPD's admin pages: contacts and organizations here, users and groups in user_pages.py."""

from dataclasses import replace
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
from sync.admin import confirmed_action
from sync.admin.admin_base import render_admin_page
from sync.admin.record_pages import SYNC_FILTERS, SyncedModelAdmin
from sync.kernel import humanize
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
        """Export a person's data, or erase the person after a question."""
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
        typed = request.POST.get("name", "")
        if act == "erase" and typed.split() != person.name.split():
            question = self._erase_question(request, person)
            if "confirmed" in request.POST:
                question = replace(question, warning="Nothing was erased: the name that you typed is another.")
            return confirmed_action.question_page(self, request, question, request.path)
        if act == "erase":
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

    def _erase_question(self, request: HttpRequest, person: Person) -> confirmed_action.Question:
        effects = ["NPD deletes the contact and everything that it stores about it. You can't undo this."]
        items = f"{humanize.plural(len(person.items), 'item', 'items')} {', '.join(person.items)}"
        if person.items and "delete_items" in request.POST:
            effects.append(f"NPD also deletes the {items} on Monday.")
        elif person.items:
            effects.append(f"The {items} {humanize.plural(len(person.items), 'stays', 'stay')} on Monday.")
        hidden = [(name, request.POST[name]) for name in ("act", "delete_items") if name in request.POST]
        return confirmed_action.Question(
            f"Erase “{person.name}” permanently?",
            effects,
            "Erase permanently",
            hidden=hidden,
            page_name=person.name,
            deletes=True,
            text=("name", "To confirm, type the contact's name"),
            needs_text=True,
        )

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
