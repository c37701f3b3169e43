"""The sample data is varied, and belongs to nobody."""

import re

import phonenumbers
from django.core.validators import validate_email

from npd.management.commands.demo import sample
from npd.models import Contact

RESERVED = re.compile(r"(.+\.)?(example\.(com|org|net)|test)", re.IGNORECASE)
FICTION = (
    r"\+1\d{3}55501\d\d",  # NANPA
    r"\+442079460\d{3}",  # Ofcom
    r"\+33(199|261|353|465|536)\d{6}",  # ARCEP
    r"\+49(3023125|6990009|4066969|2214710|8999998)\d{3}",  # Bundesnetzagentur
)


def test_every_email_is_in_a_domain_reserved_for_examples_and_every_phone_number_set_aside_for_fiction() -> None:
    contacts = sample(Contact)
    emails = [contact.email for contact in contacts if contact.email]
    for email in emails:
        validate_email(email)
        assert RESERVED.fullmatch(email.rpartition("@")[2]), email
    assert len({email.casefold() for email in emails}) == len(emails)
    for phone in filter(None, (contact.phone for contact in contacts)):
        number = phonenumbers.parse(phone, "US")
        e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        assert any(re.fullmatch(pattern, e164) for pattern in FICTION), phone
