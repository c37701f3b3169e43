"""Contacts and organizations in the admin."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from npd.admin.importing import ImportingMixin
from npd.forms import ContactForm, OrganizationForm
from npd.models import Contact, Organization
from sync.admin.records import SYNC_FILTERS, SyncedModelAdmin

SYNC_FIELDS = (gettext_lazy("Sync"), {"fields": ("sync_enabled", "sync_direction")})


@admin.register(Contact)
class ContactAdmin(ImportingMixin, SyncedModelAdmin):
    """People."""

    form = ContactForm
    list_display = ("name", "email", "organization", "role_title", "sync", "item", "updated")
    list_select_related = ("organization",)
    list_filter: ClassVar[list[Any]] = [
        SYNC_FILTERS[0],
        ("organization", AutocompleteSelectFilter),
        *SYNC_FILTERS[1:],
    ]
    search_fields = ("name", "email", "phone", "role_title", "organization__name", "monday_id")
    search_help_text = gettext_lazy(
        "Name, e-mail, phone, role, organization or the number of the item on Monday"
    )
    autocomplete_fields = ("organization",)
    empty_title = gettext_lazy("No contacts here")
    empty_words = gettext_lazy(
        "Nobody matches, or nobody has been added yet. A new item on the Contacts board appears here too."
    )
    fieldsets = (
        (None, {"fields": ("name", "email", "organization", "role_title", "phone", "notes")}),
        SYNC_FIELDS,
    )


@admin.register(Organization)
class OrganizationAdmin(ImportingMixin, SyncedModelAdmin):
    """Companies, public bodies, associations."""

    form = OrganizationForm
    list_display = ("name", "address_city", "address_country", "sync", "item", "updated")
    list_filter: ClassVar[list[Any]] = list(SYNC_FILTERS)
    search_fields = ("name", "aliases", "address_city", "address_country", "monday_id")
    search_help_text = gettext_lazy("Name, other names, city, country or the number of the item on Monday")
    autocomplete_fields = ("billing_contact",)
    empty_title = gettext_lazy("No organizations here")
    empty_words = gettext_lazy(
        "None matches, or none has been added yet. A new item on the Organizations board appears here too."
    )
    fieldsets = (
        (None, {"fields": ("name", "aliases", "billing_contact", "inventory_url", "notes")}),
        (
            gettext_lazy("Address"),
            {"fields": ("address_street", "address_city", "address_state", "address_zip", "address_country")},
        ),
        SYNC_FIELDS,
    )
