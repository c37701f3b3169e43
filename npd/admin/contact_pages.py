"""Contacts and organizations in the admin, where it isn't as their models and registration have it."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from unfold.widgets import UnfoldAdminTextareaWidget

from npd.admin.import_pages import ImportMixin
from npd.models import Contact, Organization
from sync.admin.concurrent_edits import ConcurrentRecordForm, LinesField
from sync.admin.record_pages import SYNC_FIELDS, SYNC_FILTERS, SyncedModelAdmin


class OrganizationForm(ConcurrentRecordForm):
    """An organization, as changed in the admin."""

    aliases = LinesField(
        required=False,
        max_length=255,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Other names it goes by, one a line.",
    )

    class Meta:
        widgets: ClassVar[dict[str, Any]] = {"inventory_url": forms.URLInput}


@admin.register(Contact)
class ContactAdmin(ImportMixin, SyncedModelAdmin):
    """People."""

    list_display = ("name", "email", "organization", "role_title", "sync", "item", "updated")
    search_fields = ("name", "email", "phone", "role_title", "organization__name", "monday_id")
    empty_words = "Nobody matches, or nobody has been added yet. A new item on the Contacts board appears here too."


@admin.register(Organization)
class OrganizationAdmin(ImportMixin, SyncedModelAdmin):
    """Companies, public bodies, associations."""

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
