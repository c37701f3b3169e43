"""The OpenAPI schema and its page."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.validation import validate_schema
from rest_framework.test import APIClient

from tests.api.conftest import with_token
from tests.support.api_schema import document, raw_document
from tests.support.people import signed_in, staff_who_may


def test_the_document_is_valid_and_made_without_a_warning() -> None:
    schema = json.loads(raw_document())
    assert not GENERATOR_STATS
    validate_schema(schema)
    assert not [path for path in schema["paths"] if "format" in path]  # each address once, without “.json”


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


ODD = [{}, None, -1, "", "\ud800", "a\0b", [{}], 10**30]


@pytest.mark.slow
def test_every_operation_refuses_strangers_and_who_may_nothing_and_fails_at_no_body(person: User) -> None:
    """Each answer is checked against the schema, as in every test."""
    stranger, nobody, api = APIClient(), with_token(staff_who_may()), with_token(person)
    failed = []
    for place, operation in operations():
        method, _, path = place.partition(" ")
        if not path.startswith("/api/v1/"):
            continue
        keys = {
            parameter["name"]: parameter["schema"]
            for parameter in operation.get("parameters", ())
            if parameter["in"] == "path"
        }
        ids = {name: "1" if schema["type"] == "integer" else str(uuid.UUID(int=1)) for name, schema in keys.items()}
        address = path.format(**ids)
        names = members(operation)
        bodies = [dict.fromkeys(names, value) for value in ODD] + [None, [{}], {"\ud800": 1}] if names else [None]
        assert stranger.generic(method, address).status_code == 401, place
        # An undo needs the permission on the records that it concerns.
        refused = (403, 404) if path.endswith("/undo") else (403,)
        assert nobody.generic(method, address).status_code in refused, place
        for body in bodies:
            sent = json.dumps(body), "application/json"
            code = api.generic(method, address, *(sent if names else ())).status_code
            failed += [(place, body, code)] if code >= 500 else []
    assert failed == []


def members(operation: dict[str, Any]) -> list[str]:
    media = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if media is None:
        return []
    shape = document()["components"]["schemas"][media["schema"]["$ref"].rpartition("/")[2]]
    return list(shape.get("properties", {}))


def test_the_page_is_shown_to_who_is_signed_in_and_its_script_is_no_inline_script(db: None) -> None:
    browser = signed_in(staff_who_may("view_contact"))
    page = browser.get("/api/v1/docs/", headers={"Accept": "text/html"})
    assert page.status_code == 200
    html = page.content.decode()
    assert "<script>" not in html
    assert "/static/drf_spectacular_sidecar/" in html
    script = browser.get("/api/v1/docs/?script=", headers={"Accept": "*/*"})
    assert script.headers["Content-Type"] == "application/javascript"
    assert "/api/v1/schema/" in script.content.decode()


def test_an_account_without_any_right_is_told_nothing_of_the_api(db: None) -> None:
    browser = signed_in(staff_who_may())
    assert [browser.get(f"/api/v1/{page}/").status_code for page in ("docs", "schema")] == [403, 403]


@pytest.mark.parametrize(("accept", "status"), [("text/html", 302), ("*/*", 401)])
def test_the_page_sends_a_browser_to_the_login_and_refuses_a_program(db: None, accept: str, status: int) -> None:
    answer = Client().get("/api/v1/docs/", headers={"Accept": accept})
    assert answer.status_code == status
    if status == 302:
        assert answer.headers["Location"] == "/admin/login/?next=/api/v1/docs/"
