"""The sandbox's column types by Monday's names: how their values are written, read and compared, and their settings.

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

from sandbox import api_errors, web
from sandbox.model import Column, Item


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
    internal_type = "unsupported"  # Monday's internal name, in errors, events and activity logs
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
        return api_errors.bad_value(reason, self.internal_type)

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

    type = internal_type = "text"
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
    internal_type = "long-text"
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

    def parse_simple(self, column: Column, text: str, writing: Writing) -> Any:
        # The address, a space, and the text that is shown (developer.monday.com/api-reference/reference/link).
        address, _, shown_text = text.strip().partition(" ")
        return self.parse_object(column, {self.key: address, "text": shown_text.strip()}, writing)

    def parse_object(self, column: Column, content: dict[str, Any], writing: Writing) -> Any:
        address = self.text_in(content, self.key)
        shown_text = self.text_in(content, "text")
        if not address and not shown_text:
            return None
        # Refuses a text alone too.
        self.check(address)
        return {self.key: address, "text": shown_text or address, "changed_at": writing.stamp}

    def check(self, address: str) -> None:
        """Raise FieldError for an address that Monday doesn't take."""
        raise NotImplementedError

    def text(self, column: Column, raw: Any) -> str:
        if not raw:
            return ""
        address = str(raw[self.key])
        shown_text = str(raw["text"])
        return address if shown_text == address else f"{shown_text} - {address}"


class Link(_Address):
    """A URL with a scheme, and its text."""

    type = internal_type = "link"
    key = "url"
    graphql_type = "LinkValue"

    def check(self, address: str) -> None:
        try:
            scheme = urlsplit(address).scheme
        except ValueError:  # half an IPv6 address
            scheme = ""
        if not scheme or "//" not in address:
            raise self.refusal("the url needs a scheme such as https://")


# Narrower than the standards on purpose, as Monday is: no quoted local parts, no bare hosts.
LOCAL_PART = re.compile(r"[A-Za-z0-9_%+'-]+(\.[A-Za-z0-9_%+'-]+)*")
DOMAIN = re.compile(r"([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}")


class Email(_Address):
    """An address with a label; look-ups compare the label (developer.monday.com/api-reference/reference/email)."""

    type = internal_type = key = "email"
    graphql_type = "EmailValue"

    def check(self, address: str) -> None:
        local, _, domain = address.rpartition("@")
        is_short = len(address) <= 254 and len(local) <= 64
        if not is_short or not LOCAL_PART.fullmatch(local) or not DOMAIN.fullmatch(domain):
            raise api_errors.email_not_valid()

    def api_fields(self, column: Column, raw: Any) -> dict[str, Any]:
        return {"email": raw["email"], "label": raw["text"]} if raw else {}

    def event_value(self, column: Column, raw: Any) -> Any:
        return None if raw is None else {"email": raw["email"], "text": raw["text"]}


class Phone(ColumnKind):
    """A number and the country of the shown flag; checked by libphonenumber, as Monday does."""

    type = internal_type = "phone"
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
    internal_type = "numeric"
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

    type = internal_type = "date"
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
    internal_type = "boolean"
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


# Types whose cells choose from something: labels of the column, or items of other boards.

# developer.monday.com/api-reference/reference/status, the index of the empty label too.
STATUS_LABELS_LIMIT = 40
STATUS_LABEL_LENGTH = 30
EMPTY_INDEX = 5


