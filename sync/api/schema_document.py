"""What the OpenAPI document says beside the views of the API: the server, the tags, the addresses for other machines;
and examples for every operation.

The addresses are plain views (sync/api/service_endpoints.py), which the generator doesn't see. Outgoing webhooks are
described by the types of events. Examples come last, for they are made of all the rest.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.conf import settings

from sync.api.problems import MEDIA_TYPE, ProblemKind, kinds_for, problem_type
from sync.api.schema import described_tags
from sync.models import EventType
from sync.operations.webhook_sender import PING

Document = dict[str, Any]

SECRETS = {"schedulerSecret": "CRON_SECRET", "metricsSecret": "METRICS_TOKEN"}
SIGNED = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "As Monday signs a webhook: HS256."}

_DELIVERY = {
    "type": "object",
    "description": "A handshake, which is `challenge` alone, or an event.",
    "properties": {
        "challenge": {"type": "string", "maxLength": 1000},
        "event": {
            "type": "object",
            "properties": {
                "type": {"type": "string"},
                "boardId": {"type": "integer"},
                "pulseId": {"type": "integer"},
                "columnId": {"type": "string"},
                "triggerUuid": {"type": "string"},
                "triggerTime": {"type": "string", "format": "date-time"},
            },
            "required": ["type"],
        },
    },
}
_EVENT = {
    "event": {
        "type": "update_column_value",
        "boardId": 9876543210,
        "pulseId": 1234567890,
        "columnId": "phone",
        "triggerUuid": "b5ed2e17c530f43668de130142445cba",
        "triggerTime": "2026-11-22T10:00:00.000Z",
    }
}
_RECEIVED = {
    "type": "object",
    "properties": {
        "received": {"type": "string", "description": "stored, duplicate, or why it is left alone."},
        "challenge": {"type": "string"},
    },
    "additionalProperties": False,
}
_FIGURES = ["claimed", "completed", "failed", "waiting"]
_SUMMARY = {
    "type": "object",
    "properties": {name: {"type": "integer"} for name in _FIGURES},
    "required": _FIGURES,
    "additionalProperties": False,
}
_READY = {
    "type": "object",
    "properties": {
        "ready": {"type": "boolean"},
        "reasons": {"type": "array", "items": {"type": "string"}},
        "clock": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["ready", "reasons", "clock"],
    "additionalProperties": False,
}


def complete_document(result: Document, generator: Any, request: Any, public: bool) -> Document:
    """The generator's last hook."""
    result["servers"] = [{"url": settings.SITE_URL}]
    result["paths"] |= _paths_of_machines()
    result["components"]["securitySchemes"] |= {
        name: {"type": "http", "scheme": "bearer", "description": f"The value of {secret}."}
        for name, secret in SECRETS.items()
    } | {"mondaySignature": SIGNED}
    result = _in_words_of_3_1(result)
    result["webhooks"] = {
        kind.value: {"post": _message_of(kind.value, str(kind.label), _CHOSEN, {"$ref": "#/components/schemas/Event"})}
        for kind in EventType
    }
    result["webhooks"][PING] = {"post": _message_of(PING, "Test", _TESTED, _TEST)}
    add_examples(result)
    operations = [one for methods in result["paths"].values() for one in methods.values()]
    result["tags"] = described_tags({tag for one in operations for tag in one["tags"]})
    return result


_CHOSEN = "Sent to each endpoint that chose this type; answer 2xx once it is stored, else it is repeated."
_TESTED = "What “Send a test” sends to one endpoint; no event happened."
_TEST = {
    "type": "object",
    "properties": {"endpoint": {"type": "string", "format": "uuid", "description": "The endpoint's id."}},
    "required": ["endpoint"],
}


def _message_of(kind: str, summary: str, description: str, data: Document) -> Document:
    """What an endpoint of another system is sent of one type of events, as Standard Webhooks has it."""
    shape = {
        "type": "object",
        "properties": {"type": {"const": kind}, "timestamp": {"type": "string", "format": "date-time"}, "data": data},
        "required": ["type", "timestamp", "data"],
    }
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    return {
        "operationId": f"on_{kind.replace('.', '_')}",
        "summary": summary,
        "description": description,
        "tags": ["webhook-endpoints"],
        "parameters": [{"name": one, "in": "header", "required": True, "schema": {"type": "string"}} for one in names],
        "requestBody": {"required": True, "content": {"application/json": {"schema": shape}}},
        "responses": {"2XX": {"description": "It is stored."}},
    }


