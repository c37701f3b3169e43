"""The API of contacts and organizations: what a body holds, and what a list is searched by."""

from __future__ import annotations

from typing import ClassVar

import django_filters

from npd.models import Contact, Organization
from sync.api.record_endpoints import RecordSerializer, record_paths
from sync.api.request_rules import RecordFilter


class ContactSerializer(RecordSerializer):
    """A person."""

    class Meta:
        model = Contact
        fields = [
            *("id", "name", "email", "organization", "role_title", "phone", "notes"),
            *RecordSerializer.OWN_FIELDS,
        ]


class ContactFilter(RecordFilter):
    """Filters of contacts."""

    searched: ClassVar[tuple[str, ...]] = (*("name", "email", "phone", "role_title", "notes"), "organization__name")

    organization = django_filters.UUIDFilter(field_name="organization_id", label="Organization")


class OrganizationSerializer(RecordSerializer):
    """A company, public body or association."""

    class Meta:
        model = Organization
        fields = [
            *("id", "name", "aliases", "billing_contact"),
            *("address_street", "address_city", "address_state", "address_zip", "address_country"),
            *("inventory_url", "notes"),
            *RecordSerializer.OWN_FIELDS,
        ]


class OrganizationFilter(RecordFilter):
    """Filters of organizations."""

    searched: ClassVar[tuple[str, ...]] = ("name", "address_city", "address_country", "notes")


urlpatterns = [
    *record_paths(ContactSerializer, ContactFilter),
    *record_paths(OrganizationSerializer, OrganizationFilter),
]
