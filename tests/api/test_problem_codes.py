"""Every code that the API can answer is in the one list of them, and each has a page that anybody may read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import get_resolver
from pytest_django import Settings
from rest_framework import exceptions, serializers
from rest_framework.test import APIClient

from sync.api.problems import KINDS, VALUE_CODES
from sync.choices import TokenState
from sync.kernel.action_errors import ActionError

ROOT = Path(__file__).resolve().parents[2]


def subclasses(kind: type) -> Iterator[type]:
    for one in kind.__subclasses__():
        yield one
        yield from subclasses(one)


def fields_of(serializer: Any) -> Iterator[Any]:
    for field in getattr(serializer, "fields", {}).values():
        yield field
        child = getattr(field, "child", None)
        for inner in filter(None, (field, child)):
            if isinstance(inner, serializers.BaseSerializer):
                yield from fields_of(inner)
        if child is not None:
            yield child


def codes_of_values() -> set[str]:
    """What the fields of every serializer can refuse a value with."""
    _ = get_resolver().url_patterns  # every view is imported, every model's serializers are made
    found = set[str]()
    for kind in subclasses(serializers.Serializer):
        if not kind.__module__.startswith(("sync.", "npd.", "conflicts.")) or kind.__name__.startswith("_"):
            continue
        if issubclass(kind, serializers.ModelSerializer) and not hasattr(getattr(kind, "Meta", None), "model"):
            continue
        for field in fields_of(kind()):
            if not field.read_only:
                found |= set(field.error_messages) | {one.code for one in field.validators if hasattr(one, "code")}
    return found


def test_every_code_of_an_error_and_of_a_value_is_listed() -> None:
    """Those that are given where an error is raised are held against the list with each answer that a test gets."""
    defaults = {
        str(code)
        for root in (ActionError, exceptions.APIException)
        for kind in subclasses(root)
        if not kind.__module__.startswith(("sync.admin", "sync.connectors"))
        if (code := getattr(kind, "default_code", ""))
    }
    states = {str(state) for state in TokenState} - {TokenState.ACTIVE}
    assert defaults | states <= set(KINDS)
    assert codes_of_values() <= set(VALUE_CODES)


def test_a_problem_names_its_page_and_its_request(db: None, settings: Settings) -> None:
    settings.SITE_URL = "https://npd.example"
    body = Client().get("/api/v1/contacts/", headers={"X-Request-ID": "abcdefgh"}).json()
    assert (body["type"], body["code"]) == ("https://npd.example/api/problems/not_authenticated", "not_authenticated")
    assert body["request_id"] == "abcdefgh"


@pytest.mark.parametrize("path", ["/api/problems/", "/api/problems/stale", "/api/changelog/"])
def test_anybody_may_read_the_pages(db: None, path: str) -> None:
    page = Client().get(path, headers={"Accept": "text/html,*/*;q=0.8"})
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "<h1>" in page.content.decode()


def test_programs_read_the_same_as_json(db: None) -> None:
    listed = Client().get("/api/problems/", headers={"Accept": "application/json"}).json()["problems"]
    assert [one["code"] for one in listed] == list(KINDS)
    one = Client().get("/api/problems/stale", headers={"Accept": "application/json"}).json()
    assert one == next(each for each in listed if each["code"] == "stale")


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_an_unknown_code_has_no_page(db: None, accept: str) -> None:
    assert Client().get("/api/problems/nonsense", headers={"Accept": accept}).status_code == 404


@pytest.mark.parametrize(
    ("query", "accept", "status", "code"),
    [
        ("", "application/problem+json", 200, None),
        ("", "application/xml", 406, "not_acceptable"),
        ("?format=xml", "*/*", 406, "not_acceptable"),
        ("?page=0", "*/*", 400, "invalid"),
        ("?page=999", "*/*", 404, "not_found"),
    ],
)
def test_what_is_asked_for_and_is_not_there_says_so(
    api: APIClient, query: str, accept: str, status: int, code: str | None
) -> None:
    answer = api.get(f"/api/v1/contacts/{query}", headers={"Accept": accept})
    assert (answer.status_code, answer.json().get("code")) == (status, code)
