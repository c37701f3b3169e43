"""Each code of the API has a page that anybody may read; every answer that a test gets is held to be one of them."""

from __future__ import annotations

import pytest
from django.test import Client
from pytest_django import Settings
from rest_framework.test import APIClient

from sync.api.problems import KINDS


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
