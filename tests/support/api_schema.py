"""The OpenAPI schema: each answer that a test gets is checked against it, and its promises are recorded by line."""

import json
import re
from collections.abc import Iterator
from functools import cache
from threading import Lock
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator, FormatChecker

_GENERATION = Lock()


def check(method: str, path: str, answer: Any) -> None:
    """Fail if the schema doesn't declare this answer; addresses outside the schema pass."""
    # Several threads come here, and drf-spectacular's first run in a process is not thread-safe.
    with _GENERATION:
        operation = operation_at(method.lower(), path)
    if operation is None:
        return
    place = f"{method} {path} answered {answer.status_code}"
    code = str(answer.status_code)
    declared = operation["responses"].get(code if code in operation["responses"] or code < "400" else "default")
    assert declared, f"{place}, which the schema doesn't declare: {sorted(operation['responses'])}"
    kinds = declared.get("content", {})
    if not kinds:
        assert not answer.content, f"{place} with a body, and the schema declares none"
        return
    kind = answer.headers["Content-Type"].partition(";")[0]
    assert kind in kinds, f"{place} as {kind}, and the schema declares {sorted(kinds)}"
    if not kind.endswith("json"):
        return
    faults = list(_validator(json.dumps(kinds[kind]["schema"])).iter_errors(answer.json()))
    assert not faults, f"{place}, against its schema: {faults[0].json_path}: {faults[0].message[:500]}"


def operation_at(method: str, path: str) -> dict[str, Any] | None:
    """Return the operation that the schema declares for this address, with or without its trailing slash."""
    matching = (operations for pattern, operations in _patterns() if pattern.fullmatch(path.rstrip("/")))
    return next(matching, {}).get(method)


@cache
def raw_document() -> str:
    """Return the schema as it is served, in JSON."""
    schema = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return json.dumps(schema, default=str)


@cache
def document() -> dict[str, Any]:
    """Return the schema with undeclared members forbidden."""
    schema: dict[str, Any] = json.loads(raw_document())
    for shape in schema["components"]["schemas"].values():
        if "properties" in shape:
            shape.setdefault("additionalProperties", False)
    return schema


@cache
def _patterns() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """Return the addresses as patterns, those without a variable first."""
    paths = sorted(document()["paths"].items(), key=lambda item: item[0].count("{"))
    return [(re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path.rstrip("/")))), item) for path, item in paths]


@cache
def _validator(schema: str) -> Draft202012Validator:
    with_components = json.loads(schema) | {"components": {"schemas": document()["components"]["schemas"]}}
    return Draft202012Validator(with_components, format_checker=FormatChecker())


# What is recorded: a line for each operation with all that it takes and answers, and one for each member of a shape.

# What people read and no program relies on.
PROSE_KEYWORDS = ("description", "title", "example", "examples", "summary")


def promises_of(schema: dict[str, Any]) -> list[str]:
    """Return the document's promises in order; a change that breaks a program changes one of these lines."""
    shapes = schema["components"]["schemas"]
    operations = [
        _operation(f"{method.upper()} {path}", operation)
        for path, item in schema["paths"].items()
        for method, operation in item.items()
    ]
    return [*sorted(operations), *(line for name in sorted(shapes) for line in _shape(name, shapes[name]))]


def _operation(place: str, operation: dict[str, Any]) -> str:
    parts = [f"{place} {operation['operationId']}"]
    parameters = sorted(operation.get("parameters", ()), key=lambda parameter: (parameter["in"], parameter["name"]))
    parts += [
        f"{parameter['in']} {parameter['name']}{'!' if parameter.get('required') else ''}:{_form(parameter['schema'])}"
        for parameter in parameters
    ]
    if body := operation.get("requestBody"):
        parts += [f"body{'!' if body.get('required') else ''} {_content(body)}"]
    parts += [f"{code} {_content(answer)}".strip() for code, answer in sorted(operation["responses"].items())]
    return "; ".join(parts)


def _content(holder: dict[str, Any]) -> str:
    forms = {kind: _form(media["schema"]) for kind, media in holder.get("content", {}).items()}
    bodies = [form if kind == "application/json" else f"{form} as {kind}" for kind, form in forms.items()]
    headers = [f"+{name}" for name in sorted(holder.get("headers", {}))]
    return " ".join([*bodies, *headers])


def _shape(name: str, shape: dict[str, Any]) -> Iterator[str]:
    required = shape.get("required", ())
    keywords = {key: value for key, value in shape.items() if key not in ("properties", "required", *PROSE_KEYWORDS)}
    yield f"{name}: {_form(keywords)}"
    for member, form in sorted(shape.get("properties", {}).items()):
        yield f"{name}.{member}{'!' if member in required else ''}: {_form(form)}"


def _form(schema: Any) -> str:
    """Return a shape in short; keywords without a short form stay as they are."""
    if not isinstance(schema, dict):
        return json.dumps(schema)
    parts = []
    for key, value in sorted(schema.items(), key=lambda item: (item[0] != "type", item[0])):
        if key in PROSE_KEYWORDS:
            continue
        if key == "$ref":
            parts.append(value.rpartition("/")[2])
        elif key == "type":
            parts.append(value if isinstance(value, str) else "|".join(value))
        elif key == "enum":
            parts.append("=" + "|".join(map(str, value)))
        elif key in ("anyOf", "oneOf", "allOf"):
            parts.append(f"{key}({', '.join(_form(part) for part in value)})")
        elif key == "items":
            parts.append(f"[{_form(value)}]")
        elif key == "properties":
            parts.append("{" + ", ".join(f"{name}: {_form(form)}" for name, form in sorted(value.items())) + "}")
        else:
            parts.append(f"{key}={_form(value)}")
    return " ".join(parts) or "any"
