"""Every answer that a test gets from the API, held against the OpenAPI schema: its code, media type and members."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator, FormatChecker

from sync.api.schema import SELECTION


def check(method: str, path: str, answer: Any, *, is_cut: bool = False) -> None:
    """Fail where the answer isn't one that the schema declares; addresses outside the schema pass.

    One that no `fields` has cut (`is_cut`) must hold every member.
    """
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
    if not kind.endswith("json"):
        return
    found = list(_validator(json.dumps(kinds[kind]["schema"]), is_cut).iter_errors(answer.json()))
    assert not found, f"{said}, against its schema: {found[0].json_path}: {found[0].message[:500]}"


def operation_at(method: str, path: str) -> dict[str, Any] | None:
    """The declared operation of the first address that fits; with and without its last slash it is the same."""
    fitting = (operations for pattern, operations in _patterns() if pattern.fullmatch(path.rstrip("/")))
    return next(fitting, {}).get(method)


@cache
def raw_document() -> str:
    """The schema as it is served, in JSON."""
    made = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return json.dumps(made, default=str)


@cache
def document() -> dict[str, Any]:
    """The schema, its shapes less lax than declared; a member that it doesn't declare is an error."""
    found: dict[str, Any] = _plain(json.loads(raw_document()))
    for shape in found["components"]["schemas"].values():
        if "properties" in shape:
            shape.setdefault("additionalProperties", False)
    return found


def _plain(value: Any) -> Any:
    """Of several forms any may fit."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {("anyOf" if key == "oneOf" else key): _plain(one) for key, one in value.items()}


@cache
def _patterns() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """Addresses as patterns, those without a variable first."""
    paths = sorted(document()["paths"].items(), key=lambda item: item[0].count("{"))
    return [(re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path.rstrip("/")))), item) for path, item in paths]


@cache
def _whole_shapes() -> dict[str, Any]:
    """The shapes, each selection of members with all that the whole one requires."""
    shapes = document()["components"]["schemas"]
    whole = {name: shapes.get(name.removesuffix(SELECTION), shape) for name, shape in shapes.items()}
    return {name: {**shape, "required": whole[name].get("required", [])} for name, shape in shapes.items()}


@cache
def _validator(schema: str, is_cut: bool) -> Draft202012Validator:
    shapes = document()["components"]["schemas"] if is_cut else _whole_shapes()
    whole = json.loads(schema) | {"components": {"schemas": shapes}}
    return Draft202012Validator(whole, format_checker=FormatChecker())
