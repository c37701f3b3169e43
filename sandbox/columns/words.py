"""Text, long text and links."""

import re
from typing import Any
from urllib.parse import urlsplit

from sandbox.columns.base import ColumnKind, Writing, text_in
from sandbox.model import Column

LONG_TEXT_LIMIT = 2_000


class Text(ColumnKind):
    type = old_type = "text"
    graphql_type = "TextValue"

    def parse(self, column: Column, given: Any, writing: Writing) -> Any:
        if given is None or given == "":
            return None
        if not isinstance(given, str):
            raise self.bad("a string is expected")
        return given

    def parse_simple(self, column: Column, text: str, writing: Writing) -> Any:
        return text or None

    def text(self, column: Column, raw: Any) -> str:
        return raw or ""

    def payload(self, column: Column, raw: Any) -> Any:
        return None if raw is None else {"value": raw}


class LongText(ColumnKind):
    """At most 2,000 characters."""

    type = "long_text"
    old_type = "long-text"
    graphql_type = "LongTextValue"

    def parse_simple(self, column: Column, text: str, writing: Writing) -> Any:
        if len(text) > LONG_TEXT_LIMIT:
            raise self.bad(f"text is too long, the limit is {LONG_TEXT_LIMIT} characters")
        return {"text": text, "changed_at": writing.stamp} if text else None

    def parse_object(self, column: Column, given: dict[str, Any], writing: Writing) -> Any:
        return self.parse_simple(column, text_in(self, given, "text"), writing)

    def text(self, column: Column, raw: Any) -> str:
        return str(raw["text"]) if raw else ""

    def parse_edit(self, column: Column, text: str, writing: Writing) -> Any:
        return self.parse_simple(column, text, writing)


class Link(ColumnKind):
    """A URL with a scheme, and its text."""

    type = old_type = "link"
    graphql_type = "LinkValue"

    def parse_simple(self, column: Column, text: str, writing: Writing) -> Any:
        url, _, words = text.partition(" ")
        return self._value(url, words, writing)

    def parse_object(self, column: Column, given: dict[str, Any], writing: Writing) -> Any:
        return self._value(text_in(self, given, "url"), text_in(self, given, "text"), writing)

    def _value(self, url: str, words: str, writing: Writing) -> Any:
        if not url:
            return None
        if not re.fullmatch(r"[a-z][a-z0-9+.-]*", _scheme(url)) or "//" not in url:
            raise self.bad("the url needs a scheme such as https://")
        return {"url": url, "text": words or url, "changed_at": writing.stamp}

    def text(self, column: Column, raw: Any) -> str:
        if not raw:
            return ""
        return raw["url"] if raw["text"] == raw["url"] else f"{raw['text']} - {raw['url']}"

    def label(self, column: Column, raw: Any) -> str:
        return str(raw["text"]) if raw else ""

    def edit_text(self, column: Column, raw: Any) -> str:
        if not raw:
            return ""
        return str(raw["url"]) if raw["text"] == raw["url"] else f"{raw['url']} {raw['text']}"

    def fields(self, column: Column, raw: Any) -> dict[str, Any]:
        return {"url": raw["url"], "url_text": raw["text"]} if raw else {"url": None, "url_text": None}


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError:  # half an IPv6 address
        return ""