def _in_words_of_3_1(value: Any) -> Any:
    """What DRF's paginators and our own shapes say by OpenAPI 3.0's `nullable`, which 3.1 doesn't know."""
    if isinstance(value, list):
        return [_in_words_of_3_1(one) for one in value]
    if not isinstance(value, dict):
        return value
    said = {name: _in_words_of_3_1(one) for name, one in value.items() if name != "nullable" or one is not True}
    # Of anything or null: null would be both.
    if {} in said.get("oneOf", ()):
        del said["oneOf"]
    if len(said) < len(value) and isinstance(said.get("type"), str):
        said["type"] = [said["type"], "null"]
    return said


def _paths_of_machines() -> Document:
    body = {"required": True, "content": {"application/json": {"schema": _DELIVERY, "examples": _example(_EVENT)}}}
    webhook = {
        "description": "Monday's deliveries come here. One is stored, then worked; 200 once it is stored, also where "
        "it is a repetition or concerns nothing that is synced. A handshake is answered with its `challenge`.",
        "requestBody": body,
    }
    received = _json(_RECEIVED, {"received": "stored"})
    token = {"name": "token", "in": "path", "required": True, "schema": {"type": "string"}}
    return {
        "/webhooks/monday/": {
            "post": _operation(
                "receive_monday_webhook", "Take a signed delivery of Monday's", received, (400, 401, 403, 413)
            )
            | webhook
            | {"security": [{"mondaySignature": []}]}
        },
        "/webhooks/monday/{token}/": {
            "post": _operation(
                "receive_monday_webhook_by_token",
                "Take a delivery at the secret address",
                received,
                (400, 401, 403, 413),
            )
            | webhook
            | {"parameters": [token | {"description": "The value of MONDAY_WEBHOOK_TOKEN."}]}
            | {"security": [{"mondaySignature": []}, {}]}
        },
        "/cron/sync-queue": {
            "post": _operation(
                "run_queue", "Work the queue once", _json(_SUMMARY, dict.fromkeys(_FIGURES, 0)), (401, 403)
            )
            | {"description": "For a scheduler where no worker runs: works what is due and says how much it was."}
            | {"security": [{"schedulerSecret": []}]}
        },
        "/healthz": {
            "get": _operation("get_health", "Ask whether this process answers", _text("ok"), ())
            | {"description": "Without the database and the broker.", "security": [{}]}
        },
        "/readyz": {
            "get": _operation(
                "get_readiness", "Ask whether all is well", _json(_READY, {"ready": True, "reasons": [], "clock": []})
            )
            | {"description": "200, or 503 with every reason: which board's jobs wait, what can't be reached."}
            | {"security": [{}]}
        },
        "/metrics": {
            "get": _operation("get_metrics", "Get the figures for Prometheus", _text("npd_up 1\n"), (401, 403, 503))
            | {"description": "In Prometheus' text format.", "security": [{"metricsSecret": []}]}
        },
    }


def _operation(name: str, summary: str, answer: Document, problems: tuple[int, ...] | None = None) -> Document:
    """One address; without `problems` 503 has the shape of the answer."""
    said = {"200": answer} if problems is not None else {"200": answer, "503": answer | {"description": "Not well"}}
    for status in problems or ():
        content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        said[str(status)] = {"description": HTTPStatus(status).phrase, "content": content}
    return {"operationId": name, "summary": summary, "tags": ["service"], "responses": said}


def _json(schema: Document, value: Any) -> Document:
    return {"description": "", "content": {"application/json": {"schema": schema, "examples": _example(value)}}}


def _text(value: str) -> Document:
    return {"description": "", "content": {"text/plain": {"schema": {"type": "string"}, "examples": _example(value)}}}


def _example(value: Any) -> Document:
    return {"Example": {"value": value}}


# Examples: a body, an answer, and a problem for each error that an operation has. They are made of the declared shapes,
# with a likely value for each member by its name, so that one fits its shape by construction; a view's own stays.


