"""What the API of organizations has beyond their model and registration: the fields that its search reads."""

from __future__ import annotations

from typing import ClassVar

from npd.models import Organization
from sync.api.record_endpoints import record_paths
from sync.api.request_rules import RecordFilter


class OrganizationFilter(RecordFilter):
    searched: ClassVar[tuple[str, ...]] = ("name", "address_city", "address_country", "notes")


urlpatterns = record_paths(Organization, filters=OrganizationFilter)
