"""The base class of column types, and the types whose cells hold one plain value.

Shapes and clearing rules: developer.monday.com/api-reference/reference (one page per column type).
"""

import json
import math
import re
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import phonenumbers

from sandbox import api_errors
from sandbox.model import Column


@dataclass(frozen=True)
class Writing:
    """How a value is written."""

    stamp: str  # when, as `Clock.stamp` writes it
    create_labels: bool = False  # may add labels to a column
    unchecked_phones: bool = False  # may be a number that Monday refuses today, as old items have


class ColumnKind:
    """One column type; an instance of this class itself stands for types that the sandbox doesn't play.

    A raw value is the decoded JSON of Monday's `value`, None when empty.
    """

    type = "unsupported"
    old_type = "unsupported"  # Monday's internal name, in errors, events and activity logs
    graphql_type = "UnsupportedValue"
    empty_text: str | None = ""  # the API's `text` of an empty cell
    # Values in `column_values` that clear a cell, besides null.
    clearings: tuple[Any, ...] = ({}, "")

    def parse(self, column: Column, content: Any, writing: Writing) -> Any:
        """Return the raw value of an entry of `column_values`; raises FieldError."""
        if content is None or content in self.clearings:
            return None
        if isinstance(content, str):
            return self.parse_simple(column, content, writing)
        if not isinstance(content, dict):
            raise self.refusal("a string or an object is expected")
        return self.parse_object(column, content, writing)

    def parse_simple(self, column: Column, text: str, writing: Writing) -> Any:
        """Return the raw value of a string, which Monday's documentation calls a simple value."""
        raise self.refusal("simple strings are not supported for this column type")

    def parse_object(self, column: Column, content: dict[str, Any], writing: Writing) -> Any:
        raise self.refusal("objects are not supported for this column type")

    def text(self, column: Column, raw: Any) -> str:
        """Return the text that filters and the sandbox's pages use, "" for an empty cell."""
        raise NotImplementedError

    def api_text(self, column: Column, raw: Any) -> str | None:
        """Return the API's `text`, which is null for some empty cells."""
        return self.text(column, raw) or self.empty_text

    def api_value(self, raw: Any) -> str | None:
        """Return the API's `value`: JSON in a string, or null."""
        return None if raw is None else json.dumps(raw, ensure_ascii=False)

    def api_fields(self, column: Column, raw: Any) -> dict[str, Any]:
        """Return the fields that only this column's GraphQL type has, as far as clients read them."""
        return {}

    def event_value(self, column: Column, raw: Any) -> Any:
        """Return the value in webhooks and activity logs."""
        return raw

    def default_settings(self) -> dict[str, Any]:
        return {}

    def checked_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Return a caller's settings in the form that is stored; raises FieldError."""
        return settings

    def shown_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Return stored settings as the API shows them."""
        return settings

    def same(self, raw: Any, other: Any) -> bool:
        """Return whether two raw values are equal, apart from the time of the write that most types store in them."""
        if isinstance(raw, dict) and isinstance(other, dict):
            return raw | {"changed_at": ""} == other | {"changed_at": ""}
        return bool(raw == other)

    def refusal(self, reason: str) -> api_errors.FieldError:
        """Return the error that refuses a value."""
        return api_errors.bad_value(reason, self.old_type)

    def text_in(self, content: dict[str, Any], key: str) -> str:
        """Return the text under `key`, "" when it is missing or null; refuse anything else."""
        text = content.get(key)
        if text is None:
            return ""
        if not isinstance(text, str):
            raise self.refusal(f'"{key}" must be a string')
        return text


class Text(ColumnKind):
    """A string; unlike other types it has one refusal for everything else."""

    type = old_type = "text"
    graphql_type = "TextValue"

    def parse(self, column: Column, content: Any, writing: Writing) -> Any:
        if content is None or content == "":
            return None
        if not isinstance(content, str):
            raise self.refusal("a string is expected")
        return content

    def text(self, column: Column, raw: Any) -> str:
        return raw or ""

    def event_value(self, column: Column, raw: Any) -> Any:
        return None if raw is None else {"value": raw}


class LongText(ColumnKind):
    max_length = 2_000  # developer.monday.com/api-reference/reference/long-text
    type = "long_text"
    old_type = "long-text"
    graphql_type = "LongTextValue"

    def parse_simple(self, column: Column, text: str, writing: Writing) -> Any:
        if len(text) > self.max_length:
            raise self.refusal(f"text is too long, the limit is {self.max_length} characters")
        return {"text": text, "changed_at": writing.stamp} if text else None

    def parse_object(self, column: Column, content: dict[str, Any], writing: Writing) -> Any:
        return self.parse_simple(column, self.text_in(content, "text"), writing)

    def text(self, column: Column, raw: Any) -> str:
        return str(raw["text"]) if raw else ""


class _Address(ColumnKind):
    """An address under `key`, and the text that is shown for it."""

    key = ""

    def text(self, column: Column, raw: Any) -> str:
        if not raw:
            return ""
        address = str(raw[self.key])
        shown_text = str(raw["text"])
        return address if shown_text == address else f"{shown_text} - {address}"


class Link(_Address):
    """A URL with a scheme, and its text."""

    type = old_type = "link"
    key = "url"
    graphql_type = "LinkValue"

    def parse_simple(self, column: Column, text: str, writing: Writing) -> Any:
        # A simple string is the address, a space, and the text that is shown
        # (developer.monday.com/api-reference/reference/link).
        url, _, shown_text = text.partition(" ")
        return self.parse_object(column, {"url": url, "text": shown_text}, writing)

    def parse_object(self, column: Column, content: dict[str, Any], writing: Writing) -> Any:
        address = self.text_in(content, "url")
        shown_text = self.text_in(content, "text")
        if not address:
            return None
        try:
            scheme = urlsplit(address).scheme
        except ValueError:  # half an IPv6 address
            scheme = ""
        if not scheme or "//" not in address:
            raise self.refusal("the url needs a scheme such as https://")
        return {"url": address, "text": shown_text or address, "changed_at": writing.stamp}


# Narrower than the standards on purpose, as Monday is: no quoted local parts, no bare hosts.
LOCAL_PART = re.compile(r"[A-Za-z0-9_%+'-]+(\.[A-Za-z0-9_%+'-]+)*")
DOMAIN = re.compile(r"([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}")


def is_email(address: str) -> bool:
    local, _, domain = address.rpartition("@")
    return (
        len(address) <= 254
        and len(local) <= 64
        and LOCAL_PART.fullmatch(local) is not None
        and DOMAIN.fullmatch(domain) is not None
    )


class Email(_Address):
    """An address with a label, by which items are looked up (developer.monday.com/api-reference/reference/email)."""

    type = old_type = key = "email"
    graphql_type = "EmailValue"

    def parse_simple(self, column: Column, text: str, writing: Writing) -> Any:
        # The same as for a link (developer.monday.com/api-reference/reference/email).
        address, _, shown_text = text.strip().partition(" ")
        return self.parse_object(column, {"email": address, "text": shown_text.strip()}, writing)

    def parse_object(self, column: Column, content: dict[str, Any], writing: Writing) -> Any:
        address = self.text_in(content, "email")
        shown_text = self.text_in(content, "text")
        if not address and not shown_text:
            return None
        # Refuses a label alone too.
        if not is_email(address):
            raise api_errors.email_not_valid()
        return {"email": address, "text": shown_text or address, "changed_at": writing.stamp}

    def api_fields(self, column: Column, raw: Any) -> dict[str, Any]:
        return {"email": raw["email"], "label": raw["text"]} if raw else {}

    def event_value(self, column: Column, raw: Any) -> Any:
        return None if raw is None else {"email": raw["email"], "text": raw["text"]}


class Phone(ColumnKind):
    """A number and the country of the shown flag; checked by libphonenumber, as Monday does."""

    type = old_type = "phone"
    graphql_type = "PhoneValue"
    clearings = ("",)

    def parse_simple(self, column: Column, text: str, writing: Writing) -> Any:
        # "+19175998722 US" (developer.monday.com/api-reference/reference/phone); the last word is a country only if
        # it looks like one.
        number, _, country = text.strip().rpartition(" ")
        if not re.fullmatch(r"[A-Z]{2}", country):
            number = text.strip()
            country = ""
        return self.parse_object(column, {"phone": number, "countryShortName": country}, writing)

    def parse_object(self, column: Column, content: dict[str, Any], writing: Writing) -> Any:
        if "phone" not in content:
            raise self.refusal('"phone" is missing')
        country = self.text_in(content, "countryShortName")
        number = self.text_in(content, "phone")
        if not number:
            return None
        if country and country not in phonenumbers.SUPPORTED_REGIONS:
            raise self.refusal(f'"{country}" is not a country code of two capital letters')
        if not writing.unchecked_phones and not _is_possible(number, country):
            raise self.refusal("the phone number is not valid for its country")
        return {"phone": number, "countryShortName": country}

    def text(self, column: Column, raw: Any) -> str:
        return str(raw["phone"]) if raw else ""

    def event_value(self, column: Column, raw: Any) -> Any:
        """Leave out the country, as recorded in 2024-10 (community 100330) and 2025-06 (a published log)."""
        return None if raw is None else {"phone": raw["phone"]}

    def api_fields(self, column: Column, raw: Any) -> dict[str, Any]:
        return {"phone": raw["phone"], "country_short_name": raw["countryShortName"] or None} if raw else {}


def _is_possible(number: str, country: str) -> bool:
    """Return whether a number is possible: with a plus, without it (`12025550172`), or as dialled in its country."""
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


NUMERAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")


class Numbers(ColumnKind):
    """Only null clears: "" sets 0 (developer.monday.com/api-reference/reference/number)."""

    type = "numbers"
    old_type = "numeric"
    graphql_type = "NumbersValue"

    def parse(self, column: Column, content: Any, writing: Writing) -> Any:
        if content is None:
            return None
        if isinstance(content, bool) or not isinstance(content, str | int | float):
            raise self.refusal("a number in a string is expected")
        text = str(content) or "0"
        if not NUMERAL.fullmatch(text) or math.isinf(float(text)):
            raise self.refusal("this is not a number")
        return text

    def text(self, column: Column, raw: Any) -> str:
        return raw or ""

    def event_value(self, column: Column, raw: Any) -> Any:
        if raw is None:
            return None
        # Events have floating-point numbers where items have texts, so long ones arrive rounded (published captures).
        number = float(raw)
        return {"value": int(number) if number.is_integer() else number, "unit": None}

    def same(self, raw: Any, other: Any) -> bool:
        if raw is None or other is None:
            return raw is other
        # The cell keeps the digits as they were written; 1.0 over 1 is no change.
        return Decimal(raw) == Decimal(other)


class Date(ColumnKind):
    """A day, and perhaps a time in UTC."""

    type = old_type = "date"
    graphql_type = "DateValue"

    def parse_simple(self, column: Column, text: str, writing: Writing) -> Any:
        day, _, clock = text.strip().replace("T", " ").partition(" ")
        return self.parse_object(column, {"date": day, "time": clock}, writing)

    def parse_object(self, column: Column, content: dict[str, Any], writing: Writing) -> Any:
        icon = self.text_in(content, "icon") or None
        day = self.text_in(content, "date")
        clock = self.text_in(content, "time")
        if not day:
            return None
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", day) or not re.fullmatch(r"(\d{2}:\d{2}(:\d{2})?)?", clock):
            raise self.refusal("the date must be YYYY-MM-DD and the time HH:MM:SS")
        try:
            date.fromisoformat(day)
            full_time = time.fromisoformat(clock).isoformat() if clock else None
        except ValueError:
            raise self.refusal("there is no such date or time") from None
        return {"date": day, "time": full_time, "icon": icon, "changed_at": writing.stamp}

    def text(self, column: Column, raw: Any) -> str:
        if not raw:
            return ""
        return f"{raw['date']} {raw['time'][:5]}" if raw["time"] else str(raw["date"])


class Checkbox(ColumnKind):
    """Ticked or empty; only null unticks it through the API (developer.monday.com/api-reference/reference/checkbox)."""

    type = "checkbox"
    old_type = "boolean"
    graphql_type = "CheckboxValue"
    clearings = ()

    def parse_object(self, column: Column, content: dict[str, Any], writing: Writing) -> Any:
        if content.get("checked") not in (True, "true"):
            raise self.refusal('{"checked": "true"} is expected, and null to untick it')
        return {"checked": True, "changed_at": writing.stamp}

    def text(self, column: Column, raw: Any) -> str:
        return "v" if raw else ""

    def api_fields(self, column: Column, raw: Any) -> dict[str, Any]:
        return {"checked": bool(raw)}


class Timeline(ColumnKind):
    """A type that NPD Sync doesn't read; its cells are always empty."""

    type = "timeline"
    old_type = "timerange"
    graphql_type = "TimelineValue"

    def text(self, column: Column, raw: Any) -> str:
        return ""
