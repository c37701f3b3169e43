"""E-mail addresses and telephone numbers."""

import re
from typing import Any

import phonenumbers

from sandbox import errors
from sandbox.columns.base import ColumnKind, Writing, text_in
from sandbox.model import Column

# Narrower than the standards on purpose, as Monday is: no quoted local parts, no bare hosts.
LOCAL_PART = re.compile(r"[A-Za-z0-9_%+'-]+(\.[A-Za-z0-9_%+'-]+)*")
DOMAIN = re.compile(r"([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}")


def is_email(address: str) -> bool:
    """Whether Monday would take this address."""
    local, _, domain = address.rpartition("@")
    return (
        len(address) <= 254
        and len(local) <= 64
        and LOCAL_PART.fullmatch(local) is not None
        and DOMAIN.fullmatch(domain) is not None
    )


class Email(ColumnKind):
    """An address with a label; filters see the label (developer.monday.com/api-reference/reference/email)."""

    type = old_type = "email"
    graphql_type = "EmailValue"

    def parse_simple(self, column: Column, text: str, writing: Writing) -> Any:
        address, _, label = text.strip().partition(" ")
        return self._value(address, label.strip(), writing)

    def parse_object(self, column: Column, given: dict[str, Any], writing: Writing) -> Any:
        return self._value(text_in(self, given, "email"), text_in(self, given, "text"), writing)

    def _value(self, address: str, label: str, writing: Writing) -> Any:
        if not address and not label:
            return None
        if not is_email(address):
            raise errors.email_not_valid()
        return {"email": address, "text": label or address, "changed_at": writing.stamp}

    def text(self, column: Column, raw: Any) -> str:
        if not raw:
            return ""
        return raw["email"] if raw["text"] == raw["email"] else f"{raw['text']} - {raw['email']}"

    def label(self, column: Column, raw: Any) -> str:
        return str(raw["text"]) if raw else ""

    def edit_text(self, column: Column, raw: Any) -> str:
        if not raw:
            return ""
        return str(raw["email"]) if raw["text"] == raw["email"] else f"{raw['email']} {raw['text']}"

    def fields(self, column: Column, raw: Any) -> dict[str, Any]:
        return {"email": raw["email"], "label": raw["text"]} if raw else {"email": None, "label": None}

    def payload(self, column: Column, raw: Any) -> Any:
        return None if raw is None else {"email": raw["email"], "text": raw["text"]}


class Phone(ColumnKind):
    """A number and the country whose flag is shown; checked by libphonenumber as Monday does."""

    type = old_type = "phone"
    graphql_type = "PhoneValue"
    clearings = ("",)

    def parse_simple(self, column: Column, text: str, writing: Writing) -> Any:
        number, _, country = text.strip().rpartition(" ")
        if not re.fullmatch(r"[A-Z]{2}", country):
            number, country = text.strip(), ""
        return self._value(number, country, writing)

    def parse_object(self, column: Column, given: dict[str, Any], writing: Writing) -> Any:
        if "phone" not in given:
            raise self.bad('"phone" is missing')
        country = text_in(self, given, "countryShortName")
        return self._value(text_in(self, given, "phone"), country, writing)

    def _value(self, number: str, country: str, writing: Writing) -> Any:
        if not number:
            return None
        if country and country not in phonenumbers.SUPPORTED_REGIONS:
            raise self.bad(f'"{country}" is not a country code of two capital letters')
        if not writing.unchecked_phones and not _plausible(number, country):
            raise self.bad("the phone number is not valid for its country")
        return {"phone": number, "countryShortName": country}

    def text(self, column: Column, raw: Any) -> str:
        return str(raw["phone"]) if raw else ""

    def edit_text(self, column: Column, raw: Any) -> str:
        return f"{raw['phone']} {raw['countryShortName']}".strip() if raw else ""

    def choices(self, column: Column, raw: Any) -> set[str]:
        return {raw["countryShortName"]} - {""} if raw else set()

    def fields(self, column: Column, raw: Any) -> dict[str, Any]:
        if not raw:
            return {"phone": None, "country_short_name": None}
        return {"phone": raw["phone"], "country_short_name": raw["countryShortName"] or None}


def _plausible(number: str, country: str) -> bool:
    """Numbers may stand with a plus, bare with their country code (`12025550172`), or as dialled at home."""
    spellings = [(number, country or None)]
    if not number.startswith("+"):
        spellings.append(("+" + number, None))
    for spelling, region in spellings:
        try:
            if phonenumbers.is_possible_number(phonenumbers.parse(spelling, region)):
                return True
        except phonenumbers.NumberParseException:
            continue
    return False
