"""What of NPD is synced, and with which columns by default."""

from __future__ import annotations

from npd.models import Contact, Organization
from sync.registry import EntitySpec, MappingSpec
from sync.registry import register as register_entity

ADDRESS_FIELDS = ("address_street", "address_city", "address_state", "address_zip", "address_country")

# Not on a board that set-up creates: a board that has such a column gets it synced.
ALIASES = MappingSpec(
    "aliases",
    "Aliases",
    ("aliases",),
    "list_text",
    "aliases",
    optional=True,
    column_types={"dropdown": "dropdown", "tags": "tags", "text": "list_text"},
)
INVENTORY_URL = MappingSpec(
    "inventory_url",
    "Inventory",
    ("inventory_url",),
    "link",
    "inventory_url",
    optional=True,
    column_types={"link": "link", "text": "text"},
)
ORGANIZATION = MappingSpec(
    "organization",
    "Organization",
    ("organization",),
    "relation",
    "organization",
    optional=True,
    column_types={"board_relation": "relation", "text": "relation_name"},
)


def register() -> None:
    """Register organizations and contacts with the sync."""
    register_entity(
        EntitySpec(
            model=Organization,
            board_title="Organizations",
            icon="apartment",
            match_key="name",
            mappings=(
                MappingSpec("name", "Name", ("name",), "name", "name", required=True),
                MappingSpec("address", "Address", ADDRESS_FIELDS, "address", "address"),
                MappingSpec("notes", "Notes", ("notes",), "long_text", "notes"),
                ALIASES,
                INVENTORY_URL,
            ),
        )
    )
    register_entity(
        EntitySpec(
            model=Contact,
            board_title="Contacts",
            icon="person",
            match_key="email",
            mappings=(
                MappingSpec("name", "Name", ("name",), "name", "name", required=True),
                MappingSpec("email", "Email", ("email",), "email", "email"),
                MappingSpec("phone", "Phone", ("phone",), "phone", "phone"),
                MappingSpec("role_title", "Role", ("role_title",), "text", "role_title"),
                MappingSpec("notes", "Notes", ("notes",), "long_text", "notes"),
                ORGANIZATION,
            ),
        )
    )
