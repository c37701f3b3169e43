"""Every code that the API can answer is in the one list of them, and each has a page that anybody may read."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import get_resolver
from pytest_django import Settings
from rest_framework import exceptions, serializers
from rest_framework.test import APIClient

from sync.api.problems import KINDS, VALUE_CODES
from sync.choices import TokenState
from sync.kernel.action_errors import ActionError

Invalid = ValidationError | exceptions.ValidationError
ROOT = Path(__file__).resolve().parents[2]
READ_BY_PROGRAMS = ("sync", "conflicts", "npd", "config")
OF_PAGES = ("admin", "management", "migrations", "connectors", "notifications", "embedded")
"""Rooms whose errors the API never answers."""

ANSWERED = {"problem": 1, "problem_body": 1, "WebhookAnswer": 1, "refusal": 0, "_refuse_stranger": 2}
"""Functions and classes that take a code without being errors of the API, and its place."""


def answered_modules() -> Iterator[tuple[ModuleType, ast.Module]]:
    for room in READ_BY_PROGRAMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            if not set(path.relative_to(ROOT).parts) & set(OF_PAGES):
                text = path.read_text()
                if "code" in text:
                    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                    yield importlib.import_module(name.removesuffix(".__init__")), ast.parse(text)


def codes_in_code() -> Iterator[tuple[str, bool]]:
    """Each code that is written down, and whether it is of a single value."""
    for module, tree in answered_modules():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            kind = getattr(module, name, None) or getattr(serializers, name, None) or getattr(exceptions, name, None)
            is_error = isinstance(kind, type) and issubclass(
                kind, ActionError | exceptions.APIException | ValidationError
            )
            if not is_error and name not in ANSWERED:
                continue
            of_value = is_error and issubclass(kind, Invalid)  # type: ignore[arg-type]
            given = [word.value for word in node.keywords if word.arg == "code"]
            given += node.args[ANSWERED[name] : ANSWERED[name] + 1] if name in ANSWERED else []
            for value in given:
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield value.value, of_value
                elif isinstance(value, ast.Name) and isinstance(getattr(module, value.id, None), str):
                    yield getattr(module, value.id), of_value


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


def test_every_code_that_the_api_can_answer_is_listed() -> None:
    written = set(codes_in_code())
    defaults = {
        str(code)
        for root in (ActionError, exceptions.APIException)
        for kind in subclasses(root)
        if not kind.__module__.startswith(("sync.admin", "sync.connectors"))
        if (code := getattr(kind, "default_code", ""))
    }
    states = {str(state) for state in TokenState} - {TokenState.ACTIVE}
    of_problems = {code for code, of_value in written if not of_value} | defaults | states
    of_values = {code for code, of_value in written if of_value} | codes_of_values()
    assert of_problems - set(KINDS) == set()
    assert of_values - set(VALUE_CODES) == set()


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