class Status(ColumnKind):
    """One label by index (developer.monday.com/api-reference/reference/status).

    Digits are read as an index, in a simple string and in `{"label"}` alike, so a label that is a number must be
    written by its index, and can't be created by a write.
    """

    type = "status"
    internal_type = "color"
    graphql_type = "StatusValue"
    empty_text = None

    def default_settings(self) -> dict[str, Any]:
        return {"labels": {"0": "Working on it", "1": "Done", "2": "Stuck", "5": ""}}

    def checked_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Check labels from `defaults`: `{"1": "Done"}`."""
        labels = settings.get("labels", {})
        if not isinstance(labels, dict) or not all(key.isdecimal() and isinstance(labels[key], str) for key in labels):
            raise api_errors.invalid_argument("labels must be an object of words by whole numbers")
        if len(labels) > STATUS_LABELS_LIMIT or any(len(name) > STATUS_LABEL_LENGTH for name in labels.values()):
            raise api_errors.invalid_argument(
                f"A status column has at most {STATUS_LABELS_LIMIT} labels of {STATUS_LABEL_LENGTH} characters"
            )
        return settings

    def shown_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        labels = settings.get("labels")
        if not isinstance(labels, dict):
            return settings
        # `id` is the key, which a cell's `index` names; `index` is the place in the list (`settings_json`).
        entries = [
            {"id": int(key), "label": label, "index": place, "is_deactivated": False}
            for place, (key, label) in enumerate(labels.items())
        ]
        return settings | {"labels": entries}

    def parse_simple(self, column: Column, text: str, writing: Writing) -> Any:
        if text.isdecimal():
            return self._by_index(column, text)
        labels = column.settings["labels"]
        for index, label in labels.items():
            if label == text:
                return {"index": int(index)}
        if not writing.create_labels:
            raise self._unknown(column, text)
        if not text.strip():
            raise self.refusal("a label needs a word")
        if len(text) > STATUS_LABEL_LENGTH:
            raise self.refusal(f"a status label has at most {STATUS_LABEL_LENGTH} characters")
        if len(labels) >= STATUS_LABELS_LIMIT:
            raise self.refusal(f"a status column has at most {STATUS_LABELS_LIMIT} labels")
        # The place of the empty label is never given to another one.
        place = next(i for i in range(len(labels) + 2) if str(i) not in labels and i != EMPTY_INDEX)
        labels[str(place)] = text
        return {"index": place}

    def parse_object(self, column: Column, content: dict[str, Any], writing: Writing) -> Any:
        if content.get("index") is not None:
            return self._by_index(column, str(content["index"]))
        label = content.get("label")
        if not isinstance(label, str) or not label.strip():
            raise self.refusal("an index or a label is expected")
        return self.parse_simple(column, label, writing)

    def _by_index(self, column: Column, index: str) -> Any:
        if index not in column.settings["labels"]:
            raise self._unknown(column, index)
        return {"index": int(index)}

    def _unknown(self, column: Column, label: str) -> api_errors.FieldError:
        labels = ", ".join(f"{index}: {text}" for index, text in column.settings["labels"].items())
        return api_errors.FieldError(
            f"This status label doesn't exist, possible statuses are: {{{labels}}}",
            "ColumnValueException",
            # As Monday's Ruby prints it (community 106054).
            column_value=f'{{"label"=>{json.dumps(label, ensure_ascii=False)}}}',
            column_id=column.id,
        )

    def text(self, column: Column, raw: Any) -> str:
        return str(column.settings["labels"].get(str(raw["index"]), "")) if raw else ""

    def api_fields(self, column: Column, raw: Any) -> dict[str, Any]:
        return {"index": raw["index"], "label": self.text(column, raw)} if raw else {}

    def event_value(self, column: Column, raw: Any) -> Any:
        """Return it without its colours, which the sandbox doesn't play."""
        if raw is None:
            return None
        return {"label": {"index": raw["index"], "text": self.text(column, raw)}, "post_id": None}


