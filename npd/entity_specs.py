"""What of NPD is synced, and with which columns by default."""

from __future__ import annotations

from collections.abc import Mapping

from npd.models import Contact, Organization
from sync.registry import EntitySpec, MappingSpec
from sync.registry import register as register_entity

ADDRESS_FIELDS = ("address_street", "address_city", "address_state", "address_zip", "address_country")

TITLES: Mapping[str, tuple[str, ...]] = {
    "name": (
        "full name", "contact name", "contact", "organization name", "company name", "account name",
        "Vollständiger Name", "Ansprechpartner", "Nom", "Nom complet",
    ),
    "email": ("email address", "mail", "email 1", "E-Mail-Adresse", "Courriel", "Adresse e-mail"),
    "organization": (
        "organisation", "company", "account", "employer", "Firma", "Unternehmen", "Arbeitgeber", "Société",
        "Entreprise",
    ),
    "role_title": (
        "job", "job title", "title", "position", "function", "Rolle", "Funktion", "Rôle", "Fonction", "Poste",
    ),
    "phone": (
        "phone number", "telephone", "tel", "mobile", "mobile phone", "business phone", "Telefon", "Telefonnummer",
        "Mobil", "Mobiltelefon", "Handy", "Téléphone", "Tél", "Portable",
    ),
    "notes": (
        "note", "comments", "comment", "remarks", "remark", "Notiz", "Notizen", "Bemerkung", "Bemerkungen", "Kommentar",
        "Remarque", "Remarques", "Commentaire", "Commentaires",
    ),
    "aliases": ("alias", "other names", "also known as"),
    "billing_contact": ("billing", "invoice contact"),
    "address_street": ("street address", "address", "address line 1", "Straße", "Adresse", "Rue"),
    "address_city": ("town", "Ort", "Stadt", "Ville"),
    "address_state": ("region", "province", "county", "state/region", "Bundesland", "Région"),
    "address_zip": ("zip", "postal code", "postcode", "zip/postal code", "PLZ", "Postleitzahl", "Code postal"),
    "address_country": ("country/region", "Land", "Pays"),
    "inventory_url": ("inventory url", "url", "website", "web site", "Webseite", "Site web"),
}  # fmt: skip
"""Titles that boards and files of other programs give these fields, in English, German and French; one that could mean
two fields of a type is listed once.
"""

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
            titles=TITLES,
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
            titles=TITLES,
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
