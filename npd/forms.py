"""The forms in which people change contacts and organizations."""

from django import forms
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminTextareaWidget

from npd.models import Contact, Organization
from sync.admin.stale import LinesField, StaleSafeForm


class ContactForm(StaleSafeForm):
    """A contact, as changed in the admin."""

    class Meta:
        model = Contact
        fields = (
            "name",
            "email",
            "organization",
            "role_title",
            "phone",
            "notes",
            "sync_enabled",
            "sync_direction",
        )


class OrganizationForm(StaleSafeForm):
    """An organization, as changed in the admin."""

    aliases = LinesField(
        required=False,
        max_length=255,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text=gettext_lazy("Other names it goes by, one a line."),
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
