"""A record's fields as pages display them."""

from typing import Any

import pytest

from npd.models import Contact, Organization
from sync.models import BoardLink, FieldMapping
from sync.reconcile.lookups import FieldDisplay

pytestmark = pytest.mark.django_db

RELATION: dict[str, Any] = {"converter": "relation", "column_id": "connect_boards", "options": {}}


def organization_display() -> tuple[FieldDisplay, Contact, FieldMapping]:
    acme = Organization.objects.create(name="ACME", monday_id="77")
    contact = Contact.objects.create(name="Ada", organization=acme)
    mapping = FieldMapping(key="organization", fields=["organization"], **RELATION)
    return FieldDisplay(BoardLink(entity_type="contact"), [mapping], [contact]), contact, mapping


def test_a_renamed_related_record_is_displayed_by_its_present_name_on_both_sides() -> None:
    display, contact, mapping = organization_display()
    earlier = {"id": str(contact.organization_id), "item": "77", "name": "Acme Ltd"}
    base = {"local": {"organization": earlier}, "remote": {"item_ids": ["77"]}}
    assert (display.current(contact, mapping), *display.base_sides(contact, mapping, base)) == ("ACME", "ACME", "ACME")


def test_an_item_on_monday_is_displayed_by_its_record_s_name_whatever_was_displayed_before() -> None:
    display, contact, mapping = organization_display()
    assert display.board.converter(mapping, contact).display("77") == "ACME"
