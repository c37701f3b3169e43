"""What the API of organizations has beyond their model and registration: the fields that its search reads."""

from __future__ import annotations

from npd.models import Organization
from sync.api.record_endpoints import record_paths

urlpatterns = record_paths(Organization, search_fields=("name", "address_city", "address_country", "notes"))
