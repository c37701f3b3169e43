"""Every answer that a test gets from the API, held against the OpenAPI schema: its code, media type and members."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator, FormatChecker


def check(method: str, path: str, answer: Any) -> None:
    """Fail where the answer isn't one that the schema declares; addresses outside the schema pass."""
    operation = operation_at(method.lower(), path)
    if operation is None:
        return
    said = f"{method} {path} answered {answer.status_code}"
    declared = operation["responses"].get(str(answer.status_code))
    assert declared, f"{said}, which the schema doesn't declare: {sorted(operation['responses'])}"
    kinds = declared.get("content", {})
    if not kinds:
        assert not answer.content, f"{said} with a body, and the schema declares none"
        return
    kind = answer.headers["Content-Type"].partition(";")[0]
    assert kind in kinds, f"{said} as {kind}, and the schema declares {sorted(kinds)}"
    found = list(_validator(json.dumps(kinds[kind]["schema"])).iter_errors(answer.json()))
    assert not found, f"{said}, against its schema: {found[0].json_path}: {found[0].message[:500]}"


def operation_at(method: str, path: str) -> dict[str, Any] | None:
    """The declared operation; an address is the same with and without its last slash."""
    for pattern, operations in _patterns():
        if pattern.fullmatch(path.rstrip("/")) and method in operations:
            return dict(operations[method])
    return None


@cache
def document() -> dict[str, Any]:
    """The schema, its shapes as plain JSON Schema; a member that it doesn't declare is an error."""
    made = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    found: dict[str, Any] = _plain(json.loads(json.dumps(made, default=str)))
    for shape in found["components"]["schemas"].values():
        if "properties" in shape:
            shape.setdefault("additionalProperties", False)
    return found


def _plain(value: Any) -> Any:
    """What OpenAPI 3.0 says in its own words, `nullable`, as JSON Schema; and of several forms any may fit."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    plain = {("anyOf" if key == "oneOf" else key): _plain(one) for key, one in value.items() if key != "nullable"}
    return {"anyOf": [plain, {"type": "null"}]} if value.get("nullable") is True else plain


@cache
def _patterns() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """Addresses as patterns, those without a variable first."""
    paths = sorted(document()["paths"].items(), key=lambda item: item[0].count("{"))
    return [(re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path.rstrip("/")))), item) for path, item in paths]


@cache
def _validator(schema: str) -> Draft202012Validator:
    whole = json.loads(schema) | {"components": document()["components"]}
    return Draft202012Validator(whole, format_checker=FormatChecker())