AN_ID = "7f0c3f4e-5b1d-4a53-9d0a-2b8f6c1e9a44"
ANOTHER_ID = "0d9b7a52-0c8e-4f0b-8a51-6f4f3f2f7f10"
A_TIME = "2026-11-22T10:00:00Z"

BY_NAME: dict[str, Any] = {
    "name": "Ada Lovelace",
    "email": "ada@example.com",
    "phone": "+44 20 7946 0958",
    "role_title": "Analyst",
    "notes": "Met in May.",
    "website": "https://example.com",
    "address_city": "London",
    "address_country": "United Kingdom",
    "aliases": ["AEL"],
    "username": "newsletter",
    "full_name": "Ada Lovelace",
    "entity_type": "contact",
    "entity_id": AN_ID,
    "monday_id": "1234567890",
    "monday_item_id": "1234567890",
    "item_id": "1234567890",
    "remote_id": "1234567890",
    "board_id": "9876543210",
    "item_url": "https://example.monday.com/boards/9876543210/pulses/1234567890",
    "field": "phone",
    "key": "phone",
    "label": "Phone",
    "title": "Phone",
    "file_name": "people.csv",
    "external_id": "crm:4711",
    "external_ids": {"crm": "4711"},
    "etag": '"5c1f9f2b7e0a4d63"',
    "actor": "ada",
    "paused_by": "ada",
    "decided_by": "ada",
    "resolved_by": "ada",
    "created_by": "ada",
    "why": "Boards are rearranged.",
    "assignee": "ada",
    "note": "Asked her on Monday.",
    "keys": ["failed:41"],
    "column_id": "phone",
    "begins_with": "npd_3f9a…",
    "token": "npd_3f9a…",
    "conflict_fields": ["phone"],
    "left_open": ["phone"],
    "selections": {"phone": {"choose": "npd"}},
    "resolution_type": "merge",
    "seen": {"phone": {"npd": "+44 20 7946 0958", "monday": "+44 20 7946 0000"}},
    "current": {"phone": {"npd": "+44 20 7946 0958", "monday": "+44 20 7946 0001"}},
    "npd_data": {"phone": "+44 20 7946 0958"},
    "monday_data": {"phone": "+44 20 7946 0000"},
    "base_data": {"phone": "+44 20 7946 0111"},
    "message": "It is done by the record's next sync.",
    "sentence": "Phone was updated on Monday.",
    "words": "",
    "count": 1,
    "expect": 1,
    "ids": [41],
    "encoding": "utf-8",
    "next": None,
    "previous": None,
    "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P",
}
"""A likely value of a member, whatever shape it is in; one that doesn't fit its declaration is passed over."""

OF_SHAPES: dict[str, Any] = {
    "Organization.name": "Analytical Engines Ltd",
    "ApiToken.name": "newsletter tool",
    "NewApiToken.name": "newsletter tool",
    "Step.now": "+44 20 7946 0958",
    "Step.back_to": "+44 20 7946 0000",
    "Step.record": "Ada Lovelace",
    "Option.label": "Restore the record",
    "RejectedValueAnswer.seen": {"npd": "+44 20 7946 0958", "monday": None},
    "RejectedValueAnswer.value": "+44 20 7946 0958",
    "RejectedValueAnswer.choose": "custom",
    "SyncConflictRes.about": {},
    "SyncConflictRes.choice_problem": "",
    "Import.plan": {"new": 12, "changed": 3},
    "Import.problem": None,
    "BulkResult.problem": None,
    "Warning.code": "possible_duplicate",
    "Warning.field": "email",
    "Warning.ids": [AN_ID],
    "Warning.detail": "Another contact has this email. Is it the same?",
}
"""The same of a member of one shape, or of those whose names begin so."""


