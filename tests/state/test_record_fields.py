"""A record's fields as pages display them."""

import pytest

from npd.models import Contact, Organization
from sync.fields.lookups import FieldDisplay
from sync.models import BoardLink, FieldMapping


@pytest.mark.django_db
def test_a_renamed_related_record_is_displayed_by_its_present_name_on_both_sides() -> None:
    acme = Organization.objects.create(name="ACME", monday_id="77")
    contact = Contact.objects.create(name="Ada", organization=acme)
    mapping = FieldMapping(key="organization", fields=["organization"], converter="relation", options={}, column_id="c")
    display = FieldDisplay(BoardLink(entity_type="contact"), [mapping], [contact])
    earlier = {"id": str(acme.pk), "item": "77", "name": "Acme Ltd"}
    base = {"local": {"organization": earlier}, "remote": {"item_ids": ["77"]}}
    assert (display.current(contact, mapping), *display.base_sides(contact, mapping, base)) == ("ACME", "ACME", "ACME")
    # Of another one only its former name is known.
    former = {"id": str(contact.pk), "item": "78", "name": "Beta"}
    base = {"local": {"organization": former}, "remote": {"item_ids": ["78"]}}
    assert display.base_sides(contact, mapping, base) == ("Beta", "Beta")
