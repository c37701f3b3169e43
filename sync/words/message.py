"""A message: a code of the table with its values, which is stored as both and reads as its sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from string import Formatter
from typing import Any, Self

from django.db import models
from django.utils.text import capfirst

from sync.kernel import humanize
from sync.kernel.db import storable_json
from sync.kernel.secret_texts import without_secrets
from sync.monday.board_items import Reason
from sync.monday.errors import ADVICE_ON_SERVER, MondayError
from sync.words.table import TEMPLATES

MAX_QUOTED_LENGTH = 60

_OPTIONAL = re.compile(r"\[\[(.*?)\]\](?!\])")


def quote_value(value: str | None) -> str:
    """Return a value quoted, on one line, and shortened."""
    return humanize.quote(humanize.one_line(value or ""), MAX_QUOTED_LENGTH)


class _Words(Formatter):
    """Fills in a template as table.py explains it."""

    def format_field(self, value: Any, format_spec: str) -> str:
        if format_spec == "or":
            quoted = [f"“{element}”" for element in value]
            return " or ".join(filter(None, [", ".join(quoted[:-1]), *quoted[-1:]]))
        if isinstance(value, list):
            return (format_spec or " ").join(value)
        if format_spec == "capital":
            return str(capfirst(value))
        if format_spec == "quoted":
            return quote_value(value)
        if format_spec == "value":
            return f"“{value}”" if value else "empty"
        if format_spec == "because":
            return f": {value}" if value else "."
        # A stored message may lack a number that its row has got since.
        return format(value, "" if isinstance(value, str) else format_spec)

    def fill_in(self, template: str, params: Mapping[str, Any]) -> str:
        def optional(match: re.Match[str]) -> str:
            names = [name for _text, name, _spec, _conversion in self.parse(match[1]) if name]
            return match[1] if all(params.get(name) for name in names) else ""

        sentence = ""
        for text, name, spec, _conversion in self.parse(_OPTIONAL.sub(optional, template)):
            # A value may be a sentence, which has its own full stop.
            sentence += text[1:] if text.startswith(".") and sentence.endswith((".", "?", "!")) else text
            if name:
                value = params.get(name)
                sentence += self.format_field("" if value is None else value, spec or "")
        return sentence


_WORDS = _Words()


class Message(str):
    """A sentence that is stored as a code and its values: names, texts, numbers, times, and other messages."""

    code: str
    params: Mapping[str, Any]

    def __new__(cls, code: str, /, **params: Any) -> Self:
        # A stored message whose row is gone reads as its code.
        params = {name: worded(value) for name, value in params.items()}
        message = super().__new__(cls, _WORDS.fill_in(TEMPLATES.get(code, code), params))
        message.code = code
        message.params = params
        return message

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, Any]]:
        return (self.code,), dict(self.params)

    @property
    def first(self) -> Message:
        """The message, of several the first."""
        return self.params["parts"][0].first if self.code == "sentences" else self

    @property
    def first_code(self) -> str:
        """The code, of several messages that of the first."""
        return self.first.code

    def to_json(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "params": {name: to_json(value) for name, value in self.params.items() if value not in (None, "")},
        }


def code_of(text: str) -> str:
    """Return a message's code, by which it is known whatever its words are; empty for other text."""
    return text.code if isinstance(text, Message) else ""


def worded(value: Any) -> Any:
    """Return a value, or a list, in which the codes of sync.monday, which knows no words, are messages."""
    if isinstance(value, list | tuple):
        return [worded(element) for element in value]
    return Message(value.code, **value.params) if isinstance(value, Reason) else value


def to_json(value: Any) -> Any:
    """Return a value with each message in it as JSON stores it."""
    if isinstance(value, Message):
        return value.to_json()
    if isinstance(value, Mapping):
        return {name: to_json(element) for name, element in value.items()}
    return [to_json(element) for element in value] if isinstance(value, list | tuple) else storable_json(value)


def from_json(value: Any) -> Any:
    """Return a stored value with its messages."""
    if isinstance(value, list):
        return [from_json(element) for element in value]
    if not isinstance(value, dict):
        return value
    content = {name: from_json(element) for name, element in value.items()}
    return Message(content["code"], **content["params"]) if content.keys() == {"code", "params"} else content


def sentences(*messages: str) -> str:
    """Return several messages as one, without empty ones."""
    parts = [message for message in messages if message]
    if len(parts) > 1:
        return Message("sentences", parts=parts)
    return parts[0] if parts else ""


def of_error(error: MondayError) -> Message:
    """Return what happened, and what to do next, of an error of Monday's or of a call that was not made."""
    if isinstance(error.message, Message):
        return error.message
    quote = without_secrets(error.message.rstrip(" ."))
    return Message(
        "monday_error",
        quote=f"{quote[:1].upper()}{quote[1:]}",
        column=error.column_id,
        advice=Message("advice_on_server" if error.advice == ADVICE_ON_SERVER else f"advice_{error.kind}"),
        request=error.request_id,
    )


class JSONWithMessages(models.JSONField):
    """A column with JSON values, messages among them."""

    def deconstruct(self) -> Any:
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.JSONField", args, kwargs

    def get_prep_value(self, value: Any) -> Any:
        return super().get_prep_value(to_json(value))

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Any:
        return from_json(super().from_db_value(value, expression, connection))

    def value_to_string(self, obj: models.Model) -> Any:
        return to_json(self.value_from_object(obj))


def as_text(message: str) -> str:
    """Return a message, or an empty text, as a column has it; other text gets a code that the laws refuse."""
    if not message:
        return ""
    coded = message if isinstance(message, Message) else Message("uncoded", text=message)
    return json.dumps(coded.to_json(), ensure_ascii=False)


class MessageField(models.TextField):  # type: ignore[type-arg]
    """A column with a message, or an empty text."""

    def deconstruct(self) -> Any:
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.TextField", args, kwargs

    def get_prep_value(self, value: Any) -> Any:
        return as_text(value) if isinstance(value, str) else value

    def from_db_value(self, value: str | None, _expression: Any, _connection: Any) -> Any:
        return self.to_python(value)

    def to_python(self, value: Any) -> Any:
        """Return a message of what a column or a file of `dumpdata` has."""
        return value if not value or isinstance(value, Message) else from_json(json.loads(value))

    def value_to_string(self, obj: models.Model) -> str:
        return as_text(self.value_from_object(obj))


def reason_of(error: Exception) -> Message:
    """Return the message of an error of ours, or the words of another, such as of a column's rules."""
    reason = worded(error.args[0]) if error.args else ""
    return reason if isinstance(reason, Message) else Message("quoted", quote=str(error))


@MessageField.register_lookup
class Says(models.Lookup):
    """Whether the message says a text: one of its values does, or the words of its code do."""

    lookup_name = "says"

    def get_prep_lookup(self) -> str:
        text = str(self.rhs)
        stored = re.escape(json.dumps(text, ensure_ascii=False)[1:-1])
        codes = [code for code, template in TEMPLATES.items() if text.casefold() in template.casefold()]
        return rf'"(?!code")[^"]*": "(\\.|[^"\\])*{stored}|"code": "({"|".join(codes) or "-"})"'

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        stored, stored_params = self.process_lhs(compiler, connection)
        pattern, pattern_params = self.process_rhs(compiler, connection)
        return f"{stored} ~* {pattern}", (*stored_params, *pattern_params)