class Dropdown(ColumnKind):
    """Several labels by id."""

    type = internal_type = "dropdown"
    graphql_type = "DropdownValue"
    empty_text = None

    def default_settings(self) -> dict[str, Any]:
        return {"labels": []}

    def checked_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Check labels from `defaults`: `[{"id": 1, "name": "Done"}]`."""
        if "labels" not in settings:
            return settings
        labels = settings["labels"]
        if not isinstance(labels, list) or not all({"id", "name"} <= set(label) for label in labels):
            raise api_errors.invalid_argument("labels must be a list of objects with id and name")
        return settings | {"labels": [{"id": int(label["id"]), "name": str(label["name"])} for label in labels]}

    def shown_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        labels = settings.get("labels")
        if not isinstance(labels, list):
            return settings
        entries = [{"id": label["id"], "label": label["name"], "is_deactivated": False} for label in labels]
        return settings | {"labels": entries}

    def parse_simple(self, column: Column, text: str, writing: Writing) -> Any:
        parts = [part.strip() for part in text.split(",") if part.strip()]
        numbers = [part for part in parts if part.isdecimal()]
        if parts and len(numbers) == len(parts):
            return self._by_ids(column, parts)
        # As in a status, digits are ids here, so a label that is a number needs the form of an object.
        if numbers:
            raise self.refusal("ids and labels cannot be mixed")
        return self._by_labels(column, parts, writing)

    def parse_object(self, column: Column, content: dict[str, Any], writing: Writing) -> Any:
        ids = content.get("ids")
        choices = content.get("labels") if ids is None else ids
        if not isinstance(choices, list):
            raise self.refusal("ids or labels are expected, as a list")
        if ids is not None:
            return self._by_ids(column, [str(label_id) for label_id in ids])
        if not all(isinstance(label, str) and label.strip() for label in choices):
            raise self.refusal("a label is a word")
        return self._by_labels(column, choices, writing)

    def _by_ids(self, column: Column, ids: list[str]) -> Any:
        existing = {str(label["id"]) for label in column.settings["labels"]}
        for label_id in ids:
            if label_id not in existing:
                raise self._unknown(column, label_id)
        return self._raw(column, [int(label_id) for label_id in ids])

    def _by_labels(self, column: Column, names: list[str], writing: Writing) -> Any:
        ids = {label["name"]: label["id"] for label in column.settings["labels"]}
        missing = [name for name in names if name not in ids]
        if missing and not writing.create_labels:
            raise self._unknown(column, missing[0])
        for name in missing:
            ids[name] = max(ids.values(), default=0) + 1
            column.settings["labels"].append({"id": ids[name], "name": name})
        return self._raw(column, [ids[name] for name in names])

    def _raw(self, column: Column, ids: list[int]) -> Any:
        """Return the raw value of these labels, each once; the column's settings may limit their number."""
        unique = list(dict.fromkeys(ids))
        limit = column.settings.get("label_limit_count")
        if column.settings.get("limit_select") and isinstance(limit, int) and len(unique) > limit:
            raise self.refusal(f"this column takes at most {limit} of its labels")
        return {"ids": unique} if unique else None

    def _unknown(self, column: Column, label: str) -> api_errors.FieldError:
        labels = ", ".join(f"{entry['id']}: {entry['name']}" for entry in column.settings["labels"])
        return api_errors.FieldError(
            f"The dropdown label '{label}' does not exist, possible labels are: {{{labels}}}",
            "ColumnValueException",
            column_id=column.id,
            column_type=self.internal_type,
        )

    def _names(self, column: Column, raw: Any) -> list[dict[str, Any]]:
        names = {label["id"]: label["name"] for label in column.settings["labels"]}
        return [{"id": label_id, "name": names.get(label_id, "")} for label_id in raw["ids"]] if raw else []

    def text(self, column: Column, raw: Any) -> str:
        return ", ".join(label["name"] for label in self._names(column, raw))

    def api_fields(self, column: Column, raw: Any) -> dict[str, Any]:
        return {"values": [{"id": label["id"], "label": label["name"]} for label in self._names(column, raw)]}

    def event_value(self, column: Column, raw: Any) -> Any:
        return None if raw is None else {"chosenValues": self._names(column, raw)}