def add_examples(document: Document) -> None:
    """Give every operation examples where it has none of its own."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _Examples(document, operation, method, path).add()


class _Examples:
    """The examples of one operation."""

    def __init__(self, document: Document, operation: Document, method: str, path: str) -> None:
        self.shapes = document["components"]["schemas"]
        self.operation, self.path = operation, path

    def add(self) -> None:
        """Write them into the operation."""
        summary = self.operation["summary"]
        for media in self.operation.get("requestBody", {}).get("content", {}).values():
            media.setdefault("examples", {"Example": {"summary": summary, "value": self._value(media["schema"])}})
        for status, answer in self.operation["responses"].items():
            for media_type, media in answer.get("content", {}).items():
                if media_type == MEDIA_TYPE:
                    media["examples"] = {
                        kind.code: {"summary": kind.meaning, "value": self._problem(kind, media["schema"])}
                        for kind in kinds_for(self.operation["operationId"], int(status))
                    }
                elif "examples" not in media:
                    media["examples"] = {"Example": {"summary": summary, "value": self._value(media["schema"])}}

    def _problem(self, kind: ProblemKind, schema: Document) -> Any:
        made = self._value(schema)
        body = {
            "type": problem_type(kind.code),
            "code": kind.code,
            "title": HTTPStatus(kind.status).phrase,
            "status": kind.status,
            "detail": f"{kind.meaning} {kind.act}",
            "request_id": "5f2c9d0e8b7a4c31",
        }
        if kind.code == "invalid":
            detail = "There is no such field."
            body["errors"] = [{"pointer": "/emial", "code": "unknown_field", "detail": detail}]
        extra = {name: value for name, value in made.items() if name not in ("errors", *body)}
        return body | (extra if kind.code in ("stale", "not_waiting", "bulk_refused") else self._needed(schema, extra))

    def _needed(self, schema: Document, extra: Document) -> Document:
        needed = self._resolved(schema).get("required", [])
        return {name: value for name, value in extra.items() if name in needed}

    def _resolved(self, schema: Document) -> Document:
        return self.shapes[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema

    def _value(self, schema: Document, name: str = "", shape: str = "") -> Any:
        if name and (found := self._likely(schema, name, shape)) is not ...:
            return found
        if "$ref" in schema:
            shape = schema["$ref"].rpartition("/")[2]
            return self._value(self.shapes[shape], "", shape)
        for several in ("allOf", "oneOf", "anyOf"):
            if several in schema:
                return self._value(schema[several][0], "", shape)
        if "enum" in schema:
            return schema["enum"][0]
        if "default" in schema:
            return schema["default"]
        kinds = schema.get("type", "object" if "properties" in schema else None)
        kind = kinds if isinstance(kinds, str) else next((one for one in kinds or () if one != "null"), None)
        return self._made(kind, schema, shape)

    def _made(self, kind: str | None, schema: Document, shape: str) -> Any:
        if kind == "object":
            members = schema.get("properties", {})
            made = {name: self._value(one, name, shape) for name, one in members.items()}
            more = schema.get("additionalProperties")
            return made or ({"phone": self._value(more, "phone")} if isinstance(more, dict) and more else {})
        if kind == "array":
            return [self._value(schema["items"])] if schema.get("items") else []
        if kind == "string":
            formats = {"date-time": A_TIME, "date": A_TIME[:10], "uuid": ANOTHER_ID, "uri": "https://example.com"}
            return formats.get(schema.get("format", ""), "…" if schema.get("minLength") else "")
        return {"integer": max(1, schema.get("minimum", 1)), "number": 1.0, "boolean": False}.get(kind or "")

    def _likely(self, schema: Document, name: str, shape: str) -> Any:
        own = next((value for key, value in OF_SHAPES.items() if _is_of(key, shape, name)), ...)
        value = BY_NAME.get(name, ...) if own is ... else own
        return value if value is not ... and self._fits(schema, value) else ...

    def _fits(self, schema: Document, value: Any) -> bool:
        """Whether the value is of the declared type, and one of the declared values; members are not looked at."""
        if "$ref" in schema:
            return self._fits(self._resolved(schema), value)
        for several in ("allOf", "oneOf", "anyOf"):
            if several in schema:
                return any(self._fits(one, value) for one in schema[several])
        kinds = schema.get("type", [])
        types = {"string": str, "integer": int, "array": list, "object": dict, "null": type(None), "number": float}
        named = [kinds] if isinstance(kinds, str) else kinds
        fits = any(isinstance(value, types[one]) for one in named if one in types) or not named
        is_uuid = schema.get("format") == "uuid" and value not in (AN_ID, ANOTHER_ID, None)
        return fits and not is_uuid and value in schema.get("enum", [value])


def _is_of(key: str, shape: str, name: str) -> bool:
    of_shape, _, member = key.partition(".")
    return member == name and shape.startswith(of_shape)
