"""What lists of contacts and organizations can be narrowed by."""

from __future__ import annotations

from typing import ClassVar

import django_filters

from sync.api.filters import RecordFilter


class ContactFilter(RecordFilter):
    """Filters of contacts."""

    searched: ClassVar[tuple[str, ...]] = (
        *("name", "email", "phone", "role_title", "notes"),
        "organization__name",
    )

    organization = django_filters.UUIDFilter(field_name="organization_id", label="Organization")


class OrganizationFilter(RecordFilter):
    """Filters of organizations."""

    searched: ClassVar[tuple[str, ...]] = ("name", "address_city", "address_country", "notes")