class BoardRelation(ColumnKind):
    """Items of other boards (developer.monday.com/api-reference/reference/connect).

    `value` and `text` are always null since 2025-04: clients read `linked_item_ids` and `display_value`. The column's
    settings hold the boards (`boardIds`) and whether several items may be linked. An archived item stays linked; a
    deleted one leaves the cell until it is restored (what Monday does there is not published).
    """

    type = "board_relation"
    internal_type = "board-relation"
    graphql_type = "BoardRelationValue"
    clearings = ({},)
    empty_text = None

    def checked_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        boards = settings.get("boardIds") or []
        if not isinstance(boards, list) or not all(str(board).isdecimal() for board in boards):
            raise api_errors.invalid_argument("boardIds must be a list of board ids")
        return settings | {"boardIds": list(dict.fromkeys(int(board) for board in boards))}

    def parse_object(self, column: Column, content: dict[str, Any], writing: Writing) -> Any:
        values = content.get("item_ids")
        if values is None:
            return None
        if not isinstance(values, list):
            raise self.refusal('"item_ids" must be a list')
        for item_id in values:
            if isinstance(item_id, bool) or not re.fullmatch(web.NUMBER, str(item_id)):
                raise self.refusal("an id must be a number")
        ids = list(dict.fromkeys(int(item_id) for item_id in values))
        boards = connected_board_ids(column)
        for item_id in ids:
            item = column.find_item(item_id)
            # An archived item may be linked, a deleted one not.
            if item is None:
                raise self.refusal(f"there is no item {item_id}")
            if item.board_id not in boards:
                raise api_errors.other_boards_items()
        # False only where the settings say so, as JSON or as a text.
        if len(ids) > 1 and column.settings.get("allowMultipleItems", True) in (False, "false"):
            raise self.refusal("this column takes one item")
        return {"item_ids": ids, "changed_at": writing.stamp} if ids else None

    def linked(self, column: Column, raw: Any) -> list[Item]:
        items = (column.find_item(item_id) for item_id in raw["item_ids"]) if raw else ()
        return [item for item in items if item is not None]

    def text(self, column: Column, raw: Any) -> str:
        return ", ".join(item.name for item in self.linked(column, raw))

    def api_text(self, column: Column, raw: Any) -> str | None:
        return None

    def api_value(self, raw: Any) -> str | None:
        return None

    def api_fields(self, column: Column, raw: Any) -> dict[str, Any]:
        return {"linked_item_ids": [item.id for item in self.linked(column, raw)]}

    def event_value(self, column: Column, raw: Any) -> Any:
        """With the time, as recorded in 2025-07 (github.com/taesung-ha/salesforce_monday_sync)."""
        if raw is None:
            return None
        # All of them, also an item that was deleted since: an event tells what was written.
        linked = [{"linkedPulseId": item_id} for item_id in raw["item_ids"]]
        return {"linkedPulseIds": linked, "changed_at": raw["changed_at"]}

    def same(self, raw: Any, other: Any) -> bool:
        # The order of links means nothing, and no event reports it.
        return sorted(raw["item_ids"] if raw else ()) == sorted(other["item_ids"] if other else ())


def connected_board_ids(column: Column) -> list[int]:
    return [int(board_id) for board_id in column.settings.get("boardIds") or ()]


KINDS: dict[str, ColumnKind] = {
    kind.type: kind
    for kind in (
        Text(),
        LongText(),
        Email(),
        Phone(),
        Numbers(),
        Status(),
        Dropdown(),
        Date(),
        Link(),
        Checkbox(),
        BoardRelation(),
    )
}


def kind_of(column_type: str) -> ColumnKind:
    """Return the column type; raises FieldError for one that the sandbox does not play."""
    try:
        return KINDS[column_type]
    except KeyError:
        raise api_errors.column_type_unsupported(column_type) from None


def initial_settings(column_type: str, defaults: Any) -> dict[str, Any]:
    """Return a new column's settings: `defaults` over its type's own; raises FieldError."""
    kind = KINDS.get(column_type, ColumnKind())
    # Monday's examples wrap the defaults of a dropdown in `settings`, those of a status not
    # (developer.monday.com/api-reference/reference/columns).
    if isinstance(defaults, dict) and isinstance(defaults.get("settings"), dict):
        defaults = defaults["settings"]
    if not isinstance(defaults, dict):
        return kind.default_settings()
    changes = {key: value for key, value in defaults.items() if value is not None}
    return kind.default_settings() | kind.checked_settings(changes)


def settings_json(column: Column) -> dict[str, Any]:
    """Return the GraphQL field `settings` of a column.

    `model.Column.settings` holds what the older field `settings_str` shows. `settings` (since 2025-10) lists labels as
    objects, with the `id` that values hold and the `index` in the list
    (developer.monday.com/api-reference/changelog/deprecating-settings_str-field-on-columns).
    """
    return KINDS.get(column.type, ColumnKind()).shown_settings(column.settings)
