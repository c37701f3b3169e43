"""The sample data: varied, and nobody's."""

import re

import phonenumbers
import pytest
from django.core.validators import validate_email

from npd.management.commands.demo import sample_contacts, sample_organizations
from sync import registry
from sync.monday.columns import make_converter
from sync.reconcile.field_values import stored_values

RESERVED = re.compile(r"(.+\.)?(example\.(com|org|net)|test)", re.IGNORECASE)
FICTION = (
    r"\+1\d{3}55501\d\d",  # NANPA
    r"\+442079460\d{3}",  # Ofcom
    r"\+33(199|261|353|465|536)\d{6}",  # ARCEP
    r"\+49(3023125|6990009|4066969|2214710|8999998)\d{3}",  # Bundesnetzagentur
)


def test_every_email_is_in_a_domain_reserved_for_examples_and_every_phone_number_set_aside_for_fiction() -> None:
    contacts = sample_contacts()
    emails = [contact.email for contact in contacts if contact.email]
    for email in emails:
        validate_email(email)
        assert RESERVED.fullmatch(email.rpartition("@")[2]), email
    assert len({email.casefold() for email in emails}) == len(emails)
    for phone in filter(None, (contact.phone for contact in contacts)):
        number = phonenumbers.parse(phone, "US")
        e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        assert any(re.fullmatch(pattern, e164) for pattern in FICTION), phone


@pytest.mark.parametrize("entity_type", ["contact", "organization"])
def test_every_sample_record_says_the_same_on_monday(entity_type: str) -> None:
    """Else the demo's linking would have to write."""
    records = {"contact": sample_contacts, "organization": sample_organizations}[entity_type]()
    for mapping in registry.entity(entity_type).mappings:
        if mapping.optional:  # not on the demo's boards
            continue
        convert = make_converter(mapping.converter)
        for record in records:
            local = stored_values(record, mapping)
            assert convert.rejection_reason(local) is None
            assert convert.canonical_remote(convert.to_remote(local, None)) == convert.canonical_local(local), local
