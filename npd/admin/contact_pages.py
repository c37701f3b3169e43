"""Contacts and organizations in the admin, and the forms in which people change them."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.widgets import UnfoldAdminTextareaWidget

from npd.admin.import_pages import ImportMixin
from npd.models import Contact, Organization
from sync.admin.concurrent_edits import ConcurrentRecordForm, LinesField
from sync.admin.record_pages import SYNC_FILTERS, SyncedModelAdmin


class ContactForm(ConcurrentRecordForm):
    """A contact, as changed in the admin."""

    class Meta:
        model = Contact
        fields = ("name", "email", "organization", "role_title", "phone", "notes", "sync_enabled", "sync_direction")


class OrganizationForm(ConcurrentRecordForm):
    """An organization, as changed in the admin."""

    aliases = LinesField(
        required=False,
        max_length=255,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Other names it goes by, one a line.",
    )

    class Meta:
        model = Organization
        fields = (
            "name",
            "aliases",
            "billing_contact",
            "address_street",
            "address_city",
            "address_state",
            "address_zip",
            "address_country",
            "inventory_url",
            "notes",
            "sync_enabled",
            "sync_direction",
        )
        widgets = {"inventory_url": forms.URLInput}


SYNC_FIELDS = ("Sync", {"fields": ("sync_enabled", "sync_direction")})


@admin.register(Contact)
class ContactAdmin(ImportMixin, SyncedModelAdmin):
    """People."""

    form = ContactForm
    list_display = ("name", "email", "organization", "role_title", "sync", "item", "updated")
    list_select_related = ("organization",)
    list_filter: ClassVar[list[Any]] = [SYNC_FILTERS[0], ("organization", AutocompleteSelectFilter), *SYNC_FILTERS[1:]]
    search_fields = ("name", "email", "phone", "role_title", "organization__name", "monday_id")
    search_help_text = "Name, e-mail, phone, role, organization or the number of the item on Monday"
    autocomplete_fields = ("organization",)
    empty_title = "No contacts here"
    empty_words = "Nobody matches, or nobody has been added yet. A new item on the Contacts board appears here too."
    fieldsets = ((None, {"fields": ("name", "email", "organization", "role_title", "phone", "notes")}), SYNC_FIELDS)


@admin.register(Organization)
class OrganizationAdmin(ImportMixin, SyncedModelAdmin):
    """Companies, public bodies, associations."""

    form = OrganizationForm
    list_display = ("name", "address_city", "address_country", "sync", "item", "updated")
    list_filter: ClassVar[list[Any]] = list(SYNC_FILTERS)
    search_fields = ("name", "aliases", "address_city", "address_country", "monday_id")
    search_help_text = "Name, other names, city, country or the number of the item on Monday"
    autocomplete_fields = ("billing_contact",)
    empty_title = "No organizations here"
    empty_words = "None matches, or none has been added yet. A new item on the Organizations board appears here too."
    fieldsets = (
        (None, {"fields": ("name", "aliases", "billing_contact", "inventory_url", "notes")}),
        ("Address", {"fields": ("address_street", "address_city", "address_state", "address_zip", "address_country")}),
        SYNC_FIELDS,
    )
