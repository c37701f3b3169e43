"""Any text as a message, where a test needs no particular one; and the sentences that are stored without a code."""

import json
import re
from collections.abc import Iterator
from typing import Any

from django.apps import apps

from sync.kernel.db import fetch_rows
from sync.words.message import JSONWithMessages, Message, MessageField

# At least four words, and then the end of a sentence.
_SENTENCE = re.compile(r"(\S+ ){3,}\S*[.?!]\Z")


def said(text: str) -> Message:
    words, _, request = text.removesuffix("]").partition(" [Monday request ")
    return Message("monday_error", quote=words.removesuffix("."), request=request)


def stored_sentences() -> Iterator[str]:
    """Each finished sentence in a column of messages; Monday's and the database's own words, in `quote`, may be one."""
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            if isinstance(field, MessageField | JSONWithMessages):
                rows = fetch_rows(f'SELECT "{field.column}"::text FROM "{model._meta.db_table}"', {})
                for (text,) in rows:
                    place = f"{model._meta.db_table}.{field.column}"
                    yield from (f"{place}: {found}" for found in _sentences_in(json.loads(text or "null")))


def _sentences_in(value: Any, name: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, element in value.items():
            yield from _sentences_in(element, key)
    elif isinstance(value, list):
        for element in value:
            yield from _sentences_in(element, name)
    elif isinstance(value, str) and name != "quote" and _SENTENCE.search(value):
        yield value
